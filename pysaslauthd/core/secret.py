"""A password that cannot print itself."""

import hmac
from typing import Never


class Secret:
    """Bytes that show themselves only to who asks with :meth:`reveal`.

    Passwords travel in this type from the parser to the mechanism, so that a log line, an
    exception text or a debugger's ``repr`` of anything that holds one says nothing. It does not
    pickle, and it cannot be a dictionary key: a hash made for a table is not one made for secrets.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the mechanism and for the channel to it."""
        return self._value

    def is_in(self, text: bytes) -> bool:
        """Whether a text from elsewhere repeats it, and so is not for the log; an empty one is in none."""
        return bool(self._value) and self._value in text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare in a time that depends on the lengths alone."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # the way to say "unhashable"; the class docstring says why

    def __reduce__(self) -> Never:
        raise TypeError("a Secret does not leave its process except by reveal()")

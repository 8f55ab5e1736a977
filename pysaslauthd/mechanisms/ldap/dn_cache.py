"""The names of users who logged in lately, so that the next login needs no search. Off unless asked for."""

import time
from collections import OrderedDict
from collections.abc import Mapping

MOST_NAMES = 10_000
"""About 5 MB."""


class DnCache:
    """DNs by all that a search depends on. A name says nothing of a password: every login still binds."""

    def __init__(self, lifetime: float) -> None:
        """``lifetime`` is in seconds; with 0 nothing is kept."""
        self._lifetime = lifetime
        self._names: OrderedDict[tuple[tuple[str, bytes], ...], tuple[bytes, float]] = OrderedDict()

    def get(self, values: Mapping[str, bytes]) -> bytes | None:
        """The DN for these values of the tokens, if it is known."""
        found = self._names.get(_key(values)) if self._lifetime else None
        return found[0] if found is not None and found[1] > time.monotonic() else None

    def put(self, values: Mapping[str, bytes], name: bytes) -> None:
        """Keep a DN; in place of the oldest, if there are too many."""
        if not self._lifetime:
            return
        key = _key(values)
        self._names[key] = name, time.monotonic() + self._lifetime
        self._names.move_to_end(key)
        if len(self._names) > MOST_NAMES:
            self._names.popitem(last=False)

    def forget(self, values: Mapping[str, bytes]) -> None:
        """It was of no use."""
        self._names.pop(_key(values), None)


def _key(values: Mapping[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(values.items()))

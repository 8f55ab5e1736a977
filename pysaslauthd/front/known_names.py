"""Whom a login is for, and who has been here before.

A guesser must not slow down the one whose name he guesses. So the front remembers who was accepted
since its start, and a keyed hash of the password that was last right: a login with it goes first.
That is a place in the queue and never a verdict; the mechanism is asked all the same.
"""

import enum
import hmac
import unicodedata
from collections import OrderedDict

from pysaslauthd.core.identity import Identity

Name = bytes | tuple[bytes, bytes]
"""Whom a login is for: a login, and its realm where that matters. Made by :func:`name_of`."""


class Standing(enum.IntEnum):
    """Who goes first."""

    VOUCHED = 0
    """The password is the one that was last right for this name."""
    KNOWN = 1
    """The name was accepted before, and not refused lately."""
    UNKNOWN = 2
    """Nothing speaks for it. A known name that was refused lately is guessed, as far as anybody can tell, so that what
    is no password of old counts as unknown."""


DOUBT = 60.0
"""Seconds after a refusal for which another password for that name counts as a guess, unless one turns out to be right."""


class KnownNames:
    """The ``most`` names that were accepted last. Times are given, in seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._digests: OrderedDict[Name, bytes] = OrderedDict()
        self._refused: dict[Name, float] = {}
        """When; of the known names alone."""

    def __len__(self) -> int:
        return len(self._digests)

    def standing(self, name: Name, digest: bytes, now: float) -> Standing:
        """Where a login with this name and this keyed hash of its password stands."""
        known = self._digests.get(name)
        if known is None:
            return Standing.UNKNOWN
        if hmac.compare_digest(known, digest):
            return Standing.VOUCHED
        return Standing.UNKNOWN if now < self._refused.get(name, -DOUBT) + DOUBT else Standing.KNOWN

    def accepted(self, name: Name, digest: bytes) -> None:
        """A mechanism said yes."""
        if self._digests.get(name) != digest:
            # A new password. That the old one is right again says nothing of those who try others.
            self._refused.pop(name, None)
        self._digests[name] = digest
        self._digests.move_to_end(name)
        if len(self._digests) > self._most:
            oldest, _ = self._digests.popitem(last=False)
            self._refused.pop(oldest, None)

    def refused(self, name: Name, digest: bytes, now: float) -> None:
        """A mechanism said no. What was right before and is so no more vouches for nobody."""
        known = self._digests.get(name)
        if known is None:
            return
        self._refused[name] = now
        if hmac.compare_digest(known, digest):
            self._digests[name] = b""


def name_of(identity: Identity, *, uses_realm: bool) -> Name:
    """Whom a login is for, so that no other spelling is another name.

    Without the realm where the mechanism does not look at it. Letters are folded and blanks put
    together, as LDAP does when it compares: two names taken for one only wait for each other, while
    one name taken for two could be guessed twice as fast.
    """
    login = _folded(identity.login)
    return (login, _folded(identity.realm)) if uses_realm and identity.realm else login


def _folded(text: bytes) -> bytes:
    if not text.isascii():
        characters = text.decode("utf-8", "surrogateescape")
        text = unicodedata.normalize("NFKC", characters).casefold().encode("utf-8", "surrogateescape")
    folded = text.lower()
    return b" ".join(folded.split()) if b" " in folded else folded

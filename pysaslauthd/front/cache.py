"""The credential cache: what was right a while ago, so that nobody has to be asked again.

In this process's memory only. An entry holds no password but its digest; see :class:`Digests`.
"""

import hmac
import math
from collections import OrderedDict
from typing import Any, NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.front.statistics import Tally

BUCKETS_PER_SLOT = 6
BYTES_PER_SLOT = 576
"""Of the original's file, which ``-s`` gives the size of; ours has as many entries as fit there."""

DEFAULT_SIZE = 963 << 10
"""Bytes. What makes the 1,711 slots that the original has without ``-s``, as nearly as KiB can say it."""

Key = tuple[bytes, bytes, bytes]
"""Login, realm and service: never joined, or ``a`` and ``bc`` would be ``ab`` and ``c``."""


class CacheOptions(NamedTuple):
    """How much is remembered and how long. Times in seconds; 0 turns what it is for off."""

    capacity: int
    lifetime: float
    """Infinite for entries that never end."""
    rejected_lifetime: float = 0.0
    """Of wrong passwords."""
    stale_lifetime: float = 0.0
    """How long beyond its end an entry counts while the backend cannot be asked."""


class Dispatch(NamedTuple):
    """When a question was asked, without which its answer cannot be judged later."""

    time: float
    epoch: int


class _Entry(NamedTuple):
    digest: bytes
    expires: float


class _Rejection(NamedTuple):
    answer: Answer
    expires: float


class CredentialCache:
    """Least recently used goes first. Times are the loop's, in seconds.

    Age counts from the moment at which the mechanism was asked, and a hit does not renew it. Wrong
    passwords, if they are remembered at all, have a place of their own, so that no flood of them
    displaces a right one.

    The same request, byte for byte, need not even be taken apart: the digest of one that was found
    right leads to the entry that made it so, for as long as that entry counts.
    """

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._rejections: OrderedDict[tuple[Key, bytes], _Rejection] = OrderedDict()
        self._requests: OrderedDict[bytes, tuple[Key, _Entry, Tally]] = OrderedDict()
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def capacity(self) -> int:
        """Entries that there is room for."""
        return self._options.capacity

    def recalls(self, request: bytes, now: float) -> Tally | None:
        """Where it is counted if this request, given by its digest, was found right before and still is; else None."""
        noted = self._requests.get(request)
        if noted is None:
            return None
        key, entry, tally = noted
        if self._entries.get(key) is not entry or entry.expires <= now:
            del self._requests[request]
            return None
        self._entries.move_to_end(key)
        self._requests.move_to_end(request)
        return tally

    def note(self, request: bytes, key: Key, digest: bytes, tally: Tally) -> None:
        """Have a request, given by its digest, lead to the entry of ``key``, if that is of its password.

        ``tally``: where each time is counted that it is recalled.
        """
        entry = self._entries.get(key)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return  # all was forgotten while it was on its way, and another password may be right by now
        self._requests[request] = key, entry, tally
        self._requests.move_to_end(request)
        _bound(self._requests, self._options.capacity)

    def has(self, key: Key, digest: bytes, now: float) -> bool:
        """Whether this password was right for this key, lately enough."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        if entry.expires <= now:
            if entry.expires + self._options.stale_lifetime <= now:
                del self._entries[key]
            return False
        if not hmac.compare_digest(entry.digest, digest):
            return False
        self._entries.move_to_end(key)
        return True

    def has_stale(self, key: Key, digest: bytes, now: float) -> bool:
        """Whether it would be right if entries counted a while longer."""
        entry = self._entries.get(key)
        return (
            entry is not None
            and now < entry.expires + self._options.stale_lifetime
            and hmac.compare_digest(entry.digest, digest)
        )

    def rejection(self, key: Key, digest: bytes, now: float) -> Answer | None:
        """The answer that this same wrong password got lately, if that is remembered."""
        rejection = self._rejections.get((key, digest))
        return rejection.answer if rejection is not None and rejection.expires > now else None

    def describe(self, key: Key, digest: bytes | None, now: float) -> str:
        """What is remembered, in words, without using it; of any password if there is no digest."""
        entry = self._entries.get(key)
        if (
            digest is not None
            and (rejection := self._rejections.get((key, digest)))
            and rejection.expires > now
        ):
            return f"it has this password as wrong{_still(rejection.expires - now)}"
        if entry is None:
            return "it has no entry"
        if digest is None:
            what = "it has an entry"
        else:
            same = hmac.compare_digest(entry.digest, digest)
            what = "it has this password as right" if same else "it has an entry, of another password"
        if entry.expires > now:
            return f"{what}{_still(entry.expires - now)}"
        return f"{what}, which is too old"

    def dispatch(self, now: float) -> Dispatch:
        """To be noted when the mechanism is asked, and given to :meth:`learn` with what it said."""
        return Dispatch(now, self._epoch)

    def is_current(self, dispatch: Dispatch) -> bool:
        """Whether nothing was forgotten since a question was asked."""
        return dispatch.epoch == self._epoch

    def learn(self, key: Key, digest: bytes, answer: Answer, dispatch: Dispatch) -> None:
        """Remember an answer, if it is worth it and all was not forgotten since the question was asked."""
        if not self.is_current(dispatch):
            return
        if answer.verdict is Verdict.ACCEPT:
            self._entries[key] = _Entry(digest, dispatch.time + self._options.lifetime)
            self._entries.move_to_end(key)
            _bound(self._entries, self._options.capacity)
            return
        entry = self._entries.get(key)
        if (
            answer.verdict is Verdict.REJECT
            and entry is not None
            and hmac.compare_digest(entry.digest, digest)
        ):
            del self._entries[key]  # it is right no more, not even while nobody can be asked
        if self._options.rejected_lifetime and answer.cause is Cause.WRONG_PASSWORD:
            expires = dispatch.time + self._options.rejected_lifetime
            self._rejections[key, digest] = _Rejection(answer, expires)
            self._rejections.move_to_end((key, digest))
            _bound(self._rejections, self._options.capacity)

    def forget(self, login: bytes) -> int:
        """Forget what is of one login; how many right passwords that were. What is on its way is for who asked."""
        for rejected in [each for each in self._rejections if is_of(each[0], login)]:
            del self._rejections[rejected]
        gone = [key for key in self._entries if is_of(key, login)]
        for key in gone:
            del self._entries[key]
        return len(gone)

    def flush(self) -> int:
        """Forget all, and what is on its way too; how many right passwords that were."""
        count = len(self)
        self._epoch += 1
        self._entries.clear()
        self._rejections.clear()
        self._requests.clear()
        return count


def capacity_of(size: int) -> int:
    """How many entries ``-s`` means: as many as the original keeps in so many bytes."""
    return max(1, size // BYTES_PER_SLOT) * BUCKETS_PER_SLOT


def cache_options(options: Options) -> CacheOptions:
    """What the command line says of it."""
    return CacheOptions(
        capacity=capacity_of(options.cache_size or DEFAULT_SIZE),
        lifetime=options.cache_timeout,
        rejected_lifetime=options.settings.cache_rejected,
        stale_lifetime=options.settings.cache_stale,
    )


def key_of(identity: Identity) -> Key:
    """What an entry is known by; the client's address is not part of it."""
    return identity.login, identity.realm, identity.service


def is_of(key: Key, login: bytes) -> bool:
    """Whether an entry is of ``login``, which may be given with the entry's realm or without."""
    name, realm, _ = key
    return login in {name, name + b"@" + realm} or name == login + b"@" + realm


def _still(seconds: float) -> str:
    return "" if seconds == math.inf else f", for {seconds:.0f} s more"


def _bound(entries: OrderedDict[Any, Any], capacity: int) -> None:
    if len(entries) > capacity:
        entries.popitem(last=False)

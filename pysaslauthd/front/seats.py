"""Who is connected, and who has to leave when there is no room for another.

The limit counts clients that are read from or wait for an answer; who is answered from the cache in
the moment he is accepted needs no seat. No user of this machine takes more than three quarters of
the seats, so that a mail server with all its clients silent leaves some for the others; and some
stay free of those who wait, as somebody who has only just connected may be in the cache. Who has not
asked yet leaves first, the one that has been silent longest; then who was refused and waits for its
failure delay, the oldest first.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Guest(Protocol):
    """A client, as far as its seat is concerned."""

    uid: int
    """Of the process that connected."""


G = TypeVar("G", bound=Guest)


class _Peer(Generic[G]):
    """The clients of one user. Those that may be asked to leave carry the time of their turn, as a number."""

    __slots__ = ("failing", "idle", "seated", "waiting")

    def __init__(self) -> None:
        self.seated = 0
        self.idle: OrderedDict[G, int] = OrderedDict()
        self.waiting: set[G] = set()
        self.failing: OrderedDict[G, int] = OrderedDict()
        """Refused, and waiting for their delay."""


class Seats(Generic[G]):
    """``limit`` seats, three quarters of them at most for one user."""

    def __init__(self, limit: int) -> None:
        at_the_door = max(1, limit // 64)
        self._limit = limit
        self._limit_of_one = max(1, limit * 3 // 4)
        self._limit_waiting = max(1, limit - at_the_door)
        self._limit_of_one_waiting = max(1, self._limit_of_one - at_the_door)
        self._peers: dict[int, _Peer[G]] = {}
        self._taken = 0
        self._waiting = 0
        self._turn = 0

    def __len__(self) -> int:
        return self._taken

    @property
    def is_full(self) -> bool:
        """Whether all are taken."""
        return self._taken >= self._limit

    def has_room(self, uid: int) -> bool:
        """Whether a client of this user finds a seat."""
        peer = self._peers.get(uid)
        return not self.is_full and (peer is None or peer.seated < self._limit_of_one)

    def who_leaves(self, uid: int | None = None) -> G | None:
        """Who makes room for a client of this user; without one, for anything. None: nobody can."""
        peer = self._peers.get(uid) if uid is not None else None
        is_over = peer is not None and peer.seated >= self._limit_of_one
        peers = [peer] if peer is not None and is_over else list(self._peers.values())
        return _oldest(peer.idle for peer in peers) or _oldest(peer.failing for peer in peers)

    def has_room_to_wait(self, uid: int) -> bool:
        """Whether a client of this user may wait for an answer."""
        return (
            self._waiting < self._limit_waiting and len(self._peers[uid].waiting) < self._limit_of_one_waiting
        )

    def who_need_not_wait(self, uid: int) -> G | None:
        """Who makes room for a client of this user that is to wait. None: nobody can."""
        peer = self._peers[uid]
        is_over = len(peer.waiting) >= self._limit_of_one_waiting
        return _oldest(peer.failing for peer in ([peer] if is_over else self._peers.values()))

    def idle(self) -> list[G]:
        """All that have not asked yet."""
        return [guest for peer in self._peers.values() for guest in peer.idle]

    def take(self, guest: G) -> None:
        """It sits."""
        self._taken += 1
        peer = self._peers.get(guest.uid)
        if peer is None:
            peer = self._peers[guest.uid] = _Peer()
        peer.seated += 1

    def leave(self, guest: G) -> None:
        """It has gone."""
        self._taken -= 1
        peer = self._peers[guest.uid]
        peer.seated -= 1
        peer.idle.pop(guest, None)
        peer.failing.pop(guest, None)
        if guest in peer.waiting:
            peer.waiting.discard(guest)
            self._waiting -= 1
        if not peer.seated:
            del self._peers[guest.uid]

    def is_silent(self, guest: G) -> None:
        """It has not asked yet."""
        self._turn += 1
        self._peers[guest.uid].idle[guest] = self._turn

    def has_asked(self, guest: G) -> None:
        """It has."""
        self._peers[guest.uid].idle.pop(guest, None)

    def waits(self, guest: G) -> None:
        """It waits for its answer, once."""
        self._waiting += 1
        self._peers[guest.uid].waiting.add(guest)

    def is_refused(self, guest: G) -> None:
        """It only waits for the end of its failure delay."""
        self._turn += 1
        self._peers[guest.uid].failing[guest] = self._turn


def _oldest(groups: Iterable[OrderedDict[G, int]]) -> G | None:
    firsts = [next(iter(group.items())) for group in groups if group]
    return min(firsts, key=_turn)[0] if firsts else None


def _turn(guest_and_turn: tuple[Guest, int]) -> int:
    return guest_and_turn[1]

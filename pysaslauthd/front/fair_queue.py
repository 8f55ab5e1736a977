"""Who is next: the logins that wait for a worker, so that nobody waits for a guesser.

Three rules, each for one kind of attack, and a fourth for who wants it: no more than so many refusals a second.

- *One name is guessed.* A name has a number of places: in the queue, in a worker, or in the delay
  of a refusal. Who comes for it beyond that waits behind them and takes nobody else's turn. So one
  account is guessed no faster than with a few processes that sleep, and only its own name feels it.
- *The owner of that name logs in.* His password is the one that was right before, which vouches for
  him: he goes first and needs no place.
- *Many names are guessed.* Names that were accepted since the start are served before the others
  until they have half of the workers; and as long as such logins come, the others have no more than
  the other half.

No I/O and no clock: times are given, in seconds.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from pysaslauthd.core.answer import Answer, Verdict
from pysaslauthd.front.known_names import KnownNames, Name, Standing
from pysaslauthd.front.ticket import Ticket

MOST_BEHIND = 20
"""Logins of one name that may wait behind its places."""

TRUSTED_LATELY = 1.0
"""Seconds after a login of a known name for which half of the workers are kept for the next: a client that is answered
comes again at once, and would find all of them taken."""

QUEUE_IS_FULL = "too many logins are waiting"
NAME_IS_FULL = "too many logins of this name are waiting"


class QueueOptions(NamedTuple):
    """The bounds."""

    length: int
    places: int
    """Of one name."""
    failures_per_second: int
    """Of logins that nothing vouches for; 0 for no such limit."""
    most_unknown: int
    """Logins of unknown names that workers have while known ones come, if half of the workers are more: where they compute,
    it is the processors that are shared."""


class _Line:
    """What one name has here."""

    __slots__ = ("behind", "places")

    def __init__(self) -> None:
        self.places = 0
        """Held now."""
        self.behind: deque[Ticket] = deque()


class FairQueue:
    """The order of the waiting, and what is known of those that a worker has.

    Every ticket that :meth:`add` took leaves by :meth:`withdraw`, or by :meth:`take`, :meth:`finished` and
    :meth:`release` in this order.
    """

    def __init__(self, options: QueueOptions, names: KnownNames) -> None:
        self._options = options
        self._names = names
        self._lines: dict[Name, _Line] = {}
        self._ready: tuple[OrderedDict[int, Ticket], ...] = tuple(OrderedDict() for _ in Standing)
        """Whose turn may come, by standing and in the order of arrival."""
        self._behind = 0
        self._serial = 0
        self._running = 0
        self._unknown_running = 0
        self._trusted_until = float("-inf")
        self._was_trusted = False
        """The last that a worker got."""
        self._allowance = _Allowance(options.failures_per_second)

    def __len__(self) -> int:
        return self.ready + self._behind

    @property
    def ready(self) -> int:
        """Logins that only wait for a worker."""
        vouched, known, unknown = self._ready
        return len(vouched) + len(known) + len(unknown)

    def waiting(self) -> Iterator[Ticket]:
        """All of them, ready or behind their name's places."""
        for tickets in self._ready:
            yield from tickets.values()
        for line in self._lines.values():
            yield from line.behind

    def add(self, ticket: Ticket, now: float) -> str:
        """Take a login in, or say why not."""
        ticket.standing = self._names.standing(ticket.name, ticket.digest, now)
        vouched, known, unknown = self._ready
        strangers = len(unknown) + self._behind
        # Room of their own for either, so that no flood of strangers turns away whom something speaks for.
        alike = strangers if ticket.standing is Standing.UNKNOWN else len(vouched) + len(known)
        if alike >= self._options.length or len(self) >= 2 * self._options.length:
            return QUEUE_IS_FULL
        if ticket.standing is Standing.VOUCHED:
            self._make_ready(ticket, now)
            return ""
        line = self._lines.get(ticket.name)
        if line is None:
            line = self._lines[ticket.name] = _Line()
        if line.places < self._options.places:
            self._give_place(line, ticket, now)
        elif len(line.behind) < MOST_BEHIND:
            line.behind.append(ticket)
            self._behind += 1
        else:
            return NAME_IS_FULL
        return ""

    def choose(self, capacity: int, now: float) -> Ticket | None:
        """Who is next, if anybody may be. ``capacity``: the logins that all workers together can hold."""
        vouched, known, unknown = self._ready
        if not (vouched or known or unknown):
            return None
        if not self._allowance.has(now):
            return _first(vouched)
        half = max(1, min(capacity // 2, self._options.most_unknown))
        trusted = _first(vouched) or _first(known)
        other = _first(unknown)
        if other is not None and self._unknown_running >= half and self._is_trusted_about(now):
            other = None
        if trusted is None or other is None:
            return trusted or other
        if self._running - self._unknown_running < capacity - capacity // 2:
            # Half of one worker is every other turn of it.
            return other if capacity == 1 and self._was_trusted else trusted
        return min(trusted, other, key=_serial)

    def take(self, ticket: Ticket, now: float) -> None:
        """A worker has it."""
        del self._ready[ticket.standing][ticket.serial]
        self._running += 1
        self._was_trusted = ticket.standing is not Standing.UNKNOWN
        if not self._was_trusted:
            self._unknown_running += 1
        if ticket.standing is not Standing.VOUCHED:
            self._allowance.spend(now)

    def finished(self, ticket: Ticket, answer: Answer, now: float) -> None:
        """No worker has it any more; what came of it is remembered. Its place it keeps."""
        self._running -= 1
        if ticket.standing is Standing.UNKNOWN:
            self._unknown_running -= 1
        if ticket.is_to_explain:
            pass
        elif answer.verdict is Verdict.ACCEPT:
            self._names.accepted(ticket.name, ticket.digest)
            self._vouch_for(ticket.name, now)
        elif answer.verdict is Verdict.REJECT:
            self._names.refused(ticket.name, ticket.digest, now)
        if ticket.standing is not Standing.VOUCHED and answer.verdict is not Verdict.REJECT:
            self._allowance.give_back()

    def release(self, ticket: Ticket, now: float) -> None:
        """It is over, the delay of its refusal too: the next of its name moves up."""
        if not ticket.has_place:
            return
        ticket.has_place = False
        line = self._lines[ticket.name]
        line.places -= 1
        if line.behind:
            self._behind -= 1
            self._give_place(line, line.behind.popleft(), now)
        elif not line.places:
            del self._lines[ticket.name]

    def withdraw(self, ticket: Ticket, now: float) -> None:
        """It waits no longer."""
        if self._ready[ticket.standing].pop(ticket.serial, None) is None:
            self._lines[ticket.name].behind.remove(ticket)
            self._behind -= 1
        self.release(ticket, now)

    def _is_trusted_about(self, now: float) -> bool:
        return self._running > self._unknown_running or now < self._trusted_until

    def _give_place(self, line: _Line, ticket: Ticket, now: float) -> None:
        line.places += 1
        ticket.has_place = True
        self._make_ready(ticket, now)

    def _make_ready(self, ticket: Ticket, now: float) -> None:
        self._serial += 1
        ticket.serial = self._serial
        if ticket.standing is not Standing.UNKNOWN:
            self._trusted_until = now + TRUSTED_LATELY
        self._ready[ticket.standing][self._serial] = ticket

    def _vouch_for(self, name: Name, now: float) -> None:
        """Who waits behind others with the password that has turned out right need not."""
        line = self._lines.get(name)
        if line is None or not line.behind:
            return
        waiting, line.behind = line.behind, deque()
        for ticket in waiting:
            ticket.standing = self._names.standing(name, ticket.digest, now)
            if ticket.standing is Standing.VOUCHED:
                self._behind -= 1
                self._make_ready(ticket, now)
            else:
                line.behind.append(ticket)


class _Allowance:
    """At most ``rate`` spent in a second, none saved beyond that; 0 for any number."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._counted = 0.0

    def has(self, now: float) -> bool:
        return not self._rate or self._refilled(now) >= 1

    def spend(self, now: float) -> None:
        if self._rate:
            self._left = self._refilled(now) - 1

    def give_back(self) -> None:
        self._left = min(self._rate, self._left + 1)

    def _refilled(self, now: float) -> float:
        self._left = min(self._rate, self._left + (now - self._counted) * self._rate)
        self._counted = now
        return self._left


def _first(tickets: OrderedDict[int, Ticket]) -> Ticket | None:
    return next(iter(tickets.values()), None)


def _serial(ticket: Ticket) -> int:
    return ticket.serial

"""What a login of the soak test may have come to, and what explains one that came to nothing.

A right password hears OK and a wrong one NO. A close without an answer has to be explained, and that by two
witnesses: what the daemon's log says of that very login, and what the test itself was doing to the daemon meanwhile.
A reload explains nothing, nor does time that passed; but where the machine stood still, a limit may be over before
anybody could do anything.
"""

import contextlib
import enum
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

MARGIN = 10.0
"""Seconds that a login may end after all its limits: the machine is loaded, and this is to find a hang."""

JUST_AFTER = 1.0
"""Seconds for which the end of a trouble is still being noticed. Not that of a process: who came after it, lost nothing."""

SERVER_COMES_BACK = 3.0
"""Seconds in which a directory server that answers again is found to: the outcome of a probe stands for one."""

BACKLOG = 15.0
"""Seconds in which those are served who waited while there were too few workers."""

EARLY = 1.5
"""Seconds before a limit at which it may count as reached: a worker with many logins in hand gives up one before."""

HURRIED = 0.5
"""Seconds that a client may take to send its request when its front is told to leave: half of what it gets."""

LOOK = 0.25
"""Seconds between two looks at what has been heard."""

RIPE = 8
"""Looks after the end of a login when the log has all that it will say of it. Not seconds, as the machine may stand still
for them."""

_MOST_FAILURES = 20
_MOST_LOG = 1 << 20
_SHOWN = 15.0
_FORGOTTEN = 120.0


class Trouble(enum.Enum):
    """What the test does to a daemon, or has its clients do."""

    FRONT_KILLED = enum.auto()
    WORKER_KILLED = enum.auto()
    WORKER_STOPPED = enum.auto()
    RELOAD = enum.auto()
    SERVER_DOWN = enum.auto()
    FLOOD = enum.auto()
    """Clients beyond the limits."""
    HANGING = enum.auto()
    """A login that keeps a worker until the deadline."""
    STANDSTILL = enum.auto()
    """Of the machine, which is nobody's deed."""


PRESSURE = (
    Trouble.FRONT_KILLED,
    Trouble.WORKER_KILLED,
    Trouble.WORKER_STOPPED,
    Trouble.FLOOD,
    Trouble.HANGING,
    Trouble.STANDSTILL,
)
"""What leaves too few workers for the logins that come."""

ASLEEP = (Trouble.WORKER_STOPPED, Trouble.STANDSTILL)
"""What lets a worker's time pass without it."""


class Event:
    """One trouble; ``end`` is infinite while it lasts. Times are monotonic."""

    def __init__(self, subject: str, trouble: Trouble, server: int = 0) -> None:
        self.subject = subject
        self.trouble = trouble
        self.server = server
        self.begin = time.monotonic()
        self.end = float("inf")

    def __repr__(self) -> str:
        return f"{self.trouble.name}({self.server}) {self.begin:.3f}..{self.end:.3f}"


class Limits(NamedTuple):
    """The daemon's, in seconds."""

    read: float
    login: float
    queue: float
    delay: float
    """The longest that a refusal is held back."""

    @property
    def bound(self) -> float:
        """After which a complete request has certainly ended, or never will."""
        return self.queue + self.login + self.delay + MARGIN


class Terms(NamedTuple):
    """What the judge has to know of a daemon."""

    log: Path
    limits: Limits
    servers: int = 0
    """How many directory servers it asks."""
    guessed: str = ""
    """Whose name is guessed all the time."""
    shared_realm: str | None = None
    """Of those who may be joined to another login, and then end with it, however late they came."""


class Login(NamedTuple):
    """A complete request and what came of it."""

    subject: str
    kind: str
    expected: str
    """``OK``, ``NO``, or ``-`` where no answer is possible."""
    user: str
    service: str
    realm: str
    begin: float
    sent: float
    end: float
    log_begin: int
    """Size of the log at the beginning."""
    log_end: int
    heard: bytes
    error: str = ""
    """How it ended if not in an orderly close."""

    @property
    def verdict(self) -> str:
        """``OK``, ``NO``, ``-`` for none, or all that was heard where that is no reply."""
        return {b"\0\2OK": "OK", b"\0\2NO": "NO", b"": "-"}.get(self.heard, repr(self.heard))

    def __repr__(self) -> str:
        return (
            f"{self.subject}: {self.kind} [{self.user}] [{self.service}] [{self.realm}] expected {self.expected},"
            f" heard {self.verdict} {self.error}, {self.begin:.3f} sent {self.sent:.3f} end {self.end:.3f}"
        )


class _Rule(NamedTuple):
    """A reason in the log, and the troubles of which one has to go with it."""

    pattern: re.Pattern[str]
    troubles: Collection[Trouble]
    slack: float = JUST_AFTER
    """Seconds behind a trouble in which it still explains."""
    outlasted: str = ""
    """The limit that such a login has reached."""
    is_backend: bool = False
    """All directory servers being down explains it as well."""
    is_aftermath: bool = False
    """Only the end of a trouble explains it."""
    is_guessed: bool = False
    """The name that is guessed needs no other trouble."""


_RULES = (
    # First, as what is said of a server may be in other rules' words. A worker that slept finds its connections timed
    # out, and then probes them.
    _Rule(re.compile("ldap://"), ASLEEP, is_backend=True, is_aftermath=True),
    _Rule(re.compile("worker died"), {Trouble.WORKER_KILLED}, slack=0.0),
    _Rule(re.compile("worker was killed for another|got nothing done|did not come up"), ASLEEP),
    _Rule(re.compile("^no answer within"), ASLEEP, outlasted="login", is_backend=True),
    _Rule(re.compile("no worker was free"), PRESSURE, slack=BACKLOG, outlasted="queue", is_guessed=True),
    _Rule(re.compile("too many (?:logins|clients)"), {Trouble.FLOOD}, is_guessed=True),
)


class Judge:
    """Hears of every login and every trouble, from all threads; :attr:`failures` is what must not have been."""

    def __init__(self, terms: dict[str, Terms]) -> None:
        self.failures: list[str] = []
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        """Logins by daemon, kind of client, what was expected and what was heard."""
        self.explained: Counter[tuple[str, str]] = Counter()
        """Closes by daemon and reason."""
        self.troubles: Counter[tuple[str, str]] = Counter()
        self._terms = terms
        self._events: deque[Event] = deque()
        self._suspects: deque[tuple[Login, int]] = deque()
        """Each with the number of the look at which it is ripe."""
        self._looks = 0
        self._lock = threading.Lock()

    @property
    def has_seen_enough(self) -> bool:
        return len(self.failures) >= _MOST_FAILURES

    @property
    def has_suspects(self) -> bool:
        """Whether some who were closed have not been judged."""
        return bool(self._suspects)

    @contextlib.contextmanager
    def during(self, subject: str, trouble: Trouble, server: int = 0) -> Iterator[None]:
        """The trouble begins before what is done inside, and ends after it."""
        event = Event(subject, trouble, server)
        with self._lock:
            self._events.append(event)
            self.troubles[subject, trouble.name] += 1
        try:
            yield
        finally:
            event.end = time.monotonic()

    def stood_still(self, begin: float, end: float) -> None:
        """All of the machine did."""
        with self._lock:
            for subject in self._terms:
                event = Event(subject, Trouble.STANDSTILL)
                event.begin, event.end = begin, end
                self._events.append(event)
                self.troubles[subject, event.trouble.name] += 1

    def stood_still_since(self, begin: float) -> bool:
        """Whether it did later than that."""
        with self._lock:
            return any(e.trouble is Trouble.STANDSTILL and e.end > begin for e in self._events)

    def fail(self, text: str) -> None:
        with self._lock:
            if not self.has_seen_enough:
                self.failures.append(text)

    def hear(self, login: Login) -> None:
        """Judge it; one that was closed waits until :meth:`look`."""
        with self._lock:
            self.counts[login.subject, login.kind, login.expected, login.verdict] += 1
        if login.error == "late" or login.end - login.sent > self._terms[login.subject].limits.bound:
            self.fail(f"ended late or never: {login}")
        elif login.error and (login.verdict != "-" or login.error == "refused"):
            self.fail(f"ended badly: {login}")
        elif login.verdict == "-":
            if login.expected != "-":
                with self._lock:
                    self._suspects.append((login, self._looks + RIPE))
        elif login.verdict != login.expected:
            self.fail(f"heard what it must not: {login}")

    def look(self, *, is_over: bool = False) -> None:
        """Judge who was closed without an answer, once the log can say all of it; everybody if all ``is_over``."""
        now = time.monotonic()
        self._looks += 1
        while self._suspects and (is_over or self._suspects[0][1] < self._looks):
            with self._lock:
                login, _ = self._suspects.popleft()
            reason = self._explanation(login)
            if reason:
                self.explained[login.subject, reason] += 1
            else:
                lines, around = self._lines(login), self._around(login, _SHOWN)
                self.fail(f"closed, and nothing explains it: {login}\n    log: {lines}\n    {around}")
        with self._lock:
            while self._events and self._events[0].end < now - _FORGOTTEN:
                self._events.popleft()

    def _log(self, login: Login, more: int = 0) -> list[str]:
        """What it says between the beginning and the end of a login, and ``more`` bytes behind."""
        with self._terms[login.subject].log.open("rb") as log:
            log.seek(login.log_begin)
            return log.read(login.log_end - login.log_begin + more).decode(errors="replace").splitlines()

    def _lines(self, login: Login) -> list[str]:
        """Those that are about this login."""
        who = f"auth unavailable: [user={login.user}] [service={login.service}] [realm={login.realm}] "
        return [line for line in self._log(login) if who in line]

    def _explanation(self, login: Login) -> str:
        """Nothing if there is none."""
        lines = self._lines(login)
        if lines:
            return self._for_reason(lines[-1].partition("[reason=")[2], login)
        return self._without_a_word(login) or next(filter(None, self._turned_away(login)), "")

    def _turned_away(self, login: Login) -> Iterator[str]:
        """Those for whom there is no room have a line for all of them, once a second."""
        for line in self._log(login, _MOST_LOG):
            _, found, reason = line.partition(" turned away: ")
            if found:
                yield self._for_reason(reason, login)

    def _for_reason(self, reason: str, login: Login) -> str:
        for rule in _RULES:
            if found := rule.pattern.search(reason):
                return found[0] if self._permits(rule, login) else ""
        return ""

    def _permits(self, rule: _Rule, login: Login) -> bool:
        terms = self._terms[login.subject]
        may_be_joined = login.realm == terms.shared_realm
        lasted = login.end - login.begin
        if rule.outlasted and not may_be_joined and lasted < getattr(terms.limits, rule.outlasted) - EARLY:
            return False
        if rule.is_guessed and login.user == terms.guessed:
            return True
        if rule.is_backend and len(self._servers_met(login)) == terms.servers > 0:
            return True
        if rule.is_aftermath:
            around = self._around(login, SERVER_COMES_BACK)
            return any(e.trouble in rule.troubles and e.end - JUST_AFTER <= login.end for e in around)
        return self._met(login, rule.troubles, max(rule.slack, JUST_AFTER * may_be_joined))

    def _without_a_word(self, login: Login) -> str:
        """The front that had it is dead, or there were too many connections, or it was long in asking."""
        if self._met(login, {Trouble.FRONT_KILLED}, 0.0):
            return "front killed"
        if self._met(login, {Trouble.FLOOD}, JUST_AFTER):
            return "connections"
        asking = login.sent - login.begin
        if asking > self._terms[login.subject].limits.read / 2:
            return "was long in asking"
        if asking > HURRIED and self._met(login._replace(end=login.sent), {Trouble.RELOAD}, JUST_AFTER):
            return "was asking when its front left"
        return ""

    def _met(self, login: Login, troubles: Collection[Trouble], slack: float) -> bool:
        return any(event.trouble in troubles for event in self._around(login, slack))

    def _servers_met(self, login: Login) -> set[int]:
        """The servers that were down, or just back, at some time of this login's."""
        around = self._around(login, SERVER_COMES_BACK)
        return {event.server for event in around if event.trouble is Trouble.SERVER_DOWN}

    def _around(self, login: Login, slack: float) -> list[Event]:
        with self._lock:
            events = list(self._events)
        return [
            event
            for event in events
            if event.subject == login.subject
            and event.begin <= login.end
            and login.begin <= event.end + slack
        ]

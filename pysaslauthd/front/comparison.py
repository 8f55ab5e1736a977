"""The shadow run: another saslauthd is asked what ours has answered, and the log says where the two differ.

It comes after the answer and changes nothing of it: it has workers and a small queue of its own, and what finds no room there
is only counted. So an administrator lets ours answer while the old daemon still runs, and sees when he can do without it.

A refused login is compared only where that is asked for, as it would count twice towards a lock-out; one of a service of which
nothing may be cached never, as a password that is good once cannot be tried twice. Where either side could not
say, there is nothing to compare.
"""

import asyncio
from pathlib import Path

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.identity import RealmPolicy, identify
from pysaslauthd.core.wire import Request
from pysaslauthd.front.chain import OnEnd
from pysaslauthd.front.fair_queue import QueueOptions
from pysaslauthd.front.known_names import name_of
from pysaslauthd.front.now_and_then import NowAndThen
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Asker, Ticket
from pysaslauthd.front.waiting_room import WaitingOptions, WaitingRoom
from pysaslauthd.logs import log

MOST_WAITING = 64
"""Logins, with their passwords, that wait for the other daemon. It has to keep up on the whole, not at each moment."""

SUMMARY_INTERVAL = 600.0
"""Seconds between two lines that sum up."""

_NOBODY_ASKED = (Cause.SHED, Cause.GONE)
_WORDS = {Verdict.ACCEPT: "OK", Verdict.REJECT: "NO"}


def waiting_options(options: Options) -> WaitingOptions:
    """Of the queue: first come, first served. No name is guessed here, as ours has answered already."""
    queue = QueueOptions(
        MOST_WAITING, places=2 * MOST_WAITING, failures_per_second=0, most_unknown=MOST_WAITING
    )
    return WaitingOptions(queue, options.settings.queue_timeout, known_names=0)


class Comparison:
    """Has those who wait in ``room`` asked of the daemon at ``path``. With ``rejected``, refused logins too."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: WaitingRoom,
        path: Path,
        statistics: Statistics,
        *,
        rejected: bool,
    ) -> None:
        self._room = room
        self._path = path
        self._statistics = statistics
        self._rejected = rejected
        self._is_news = False
        self._unheard = 0
        """Of how many logins the other daemon has not said anything yet."""
        self._summary = NowAndThen(loop, SUMMARY_INTERVAL, self.sum_up)

    def after(self, request: Request, on_end: OnEnd) -> OnEnd:
        """``on_end``, and when that is done, ``request`` asked of the other daemon. It keeps the password so long."""

        def ended(ticket: Ticket, answer: Answer) -> None:
            on_end(ticket, answer)
            self.compare(request, answer, ticket.askers[0])

        return ended

    def compare(self, request: Request, ours: Answer, asker: Asker) -> None:
        """Ask the other daemon, if this answer of ours to ``asker`` is to be compared."""
        if ours.verdict is Verdict.UNAVAILABLE:
            if ours.cause not in _NOBODY_ASKED:
                self._statistics.compared_unavailable += 1
                self._there_is_news()
            return
        if ours.verdict is Verdict.REJECT and not self._rejected:
            return

        def heard(ticket: Ticket, theirs: Answer) -> None:
            self._unheard -= 1
            self._judge(ticket, ours, theirs)

        # As the client sent it: the other daemon has a realm policy of its own.
        identity = identify(request, RealmPolicy.LOGIN)
        name = name_of(identity, uses_realm=True)
        self._unheard += 1
        self._room.submit(Ticket(identity, request.password, name, b"", [_Absent(asker)], heard))

    def sum_up(self) -> bool:
        """Log how far the two agree since this front started, if there is anything new to tell."""
        is_news, self._is_news = self._is_news, False
        if is_news:
            counts = self._statistics
            log.info(
                f"compared with {self._path}: {counts.compared_equal} equal, {counts.compared_different} different, "
                f"{counts.compared_unavailable} unavailable, {counts.compared_dropped} dropped"
            )
        return is_news

    def end(self) -> None:
        """The front ends: what the other daemon has not said by now nobody will hear."""
        self._statistics.compared_dropped += self._unheard
        self._is_news = self._is_news or bool(self._unheard)
        self._unheard = 0
        self.sum_up()

    def _judge(self, ticket: Ticket, ours: Answer, theirs: Answer) -> None:
        if theirs.cause in _NOBODY_ASKED:
            self._statistics.compared_dropped += 1
        elif theirs.verdict is Verdict.UNAVAILABLE:
            self._statistics.compared_unavailable += 1
        elif theirs.verdict is ours.verdict:
            self._statistics.compared_equal += 1
        else:
            self._statistics.compared_different += 1
            _tell(ticket, ours, theirs)
        self._there_is_news()

    def _there_is_news(self) -> None:
        self._is_news = True
        self._summary.there_is_more()


def _tell(ticket: Ticket, ours: Answer, theirs: Answer) -> None:
    identity = ticket.identity
    log.warning(
        "compared and different",
        user=identity.login,
        service=identity.service,
        realm=identity.realm,
        ours=_WORDS[ours.verdict],
        theirs=_WORDS[theirs.verdict],
        reason=ours.reason or theirs.reason or "Unknown",
        extra=ticket.askers[0].caller.mark,
    )


class _Absent:
    """Who asked, as the other daemon's room sees him: he neither leaves nor is told, as he has had his answer."""

    def __init__(self, asker: Asker) -> None:
        self.caller = asker.caller
        self.asked_at = asker.asked_at

    def may_wait(self) -> bool:
        return True

    def is_there(self) -> bool:
        return True

    def hear(self, answer: Answer) -> None:
        pass

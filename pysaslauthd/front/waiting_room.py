"""Where logins wait for a worker: the fair queue, with a clock.

Nobody waits longer than ``queue_timeout``, and nobody who has left is served: a client that closed
its end while its login was waiting costs no worker anything.
"""

import asyncio
import time
from typing import NamedTuple, Protocol

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import Answer, Cause, unavailable
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.front import processor
from pysaslauthd.front.fair_queue import FairQueue, QueueOptions
from pysaslauthd.front.histogram import Histogram
from pysaslauthd.front.known_names import KnownNames
from pysaslauthd.front.ticket import Ticket

TICK = 0.1
"""Seconds between two looks at what waits: whether more workers would help, and whether a limit of failures per second
lets the next go on."""

SWEEP_INTERVAL = 1.0
"""Seconds after which it is looked who of those that wait has left."""

SWEEP_PAUSE = 0.1
"""The same when the queue is full, so that those who have left take nobody's room."""

_HAS_LEFT = unavailable(Cause.GONE, "the client has gone")
_UNTOLD = unavailable(Cause.CRASH, "no worker could be told")


class WaitingOptions(NamedTuple):
    """What the settings say of it. ``timeout`` in seconds."""

    queue: QueueOptions
    timeout: float
    known_names: int

    @classmethod
    def of(cls, options: Options) -> "WaitingOptions":
        """What the command line says of it."""
        settings = options.settings
        queue = QueueOptions(
            settings.queue_length,
            options.name_places,
            settings.failures_per_second,
            most_unknown=processor.count() // 2 if options.row.computes else settings.queue_length,
        )
        return cls(queue, settings.queue_timeout, settings.known_names)


class Workers(Protocol):
    """What the waiting room has to know of the workers."""

    @property
    def capacity(self) -> int:
        """The logins that they can hold in all."""

    def has_room(self) -> bool:
        """Whether one of them can take a login."""

    def give(self, ticket: Ticket) -> bool:
        """Have one check it; False if none is free after all.

        :raises OSError: it cannot be told to any.
        """

    def grow(self, waiting: int) -> None:
        """So many have waited for a while, and more of them would help: have more, if there may be more."""


class WaitingRoom:
    """Stands between the gate, which submits, and the workers, which are given who is next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: WaitingOptions) -> None:
        self._loop = loop
        self._options = options
        self._queue = FairQueue(options.queue, KnownNames(options.known_names))
        self._patience = Deadlines(loop, options.timeout, self._waited_too_long)
        self._workers: Workers | None = None
        self._swept = self._taken = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self.waited = Histogram()
        """How long logins waited for a worker, of those that one took."""
        self.took = Histogram()
        """How long workers had them."""

    def __len__(self) -> int:
        return len(self._queue)

    def open(self, workers: Workers) -> None:
        """These will be given what comes."""
        self._workers = workers

    def submit(self, ticket: Ticket) -> None:
        """Have a worker check this; it ends with its answer, within the deadline."""
        now = self._loop.time()
        ticket.submitted = time.monotonic()
        refusal = self._queue.add(ticket, now)
        if refusal and now >= self._swept + SWEEP_PAUSE:
            self._sweep(now)
            refusal = self._queue.add(ticket, now)
        if refusal:
            ticket.end(unavailable(Cause.SHED, refusal))
            return
        self.serve()
        if ticket.password is not None:
            ticket.has_waited = True
            self._patience.add(ticket)
            if self._timer is None:
                self._timer = self._loop.call_later(TICK, self._tick)

    def serve(self) -> None:
        """Give who is next to the workers, as long as they have room."""
        workers = self._workers
        assert workers is not None
        while workers.has_room():
            now = self._loop.time()
            ticket = self._queue.choose(workers.capacity, now)
            if ticket is None:
                return
            if ticket.has_waited and not ticket.is_wanted():
                self._send_away(ticket, _HAS_LEFT)
                continue
            try:
                is_taken = workers.give(ticket)
            except OSError:
                self._send_away(ticket, _UNTOLD)
                continue
            if is_taken:
                self._queue.take(ticket, now)
                self._taken = now
                ticket.taken = time.monotonic()
                if not ticket.is_to_explain:
                    self.waited.observe(ticket.waited)
                self._patience.discard(ticket)

    def finished(self, ticket: Ticket, answer: Answer) -> None:
        """No worker has it any more. While the answer is held back, so is its name's place."""
        now = self._loop.time()
        ticket.took = time.monotonic() - ticket.taken
        if not ticket.is_to_explain:
            self.took.observe(ticket.took)
        self._queue.finished(ticket, answer, now)
        if answer.delay:
            self._loop.call_later(answer.delay, self._is_over, ticket)
        else:
            self._queue.release(ticket, now)

    def _is_over(self, ticket: Ticket) -> None:
        self._queue.release(ticket, self._loop.time())
        self.serve()

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now >= self._swept + SWEEP_INTERVAL:
            self._sweep(now)
        self.serve()
        if not len(self._queue):
            return
        self._timer = self._loop.call_later(TICK, self._tick)
        if (
            self._workers is not None
            and self._queue.ready
            and not self._workers.has_room()
            and (self._is_stuck(now) or not processor.is_busy())
        ):
            self._workers.grow(self._queue.ready)

    def _is_stuck(self, now: float) -> bool:
        """Whether no worker has come to another login for so long that they must be waiting themselves."""
        return now - self._taken >= TICK

    def _sweep(self, now: float) -> None:
        self._swept = now
        for ticket in list(self._queue.waiting()):
            if not ticket.is_wanted():
                self._send_away(ticket, _HAS_LEFT)

    def _send_away(self, ticket: Ticket, answer: Answer) -> None:
        self._patience.discard(ticket)
        self._queue.withdraw(ticket, self._loop.time())
        ticket.end(answer)

    def _waited_too_long(self, ticket: Ticket) -> None:
        reason = f"no worker was free within {self._options.timeout:g} s"
        self._send_away(ticket, unavailable(Cause.SHED, reason))
        self.serve()

"""The workers of one mechanism, and the logins that they have in hand.

The front decides when a worker has done its share: it sends it nothing more and, when the last
answer has come, closes its end, on which the worker leaves. So no login is lost by a retirement,
and ``-n 0`` is a share of one. A worker that says what it may not, or that outlasts a deadline, is
killed; the logins it held are unavailable, and nobody else's.
"""

import asyncio
import contextlib
import enum
import socket
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.core import messages
from pysaslauthd.core.answer import Cause, unavailable
from pysaslauthd.core.messages import Login, MessageError, Result, Status
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.front import losses
from pysaslauthd.front.histogram import Histogram
from pysaslauthd.front.known_names import Standing
from pysaslauthd.front.losses import Loss
from pysaslauthd.front.master_link import MasterLink
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Ticket
from pysaslauthd.front.waiting_room import WaitingRoom
from pysaslauthd.logs import log

IDLE_LIMIT = 10.0
"""Seconds without work after which a worker beyond those kept ready goes again."""

LEAVE_LIMIT = 5.0
"""Seconds that a retired worker has to end before it is killed."""

NOTICE = 20
"""Logins before the end of its share at which a worker's successor is started, so that none is missing."""

STALL_LIMIT = 5.0
"""Seconds without a word from a worker that has many logins in hand before it is asked whether it lives, and then to
answer: its loop may hang, and the front's limit of a login is long."""

START_LIMIT = 10.0
"""Seconds that a new worker has to introduce itself before it is killed."""


class PoolOptions(NamedTuple):
    """What a pool has to know of its mechanism and settings. Times in seconds."""

    name: str
    size: int
    """Workers kept ready."""
    most: int
    """Workers that there may be while logins wait."""
    share: int
    growth_kib: int
    concurrency: int
    login_timeout: float

    @classmethod
    def of(cls, options: Options) -> "PoolOptions":
        """What the command line says of it."""
        return cls(
            name=options.row.name,
            size=options.workers,
            most=options.most_workers,
            share=options.share,
            growth_kib=options.settings.worker_growth >> 10,
            concurrency=options.concurrency,
            login_timeout=options.settings.login_timeout,
        )


class _State(enum.Enum):
    STARTING = enum.auto()
    READY = enum.auto()
    RETIRING = enum.auto()


class _Worker:
    __slots__ = (
        "channel",
        "first_memory_kib",
        "has_successor",
        "held",
        "is_suspected",
        "last_word",
        "number",
        "probes",
        "served",
        "state",
        "timer",
    )

    def __init__(self, number: int, channel: socket.socket) -> None:
        self.number = number
        self.channel = channel
        self.state = _State.STARTING
        self.held: dict[int, Ticket] = {}
        self.served = 0
        self.probes: deque[bool] = deque()
        """Of each probe that is not answered yet, whether the answer is for the log."""
        self.last_word = 0.0
        self.is_suspected = False
        """Whether it was asked for a sign of life, as it had been silent with logins in hand, and has not said anything since."""
        self.has_successor = False
        self.first_memory_kib = 0
        self.timer: asyncio.TimerHandle | None = None
        """Of its start, or of its idleness."""


class Pool:
    """The workers that ``room`` gives its logins to. ``on_ready`` is called when the first of them has come up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        index: int,
        options: PoolOptions,
        master: MasterLink,
        room: WaitingRoom,
        statistics: Statistics,
        on_ready: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._index = index
        self._options = options
        self._master = master
        self._room = room
        self._counts = statistics.workers[options.name]
        self._on_ready: Callable[[], None] | None = on_ready
        self._workers: dict[int, _Worker] = {}
        self._free: list[_Worker] = []
        self._deadlines = Deadlines(loop, options.login_timeout, self._took_too_long)
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._coming = 0
        self._next_id = 1
        if options.concurrency > 1:
            loop.call_later(STALL_LIMIT, self._watch_for_stalled)
        self._fill()

    @property
    def capacity(self) -> int:
        """See :class:`Workers`."""
        return len(self._workers) * self._options.concurrency

    @property
    def name(self) -> str:
        """Of the mechanism."""
        return self._options.name

    @property
    def waiting(self) -> int:
        """The logins that wait for them."""
        return len(self._room)

    @property
    def waited(self) -> Histogram:
        """See :class:`WaitingRoom`."""
        return self._room.waited

    @property
    def took(self) -> Histogram:
        """See :class:`WaitingRoom`."""
        return self._room.took

    @property
    def load(self) -> int:
        """The logins that they hold."""
        return sum(len(worker.held) for worker in self._workers.values())

    def census(self) -> dict[str, int]:
        """How many workers are in which state, those included that the master has still to start or to see end."""
        counts = {"starting": self._coming, "idle": 0, "busy": 0, "leaving": len(self._leaving)}
        for worker in self._workers.values():
            match worker.state:
                case _State.STARTING:
                    counts["starting"] += 1
                case _State.RETIRING:
                    counts["leaving"] += 1
                case _State.READY:
                    counts["busy" if worker.held else "idle"] += 1
        return counts

    def has_room(self) -> bool:
        """See :class:`Workers`."""
        return bool(self._free)

    def give(self, ticket: Ticket) -> bool:
        """See :class:`Workers`."""
        assert ticket.password is not None
        number = self._next_id
        login = Login(
            number,
            ticket.identity,
            ticket.password,
            ticket.request_id,
            yields=ticket.standing is Standing.UNKNOWN,
            is_to_explain=ticket.is_to_explain,
        )
        packet = messages.encode_login(login)
        while self._free:
            worker = self._next_free()
            try:
                worker.channel.send(packet)
            except (BrokenPipeError, ConnectionResetError):
                # It died before it took this login, which is lost on nobody.
                self._lose(worker, losses.DIED)
                continue
            except BlockingIOError:
                # It holds so many that it gets no other until it has answered one.
                self._free.remove(worker)
                if not worker.held:
                    self._condemn(worker, losses.DEAF)
                continue
            except OSError as error:
                log.error(
                    f"{self._options.name} worker {worker.number} cannot be told: {error.strerror}",
                    extra=ticket.mark,
                )
                raise
            self._next_id += 1
            self._assign(worker, number, ticket)
            return True
        return False

    def grow(self, waiting: int) -> None:
        """See :class:`Workers`. Those that are starting are waited for first."""
        starting = self._coming + sum(w.state is _State.STARTING for w in self._workers.values())
        if not starting:
            self._fill(waiting)

    def adopt(self, number: int, channel: socket.socket) -> None:
        """The master started a worker; it counts once it has introduced itself."""
        self._coming = max(0, self._coming - 1)
        self._counts.started += 1
        channel.setblocking(False)
        worker = _Worker(number, channel)
        worker.timer = self._loop.call_later(START_LIMIT, self._started_too_slowly, worker)
        self._workers[number] = worker
        self._loop.add_reader(channel.fileno(), self._receive, worker)

    def gone(self, number: int) -> None:
        """The master saw the worker's end. What it had said before still counts."""
        timer = self._leaving.pop(number, None)
        if timer is not None:
            timer.cancel()
        worker = self._workers.get(number)
        if worker is None:
            return
        while self._receive(worker):
            pass
        # Something it left behind may hold the other end open, so no end of file is waited for.
        self._lose(worker, losses.DIED)

    def probe(self) -> None:
        """Ask each worker for its status, which goes to the log; a busy one answers when it is done."""
        for worker in self._workers.values():
            if worker.state is _State.STARTING:
                worker.probes = deque([True])  # it is about to introduce itself
            elif worker.state is _State.READY and True not in worker.probes:
                self._ask(worker, is_for_log=True)

    def _ask(self, worker: _Worker, *, is_for_log: bool) -> None:
        with contextlib.suppress(OSError):
            worker.channel.send(messages.encode_probe())
            worker.probes.append(is_for_log)
            worker.last_word = self._loop.time()

    def _watch_for_stalled(self) -> None:
        self._loop.call_later(STALL_LIMIT, self._watch_for_stalled)
        self.look_for_stalled(self._loop.time())

    def look_for_stalled(self, now: float) -> None:
        """One that has been silent with logins in hand is asked; one that does not even answer that is killed."""
        for worker in list(self._workers.values()):
            if not worker.held or worker.last_word > now - STALL_LIMIT:
                continue
            if not worker.is_suspected:
                self._ask(worker, is_for_log=False)
                worker.is_suspected = True
                continue
            if self._is_silent(worker):
                log.error(f"{self._options.name} worker {worker.number} gets nothing done and is killed")
                self._condemn(worker, losses.STALLED)

    def _is_silent(self, worker: _Worker) -> bool:
        """Whether it is there and has not said anything even now; we may have been the ones that slept."""
        return not self._receive(worker) and worker.number in self._workers

    def _next_free(self) -> _Worker:
        """The one with the fewest logins; of those that have none the last in the list."""
        if self._options.concurrency == 1:
            return self._free[-1]
        return min(reversed(self._free), key=lambda worker: len(worker.held))

    def _assign(self, worker: _Worker, number: int, ticket: Ticket) -> None:
        ticket.password = None
        self._deadlines.add(number)
        if worker.timer is not None:
            worker.timer.cancel()
        if not worker.held:
            worker.last_word = self._loop.time()  # it had nothing to say
        worker.held[number] = ticket
        worker.served += 1
        share = self._options.share
        if worker.served >= share:
            self._retire(worker)
        elif worker.served == share - min(NOTICE, share // 2):
            self._announce(worker)
        if worker.state is _State.RETIRING or len(worker.held) >= self._options.concurrency:
            self._free.remove(worker)

    def _receive(self, worker: _Worker) -> bool:
        """Take one message; False if there is none, now or for ever."""
        if worker.number not in self._workers:
            return False
        try:
            packet = worker.channel.recv(messages.LARGEST_PACKET)
        except BlockingIOError:
            return False
        except OSError:
            packet = b""
        if not packet:
            self._lose(worker, losses.DIED)
            return False
        worker.last_word = self._loop.time()
        worker.is_suspected = False
        try:
            self._hear(worker, messages.decode_for_front(packet))
        except MessageError as error:
            log.error(
                f"{self._options.name} worker {worker.number} broke the protocol and is killed: {error}"
            )
            self._condemn(worker, losses.PROTOCOL)
        return True

    def _hear(self, worker: _Worker, message: Status | Result) -> None:
        if isinstance(message, Result):
            self._take_result(worker, message)
        elif worker.state is _State.STARTING:
            self._welcome(worker, message)
        elif not worker.probes:
            raise MessageError("a status nobody asked for")
        if isinstance(message, Status) and worker.probes and worker.probes.popleft():
            self._log_status(worker, message)

    def _take_result(self, worker: _Worker, message: Result) -> None:
        ticket = worker.held.pop(message.id, None)
        if ticket is None:
            raise MessageError("an answer to a login it does not hold")
        if worker.state is _State.READY and (reason := self._reason_to_retire(worker, message)):
            log.info(f"{self._options.name} worker {worker.number} retires: {reason}", extra=ticket.mark)
            if worker in self._free:
                self._free.remove(worker)
            self._retire(worker)
        self._deadlines.discard(message.id)
        self._room.finished(ticket, message.answer)
        self._make_free(worker)  # which has the next login before the client has this one's answer
        ticket.end(message.answer)

    def _reason_to_retire(self, worker: _Worker, message: Result) -> str:
        if message.is_spent:
            return "a login has changed it"
        if message.memory_kib > worker.first_memory_kib + self._options.growth_kib:
            return f"it has grown to {message.memory_kib} KiB"
        return ""

    def _welcome(self, worker: _Worker, message: Status) -> None:
        if message.version != messages.VERSION:
            raise MessageError(f"message version {message.version}, expected {messages.VERSION}")
        if worker.timer is not None:
            worker.timer.cancel()
        worker.first_memory_kib = message.memory_kib
        worker.state = _State.READY
        self._make_free(worker)
        if self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()

    def _log_status(self, worker: _Worker, message: Status) -> None:
        log.info(
            "statistics",
            process=self._options.name,
            worker=worker.number,
            served=worker.served,
            descriptors=message.descriptors,
            memory_kib=message.memory_kib,
        )

    def _make_free(self, worker: _Worker) -> None:
        """It has a place more than before, or is to go."""
        if worker.state is _State.RETIRING:
            if not worker.held:
                self._dismiss(worker)
        elif worker not in self._free:
            # One that has a successor stays the next, so that it ends its share; else it is the last that worked.
            is_behind = self._free and self._free[-1].has_successor and not worker.has_successor
            self._free.insert(len(self._free) - bool(is_behind), worker)
        self._room.serve()
        if worker in self._free and self._is_superfluous(worker):
            if worker.timer is not None:
                worker.timer.cancel()
            worker.timer = self._loop.call_later(IDLE_LIMIT, self._idled_too_long, worker)

    def _staying(self) -> int:
        """Workers that are there or on their way, less those that others have been asked to succeed."""
        return self._coming + sum(not worker.has_successor for worker in self._workers.values())

    def _fill(self, waiting: int = 0) -> None:
        """Have as many as are kept ready, and as many as there may be if logins wait for them."""
        wanted = min(self._options.most, max(self._options.size, self._staying() + waiting))
        for _ in range(wanted - self._staying()):
            self._want()

    def _announce(self, worker: _Worker) -> None:
        """It will retire: have its successor started."""
        if not worker.has_successor:
            worker.has_successor = True
            self._replace()

    def _retire(self, worker: _Worker) -> None:
        worker.state = _State.RETIRING
        self._announce(worker)

    def _replace(self) -> None:
        if self._staying() < self._options.size:
            self._want()

    def _want(self) -> None:
        self._coming += 1
        self._master.want(self._index)

    def _idled_too_long(self, worker: _Worker) -> None:
        if worker.number in self._workers and self._is_superfluous(worker):
            self._dismiss(worker)

    def _is_superfluous(self, worker: _Worker) -> bool:
        if worker.held or self._coming + len(self._workers) <= self._options.size:
            return False
        return worker.has_successor or self._staying() > self._options.size

    def _dismiss(self, worker: _Worker) -> None:
        self._forget(worker)
        self._counts.retired += 1
        self._leaving[worker.number] = self._loop.call_later(LEAVE_LIMIT, self._master.kill, worker.number)

    def _condemn(self, worker: _Worker, loss: Loss) -> None:
        self._master.kill(worker.number)
        self._lose(worker, loss)

    def _lose(self, worker: _Worker, loss: Loss) -> None:
        if worker.number not in self._workers:
            return
        self._forget(worker)
        self._counts.lose(loss)
        self._replace()
        answer = unavailable(Cause.CRASH, loss.reason)
        for number, ticket in worker.held.items():
            self._deadlines.discard(number)
            self._room.finished(ticket, answer)
            ticket.end(answer)

    def _forget(self, worker: _Worker) -> None:
        del self._workers[worker.number]
        if worker.timer is not None:
            worker.timer.cancel()
        if worker in self._free:
            self._free.remove(worker)
        self._loop.remove_reader(worker.channel.fileno())
        worker.channel.close()

    def _started_too_slowly(self, worker: _Worker) -> None:
        if not self._is_silent(worker):
            return
        log.error(
            f"{self._options.name} worker {worker.number} did not come up in {START_LIMIT:g} s and is killed"
        )
        self._condemn(worker, losses.NEVER_CAME_UP)

    def _took_too_long(self, number: int) -> None:
        worker = next(worker for worker in self._workers.values() if number in worker.held)
        while not self._is_silent(worker):
            if number not in worker.held or worker.number not in self._workers:
                return
        ticket = worker.held[number]
        ticket.end(unavailable(Cause.DEADLINE, f"no answer within {self._options.login_timeout:g} s"))
        log.error(
            f"{self._options.name} worker {worker.number} outlasted the deadline and is killed",
            extra=ticket.mark,
        )
        self._condemn(worker, losses.DEADLINE)

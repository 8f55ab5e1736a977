"""One front and the workers it asked for.

Channels are made for a generation and never outlive it. When its front ends, its workers are
killed, so no answer that was meant for one client can ever reach another; the supervisor then
starts the next generation. The front is not trusted: it may say a few verbs of fixed size, numbers
and rates are clamped, and anything else ends it.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.core import state, verbs
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.messages import LARGEST_PACKET, VERSION, MessageError
from pysaslauthd.core.state import LONGEST_REASON, State
from pysaslauthd.core.verbs import ForFront, ForMaster, ToFront, ToMaster
from pysaslauthd.logs import LEVELS, log
from pysaslauthd.master import process
from pysaslauthd.master.backoff import Backoff
from pysaslauthd.master.entrances import Entrances
from pysaslauthd.master.privileges import Rights
from pysaslauthd.master.process import Role
from pysaslauthd.sealed import SealedFiles

FORKS_PER_SECOND = 250
"""What ``-n 0`` on this project's test machine can use, and too few to take the machine down."""

FORK_CREDIT = 0.2
"""Seconds of unused forks that may be made up for at once."""

FRONT_SILENCE = 30.0
"""Seconds after which a front that has not said ALIVE (it does each second) is taken for hung."""

_VERBS_PER_WAKEUP = 64


_CHANNEL_BUFFER = 2 * LARGEST_PACKET


class PoolPlan(NamedTuple):
    """The workers of one mechanism, as the master sees them."""

    name: str
    rights: Rights
    limit: int
    """The most that live at a time, those about to leave included."""
    main: Callable[[socket.socket], None]
    runs_programs: bool = False
    """Whether a worker may leave processes behind, which end with it."""
    descriptors: tuple[int, ...] = ()
    """What a worker inherits besides its channel: the copies of its files."""


class FrontPlan(NamedTuple):
    """The front, as the master sees it. ``main`` gets the channel and the listening sockets."""

    rights: Rights
    main: Callable[[socket.socket, tuple[Entrance, ...]], None]
    descriptors: tuple[int, ...] = ()
    """What it inherits besides."""


class Plan(NamedTuple):
    """All that the master starts, and the files that were read for it."""

    front: FrontPlan
    pools: tuple[PoolPlan, ...]
    entrances: Entrances
    files: tuple[SealedFiles, ...]
    watches: tuple[Path, ...]
    """Files whose change makes the cache worthless."""
    drain_limit: float
    """Seconds in which a front that drains has answered its last login, as every login has a limit."""
    summary: str
    """Who checks the logins, in a few words for an administrator."""
    fault: str = ""
    """Why no login is possible, if that is so from the start."""

    @property
    def impossible(self) -> str:
        """The same as a sentence."""
        return f"no login is possible: {self.fault}" if self.fault else ""

    def close(self) -> None:
        """Give the copies of files up: no process will be started with them any more."""
        for files in self.files:
            files.close()


class NotReloadedError(Exception):
    """There is no plan to reload with; the message says why in a line. The log has been told all."""


class _Worker(NamedTuple):
    number: int
    pool: int


class Generation:
    """Starts, feeds and ends one front and its workers. All times are monotonic seconds."""

    def __init__(self, plan: Plan, now: float) -> None:
        self.plan = plan
        self.channel, theirs = _channel()
        # The socket and not each call: Python's send_fds takes flags and forgets them.
        self.channel.setblocking(False)
        self.is_ready = False
        self._workers_lost = 0
        self.front_ended = False
        self._drain_ends: float | None = None
        self._pools = pools = plan.pools
        self._workers: dict[int, _Worker] = {}
        self._pids: dict[int, int] = {}
        self._condemned: set[int] = set()
        self._wanted = [0] * len(pools)
        self._backoffs = [Backoff() for _ in pools]
        self._next_number = 1
        self._next_fork = now
        self._last_sign = now
        self._is_probed = False
        self._has_answered = False
        self._told: State | None = None
        self._wishes: dict[ToMaster, ForMaster] = {}
        with theirs:
            front, entrances = plan.front, plan.entrances.for_a_front
            sockets = (theirs, *(each.socket for each in entrances))
            descriptors = (*(each.fileno() for each in sockets), *front.descriptors)
            try:
                self.front_pid = process.start(
                    Role(
                        "pysasl-front",
                        front.rights,
                        descriptors,
                        lambda: front.main(theirs, entrances),
                        goes_first=True,
                    )
                )
            except OSError:
                self.channel.close()
                raise
        log.debug(f"forked front: {self.front_pid}")

    @property
    def is_over(self) -> bool:
        """Whether not a process of it is left."""
        return self.front_ended and not self._workers

    @property
    def draining(self) -> bool:
        """Whether it takes no more logins."""
        return self._drain_ends is not None

    @property
    def worker_count(self) -> int:
        """Workers alive, those about to leave included."""
        return len(self._workers)

    def hear(self, now: float) -> None:
        """Do what the front asks. To be called when its channel is readable.

        A front that breaks the protocol is killed.
        """
        try:
            for _ in range(_VERBS_PER_WAKEUP):
                packet, flags = self._received()
                if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                    raise MessageError("descriptors or an oversized packet from the front")
                if not packet:
                    # Its end is closed: the process is dead, or as good as.
                    self._kill_front()
                    return
                self._obey(verbs.decode_for_master(packet), now)
        except BlockingIOError:
            pass
        except MessageError as error:
            log.error(f"front {self.front_pid} broke the protocol and is killed: {error}")
            self._kill_front()
        except OSError:
            self._kill_front()

    def _received(self) -> tuple[bytes, int]:
        """The next packet and its flags. No room for descriptors: the kernel drops them and says so in the flags."""
        try:
            packet, _, flags, _ = self.channel.recvmsg(verbs.SIZE + 1)
        except ConnectionResetError:
            # It ended with a verb of ours unread, which is said before what it said itself; once.
            packet, _, flags, _ = self.channel.recvmsg(verbs.SIZE + 1)
        return packet, flags

    def tick(self, now: float) -> float:
        """Start what is due; the time of the next call if nothing else happens before.

        To be called while the front lives.
        """
        if now - self._last_sign > FRONT_SILENCE:
            self.hear(now)  # we may have been the ones that slept
        if now - self._last_sign > FRONT_SILENCE:
            log.error(f"front {self.front_pid} gave no sign for {FRONT_SILENCE:.0f} s and is killed")
            self._kill_front()
            self._last_sign = now
        due = self._last_sign + FRONT_SILENCE + 0.1
        if self._drain_ends is not None:
            if now > self._drain_ends:
                log.error(f"front {self.front_pid} does not end and is killed")
                self._kill_front()
            else:
                due = min(due, self._drain_ends + 0.1)
        for pool, plan in enumerate(self._pools):
            while self._wanted[pool] and self._count(pool) < plan.limit:
                not_before = max(self._backoffs[pool].not_before, self._next_fork)
                if not_before > now:
                    due = min(due, not_before)
                    break
                self._wanted[pool] -= 1
                self._start_worker(pool, now)
        return due

    def ended(self, pid: int, status: int, now: float) -> bool:
        """Note that a child ended, with its wait status; False if it is none of this generation."""
        if pid == self.front_pid and not self.front_ended:
            self.front_ended = True
            self.channel.close()
            self._kill_workers()
            return True
        worker = self._workers.pop(pid, None)
        if worker is None:
            return False
        del self._pids[worker.number]
        if self._pools[worker.pool].runs_programs:
            _end_session(pid)
        if self.front_ended:
            return True
        if not has_left(status):
            self._workers_lost += 1
        if not has_left(status) and worker.number not in self._condemned:
            self._backoffs[worker.pool].died(now)
            if not self.draining:
                log.warning(f"{self._pools[worker.pool].name} worker {pid} {describe_status(status)}")
        self._condemned.discard(worker.number)
        self._tell(ForFront(ToFront.GONE, worker.pool, worker.number))
        return True

    def knows(self, pid: int) -> bool:
        """Whether it is a living process of this generation."""
        return pid in self._workers or (pid == self.front_pid and not self.front_ended)

    def drain(self, now: float) -> None:
        """Have the front take who has connected, finish what it began and leave."""
        self._drain_ends = now + self.plan.drain_limit
        self._tell(ForFront(ToFront.DRAIN))

    def hand_over(self, now: float) -> None:
        """Have the front finish what it began and leave; who has only connected is the next daemon's."""
        self._drain_ends = now + self.plan.drain_limit
        self._tell(ForFront(ToFront.HAND_OVER))

    def probe(self) -> None:
        """Ask the front to serve a client, unless it has still to answer that."""
        if not self._is_probed:
            self._is_probed = True
            self._tell(ForFront(ToFront.PROBE))

    def take_answer(self) -> bool:
        """Whether it has served the last probe; true once."""
        has_answered, self._has_answered = self._has_answered, False
        return has_answered

    def take_lost(self) -> int:
        """How many workers have ended otherwise than they should while the front lived; each counts once."""
        lost, self._workers_lost = self._workers_lost, 0
        return lost

    def inform(self, of: State) -> None:
        """Have its front answer administrators, and tell it how the daemon is, if it does not know."""
        if of != self._told:
            self._told = of
            self._tell(ForFront(ToFront.STATE, text=state.encode(of)))

    def take_wishes(self) -> list[ForMaster]:
        """What its front asks of the daemon as a whole since this was called last: of each verb the last."""
        wishes, self._wishes = self._wishes, {}
        return list(wishes.values())

    def reloaded(self, number: int, why_not: str) -> None:
        """Tell its front what became of the reload that it asked for."""
        self._tell(ForFront(ToFront.RELOADED, number=number, text=why_not[:LONGEST_REASON]))

    def report(self) -> None:
        """Have the front log its statistics."""
        self._tell(ForFront(ToFront.REPORT))

    def forget(self) -> None:
        """Have the front empty its cache."""
        self._tell(ForFront(ToFront.FORGET))

    def kill(self) -> None:
        """End it now; logins in hand are lost."""
        self._kill_front()
        self._kill_workers()

    def _obey(self, message: ForMaster, now: float) -> None:
        self._last_sign = now
        match message.verb:
            case ToMaster.READY:
                if message.number != VERSION:
                    raise MessageError(f"message version {message.number}, expected {VERSION}")
                self.is_ready = True
            case ToMaster.WANT:
                self._want(message.pool)
            case ToMaster.KILL:
                if not 0 < message.number < self._next_number:
                    raise MessageError(f"no worker {message.number}")
                self._kill_worker(message.number)
            case ToMaster.ALIVE:
                pass
            case ToMaster.SERVED:
                if not self._is_probed:
                    raise MessageError("an answer to a probe nobody sent")
                self._is_probed, self._has_answered = False, True
            case ToMaster.RELOAD | ToMaster.LEVEL:
                self._wish(message)

    def _want(self, pool: int) -> None:
        if pool >= len(self._pools):
            raise MessageError(f"no pool {pool}")
        self._wanted[pool] = min(self._wanted[pool] + 1, self._pools[pool].limit)

    def _wish(self, message: ForMaster) -> None:
        if message.verb is ToMaster.LEVEL and message.number >= len(LEVELS):
            raise MessageError(f"no level {message.number}")
        self._wishes[message.verb] = message

    def _start_worker(self, pool: int, now: float) -> None:
        plan = self._pools[pool]
        number = self._next_number
        try:
            ours, theirs = _channel()
            with ours, theirs:
                pid = process.start(
                    Role(
                        f"pysasl-{plan.name}",
                        plan.rights,
                        (theirs.fileno(), *plan.descriptors),
                        lambda: plan.main(theirs),
                        plan.runs_programs,
                    )
                )
                self._next_number += 1
                self._next_fork = max(self._next_fork, now - FORK_CREDIT) + 1 / FORKS_PER_SECOND
                self._workers[pid] = _Worker(number, pool)
                self._pids[number] = pid
                self._tell(ForFront(ToFront.WORKER, pool, number), ours.fileno())
        except OSError as error:
            log.error(f"cannot start a {plan.name} worker: {error.strerror}")
            self._backoffs[pool].died(now)
            self._wanted[pool] += 1
            return
        log.debug(f"forked child: {pid} (worker {number})")

    def _tell(self, message: ForFront, *descriptors: int) -> None:
        if self.front_ended:
            return
        try:
            socket.send_fds(self.channel, [verbs.encode(message)], descriptors)
        except BlockingIOError:
            log.error(f"front {self.front_pid} does not listen and is killed")
            self._kill_front()
        except OSError:
            self._kill_front()  # it is gone already, and its end will be noticed

    def _count(self, pool: int) -> int:
        return sum(worker.pool == pool for worker in self._workers.values())

    def _kill_front(self) -> None:
        # Not reaped yet, so the pid is still ours.
        if not self.front_ended:
            os.kill(self.front_pid, signal.SIGKILL)

    def _kill_worker(self, number: int) -> None:
        pid = self._pids.get(number)
        if pid is not None:
            self._condemned.add(number)
            os.kill(pid, signal.SIGKILL)

    def _kill_workers(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)


def _end_session(session: int) -> None:
    for pid in process.members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _channel() -> tuple[socket.socket, socket.socket]:
    """Two ends that take the largest packet, whatever the system's default is."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHANNEL_BUFFER)
    return ends


def has_left(status: int) -> bool:
    """Whether a wait status is that of a child whose code came to its end."""
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == process.EXIT_LEFT


def describe_status(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"

"""The master's life: start a generation, replace it when it ends, stop when told to."""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.logs import log
from pysaslauthd.master import kernel, process
from pysaslauthd.master.backoff import Backoff
from pysaslauthd.master.generation import FrontPlan, Generation, PoolPlan, describe_status
from pysaslauthd.master.readiness import CANNOT_START, Readiness
from pysaslauthd.master.runpath import MuxSocket, RunPathError

STARTUP_LIMIT = 20.0
"""Seconds in which the first login must be possible, or the start has failed."""

STOP_GRACE = 5.0
"""Seconds that logins in hand have to end after a stop was asked for; a second signal ends them at once."""

EXIT_START_FAILED = 1

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Plan(NamedTuple):
    """All that the master starts."""

    front: FrontPlan
    pools: tuple[PoolPlan, ...]
    mux: MuxSocket


def hold_signals() -> None:
    """Let signals wait until a :class:`Supervisor` runs, so that one that comes early stops in order."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Supervisor:
    """Runs generations until a signal ends it. Everything it waits for has a limit."""

    def __init__(self, plan: Plan, readiness: Readiness) -> None:
        self._plan = plan
        self._readiness = readiness
        self._selector = selectors.DefaultSelector()
        self._current: Generation | None = None
        self._ending: list[Generation] = []
        self._backoff = Backoff()
        self._startup_ends: float | None = time.monotonic() + STARTUP_LIMIT
        self._stop_at: float | None = None
        self._status = 0
        # Where there are others already, an orphan may be theirs: a shell's that became us by exec, or a container's.
        self._owns_orphans = os.getpid() != 1 and not process.children()

    def run(self) -> int:
        """Supervise until the end; the exit status."""
        if self._owns_orphans:
            kernel.adopt_orphans()
        with self._signal_pipe() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                due = self._advance(now)
                if due is None:
                    return self._status
                for key, _ in self._selector.select(max(0.0, due - now)):
                    if key.fileobj is signals:
                        self._on_signals(signals)
                    elif self._current is not None:
                        self._current.hear(time.monotonic())
                self._reap()

    @contextlib.contextmanager
    def _signal_pipe(self) -> Iterator[socket.socket]:
        """Signals arrive as bytes on a socket, so the loop needs no handler that does anything."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            for number in _SIGNALS:
                signal.signal(number, lambda *_: None)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # as the original; PIPE is ignored by Python
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            try:
                yield ours
            finally:
                # Who asks for the end now has it already, and shall see the right exit status. Python
                # gives its own handlers back to the system before it exits, but leaves ignored alone.
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                signal.set_wakeup_fd(-1)

    def _advance(self, now: float) -> float | None:
        """Do what is due now; when to look again, or None when all is over."""
        if self._stop_at is not None:
            return self._advance_stop(now, self._stop_at)
        if self._startup_ends is not None:
            self._advance_startup(now, self._startup_ends)
        if self._current is None and now >= self._backoff.not_before:
            self._start_generation(now)
        due = self._backoff.not_before if self._current is None else self._current.tick(now)
        return due if self._startup_ends is None else min(due, self._startup_ends)

    def _advance_startup(self, now: float, ends: float) -> None:
        if self._current is not None and self._current.is_ready:
            self._startup_ends = None
            self._readiness.ready()
        elif now >= ends:
            self._fail(f"no login was possible within {STARTUP_LIMIT:.0f} s")

    def _advance_stop(self, now: float, stop_at: float) -> float | None:
        if self._current is None and not self._ending:
            return None
        if now >= stop_at + STOP_GRACE:
            log.error("some processes cannot be killed; leaving without them")
            return None
        if now >= stop_at:
            self._kill_all()
            return stop_at + STOP_GRACE
        # The logins in hand may still need a worker.
        return min(stop_at, self._current.tick(now) if self._current is not None else stop_at)

    def _start_generation(self, now: float) -> None:
        try:
            self._plan.mux.repair()
            self._current = Generation(self._plan.front, self._plan.pools, now)
        except (OSError, RunPathError) as error:
            log.error(f"cannot start a front: {error}")
            self._backoff.died(now)
            return
        self._selector.register(self._current.channel, selectors.EVENT_READ)

    def _on_signals(self, signals: socket.socket) -> None:
        for number in signals.recv(4096):
            if number in {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            elif number == signal.SIGHUP:
                log.info("hangup ignored: this version has nothing to reload")
            elif number == signal.SIGUSR1 and self._current is not None:
                workers = self._current.worker_count
                log.info("statistics", process="master", descriptors=len(open_descriptors()), workers=workers)
                self._current.report()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        now = time.monotonic()
        generation = self._current
        if generation is not None and pid == generation.front_pid:
            # Before it closes the channel, which the selector must forget first.
            self._selector.unregister(generation.channel)
            generation.ended(pid, status, now)
            self._current = None
            self._ending.append(generation)
            if self._stop_at is None:
                log.error(f"front {pid} {describe_status(status)}; its logins are lost, a new one starts")
                self._backoff.died(now)
                if self._startup_ends is not None and not generation.is_ready:
                    self._fail(f"the front {describe_status(status)}")
        else:
            for each in (*self._ending, *([generation] if generation else [])):
                if each.ended(pid, status, now):
                    break
            else:
                log.debug(f"child exited: {pid}")
        self._ending = [each for each in self._ending if not each.is_over]
        self._kill_strays()

    def _kill_strays(self) -> None:
        """End what a worker's program left behind and we adopted, even in a session of its own."""
        if not self._owns_orphans:
            return
        generations = [*self._ending, *([self._current] if self._current else [])]
        for pid in process.children():
            if not any(generation.knows(pid) for generation in generations):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _fail(self, text: str) -> None:
        self._status = EXIT_START_FAILED
        log.critical(f"cannot start: {text}")
        self._readiness.failed(EXIT_START_FAILED, f"{CANNOT_START}\n{text}\nCheck syslog for errors")
        self._plan.mux.remove()
        self._stop_at = time.monotonic()

    def _stop(self) -> None:
        now = time.monotonic()
        if self._stop_at is not None:
            self._stop_at = now
            return
        self._stop_at = now + STOP_GRACE
        # Who comes now hears at once that nobody is here; who came before is still answered.
        self._plan.mux.remove()
        self._readiness.failed(EXIT_START_FAILED, f"{CANNOT_START}\nstopped by a signal")
        if self._current is not None:
            self._current.drain()

    def _kill_all(self) -> None:
        for generation in (*self._ending, *([self._current] if self._current else [])):
            generation.kill()

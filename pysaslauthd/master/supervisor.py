"""The master's life: start a generation, replace it when it ends or all is to be read anew, stop when told to.

A reload starts a generation with what the files hold now; once that can answer, the one before
takes no more logins, finishes what it has and ends. Both listen on the same sockets, so no client
notices.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator

from pysaslauthd import logs
from pysaslauthd.core.state import State
from pysaslauthd.core.verbs import ToMaster
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.logs import log
from pysaslauthd.master import kernel, process
from pysaslauthd.master.backoff import Backoff
from pysaslauthd.master.generation import Generation, NotReloadedError, Plan, describe_status, has_left
from pysaslauthd.master.mux import LostSocketError
from pysaslauthd.master.notify import ServiceManager
from pysaslauthd.master.readiness import CANNOT_START, Readiness
from pysaslauthd.master.reloads import Reloads
from pysaslauthd.master.runpath import RunPathError
from pysaslauthd.master.watch import FileWatch
from pysaslauthd.master.watchdog import Watchdog

STARTUP_LIMIT = 20.0
"""Seconds in which the first login must be possible, or the start has failed."""

STOP_GRACE = 5.0
"""Seconds that logins in hand have to end after a stop was asked for; a second signal ends them at once.

Who comes meanwhile is turned away, so it cannot be long. Where he waits for the next daemon instead,
it is as long as a login may take, and none is lost.
"""

EXIT_START_FAILED = 1
EXIT_NO_SOCKET = 1

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


RELOAD_LOOK = 0.2
"""Seconds between two looks at whether a reload that is wanted may begin."""

MOST_LEAVING = 3
"""Generations that may be answering their last logins before another reload waits for one to end."""

Reload = Callable[[Plan], Plan]
"""Makes the plan of the next generation, by the one in force, or raises :class:`NotReloadedError`."""


def hold_signals() -> None:
    """Let signals wait until a :class:`Supervisor` runs, so that one that comes early stops in order."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Supervisor:
    """Runs generations until a signal ends it. Everything it waits for has a limit."""

    def __init__(self, plan: Plan, readiness: Readiness, reload: Reload, manager: ServiceManager) -> None:
        self._plan = plan
        self._manager = manager
        self._watchdog = Watchdog(manager)
        self._watch = FileWatch(plan.watches, time.monotonic())
        self._readiness = readiness
        self._reload = reload
        self._reloads = Reloads()
        self._is_reloading = False
        """Whether the service manager waits for the end of a reload."""
        self._known = State(started=time.time(), log_level="debug" if logs.is_debug() else "info")
        self._trouble = ""
        """Why no front answers, until one does."""
        self._selector = selectors.DefaultSelector()
        self._current: Generation | None = None
        self._next: Generation | None = None
        """What a reload started, until it can answer."""
        self._next_ends = 0.0
        self._next_watch = self._watch
        """How the files were that the next generation's answers hang on, before it began."""
        self._leaving: list[Generation] = []
        """Those that drain, and those without a front that have workers still."""
        self._backoff = Backoff()
        self._startup_ends: float | None = time.monotonic() + STARTUP_LIMIT
        self._stop_at: float | None = None
        self._status = 0
        # Where there are others already, an orphan may be theirs: a shell's that became us by exec, or a container's.
        self._owns_orphans = os.getpid() != 1 and not process.children()

    def run(self) -> int:
        """Supervise until the end; the exit status. However it ends, no socket of ours is left."""
        try:
            return self._supervise()
        finally:
            self._plan.entrances.remove()

    def _supervise(self) -> int:
        if self._owns_orphans:
            kernel.adopt_orphans()
        with self._signal_pipe() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                due = self._advance(now)
                if due is None:
                    return self._status
                due = min(due, self._inform(now))
                for key, _ in self._selector.select(max(0.0, due - now)):
                    if key.fileobj is signals:
                        self._on_signals(signals)
                    else:
                        key.data.hear(time.monotonic())
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

    def _generations(self) -> list[Generation]:
        return [each for each in (*self._leaving, self._current, self._next) if each is not None]

    def _advance(self, now: float) -> float | None:
        """Do what is due now; when to look again, or None when all is over."""
        self._grant_wishes()
        if self._stop_at is not None:
            return self._advance_stop(now, self._stop_at)
        if self._current is not None and self._current.is_ready:
            self._trouble = ""
        if self._startup_ends is not None:
            self._advance_startup(now, self._startup_ends)
        else:
            self._advance_reload(now)
        if self._current is None and now >= self._backoff.not_before:
            self._current = self._started(self._plan, now)
        for path in self._watch.look(now):
            log.info(f"{path} has changed; the cache is emptied")
            for each in self._generations():
                each.forget()
        due = [self._tick(now), self._watch.due]
        if self._current is None:
            due.append(self._backoff.not_before)
        if self._startup_ends is not None:
            due.append(self._startup_ends)
        return min(*due, self._reload_due(now))

    def _inform(self, now: float) -> float:
        """Tell the service manager and the front how things are; when to do so again if nothing happens before."""
        if self._current is not None:
            self._current.inform(self._known)
        self._manager.status(self._state())
        return min(self._watchdog.look(self._current, now), self._manager.flush(now))

    def _state(self) -> str:
        if self._stop_at is not None:
            return self._trouble or "stopping: logins in hand are answered"
        if self._startup_ends is not None:
            return "starting"
        if self._current is None or not self._current.is_ready:
            return f"no login is answered until a new front is ready: {self._trouble}"
        what = self._plan.impossible or f"answering logins: {self._plan.summary}"
        why = self._known.not_reloaded
        return f"{what}; not reloaded: {why}" if why else what

    def _tick(self, now: float) -> float:
        """Let the living do what is due; when they want to be looked at again."""
        return min(
            (each.tick(now) for each in self._generations() if not each.front_ended),
            default=now + STARTUP_LIMIT,
        )

    def _advance_startup(self, now: float, ends: float) -> None:
        if self._current is not None and self._current.is_ready:
            self._startup_ends = None
            self._readiness.ready(self._plan.impossible)
            self._manager.ready()
            if self._reloads.is_wanted:
                self._announce_reload()
        elif now >= ends:
            self._fail(f"no login was possible within {STARTUP_LIMIT:.0f} s")

    def _advance_reload(self, now: float) -> None:
        if self._next is not None:
            if self._next.is_ready:
                self._promote(self._next, now)
            elif now >= self._next_ends:
                self._reload_failed(f"no login was possible within {STARTUP_LIMIT:.0f} s")
                self._next.kill()
                self._leave(self._next)
                self._give_up(self._next.plan)
                self._next = None
        elif self._is_reload_due(now):
            self._reloads.begin(now)
            self._begin_reload()
        is_over = self._next is None and not self._reloads.is_wanted and self._stop_at is None
        if self._is_reloading and is_over:
            self._is_reloading = False
            self._manager.ready()

    def _reload_due(self, now: float) -> float:
        """When to look again what becomes of a reload."""
        if self._next is not None:
            return self._next_ends
        return max(self._reloads.not_before, now + RELOAD_LOOK) if self._reloads.is_wanted else float("inf")

    def _is_reload_due(self, now: float) -> bool:
        wanted = self._reloads
        return wanted.is_wanted and now >= wanted.not_before and len(self._leaving) < MOST_LEAVING

    def _begin_reload(self) -> None:
        try:
            plan = self._reload(self._plan)
        except NotReloadedError as error:
            self._reload_ended(str(error))
            return
        now = time.monotonic()  # an inspection may take its time
        self._next_ends = now + STARTUP_LIMIT
        self._next_watch = FileWatch(plan.watches, now)
        self._next = self._started(plan, now)
        if self._next is None:
            self._reload_ended(self._trouble)
            self._give_up(plan)
            plan.close()

    def _reload_failed(self, why: str) -> None:
        log.error(f"reload failed: {why}")
        self._reload_ended(why)

    def _reload_ended(self, why_not: str = "") -> None:
        self._known = self._known._replace(reloaded=time.time(), not_reloaded=why_not)
        self._reloads.ended(why_not)

    def _announce_reload(self) -> None:
        if self._startup_ends is None and self._stop_at is None:
            self._is_reloading = True
            self._manager.reloading()

    def _grant_wishes(self) -> None:
        """Do what administrators ask by way of a front."""
        for each in self._generations():
            for wish in each.take_wishes():
                if wish.verb is ToMaster.RELOAD:
                    self._reloads.ask(each, wish.number)
                    if not self._is_reloading:  # a front could say so without end
                        self._announce_reload()
                else:
                    self._set_level(logs.LEVELS[wish.number])
        if self._stop_at is not None:
            self._reloads.give_up("the daemon is stopping")

    def _set_level(self, level: str) -> None:
        """Of this process and those that it starts; the front hears of it."""
        if level != self._known.log_level:
            log.warning(f"log level {level} from now on")
            logs.set_level(level)
            self._known = self._known._replace(log_level=level)

    def _promote(self, generation: Generation, now: float) -> None:
        """From now on it is the one that takes logins, and it is what a dead front is replaced by."""
        before, self._current, self._next = self._current, generation, None
        abandoned, self._plan = self._plan, generation.plan
        self._watch = self._next_watch
        self._give_up(abandoned)
        self._plan.entrances.settle()
        if before is not None:
            before.drain(now)
            self._leave(before)
        log.info("reloaded")
        self._reload_ended()  # whoever asked by the one before hears of it when that takes nobody any more
        self._close_unused(abandoned)

    def _give_up(self, plan: Plan) -> None:
        """Listen no more where only ``plan`` wanted to."""
        plan.entrances.give_up(self._plan.entrances)

    def _leave(self, generation: Generation) -> None:
        self._leaving.append(generation)

    def _close_unused(self, plan: Plan) -> None:
        """Close the copies of files that no process will be started with any more."""
        if plan is not self._plan and all(each.plan is not plan for each in self._generations()):
            plan.close()

    def _advance_stop(self, now: float, stop_at: float) -> float | None:
        if not self._generations():
            return None
        if now >= stop_at + STOP_GRACE:
            log.error("some processes cannot be killed; leaving without them")
            return None
        if now >= stop_at:
            self._kill_all()
            return stop_at + STOP_GRACE
        # The logins in hand may still need a worker.
        return min(stop_at, self._tick(now))

    def _started(self, plan: Plan, now: float) -> Generation | None:
        if self._stop_at is not None:
            return None
        try:
            plan.entrances.repair()
            generation = Generation(plan, now)
        except LostSocketError as error:
            # Who supervises us can have it made anew, and us with it.
            self._trouble = str(error)
            log.critical(self._trouble)
            self._status = EXIT_NO_SOCKET
            self._stop()
            return None
        except (OSError, RunPathError) as error:
            self._trouble = f"cannot start a front: {error}"
            log.error(self._trouble)
            self._backoff.died(now)
            return None
        self._selector.register(generation.channel, selectors.EVENT_READ, generation)
        return generation

    def _on_signals(self, signals: socket.socket) -> None:
        for number in signals.recv(4096):
            if number in {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            elif number == signal.SIGHUP:
                self._reloads.want()
                self._announce_reload()
            elif number == signal.SIGUSR1:
                self._report()

    def _report(self) -> None:
        generations = self._generations()
        workers = sum(each.worker_count for each in generations)
        log.info("statistics", process="master", descriptors=len(open_descriptors()), workers=workers)
        for each in generations:
            each.report()

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
        for each in self._generations():
            is_front = pid == each.front_pid and not each.front_ended
            if is_front:
                # Before it closes the channel, which the selector must forget first.
                self._selector.unregister(each.channel)
            if each.ended(pid, status, now):
                lost = self._known.workers_lost + each.take_lost()
                self._known = self._known._replace(workers_lost=lost)
                if is_front:
                    self._front_ended(each, status, now)
                break
        else:
            log.debug(f"child exited: {pid}")
        over = [each for each in self._leaving if each.is_over]
        self._leaving = [each for each in self._leaving if not each.is_over]
        for each in over:
            self._close_unused(each.plan)
        self._kill_strays()

    def _front_ended(self, generation: Generation, status: int, now: float) -> None:
        if generation is self._next:
            self._next = None
            self._give_up(generation.plan)
            if self._stop_at is None:
                self._reload_failed(f"the front {describe_status(status)}")
        elif generation is self._current:
            self._current = None
            if self._stop_at is None:
                self._trouble = f"the front {describe_status(status)}"
                log.error(
                    f"front {generation.front_pid} {describe_status(status)}; its logins are lost, a new one starts"
                )
                self._known = self._known._replace(fronts_lost=self._known.fronts_lost + 1)
                self._backoff.died(now)
                if self._startup_ends is not None and not generation.is_ready:
                    self._fail(f"the front {describe_status(status)}")
        else:
            if self._stop_at is None and not has_left(status):
                log.error(f"front {generation.front_pid} {describe_status(status)}; its last logins are lost")
            return
        self._leave(generation)

    def _kill_strays(self) -> None:
        """End what a worker's program left behind and we adopted, even in a session of its own."""
        if not self._owns_orphans:
            return
        generations = self._generations()
        for pid in process.children():
            if not any(generation.knows(pid) for generation in generations):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _fail(self, text: str) -> None:
        self._status = EXIT_START_FAILED
        log.critical(f"cannot start: {text}")
        self._readiness.failed(EXIT_START_FAILED, f"{CANNOT_START}\n{text}\nCheck syslog for errors")
        self._plan.entrances.remove()
        self._trouble = f"cannot start: {text}"
        self._stop_at = time.monotonic()
        self._manager.stopping(STOP_GRACE)

    def _stop(self) -> None:
        now = time.monotonic()
        if self._stop_at is not None:
            self._stop_at = now
            return
        if self._next is not None:
            self._give_up(self._next.plan)
        entrances = self._plan.entrances
        grace = STOP_GRACE
        if entrances.outlives_us:
            grace = max((each.plan.drain_limit for each in self._generations()), default=STOP_GRACE)
        self._stop_at = now + grace
        self._manager.stopping(grace + STOP_GRACE)
        # Who comes now hears at once that nobody is here; who came before is still answered.
        entrances.remove()
        self._readiness.failed(EXIT_START_FAILED, f"{CANNOT_START}\nstopped by a signal")
        self._grant_wishes()
        for each in self._generations():
            if each.draining:
                continue
            if entrances.outlives_us:
                each.hand_over(now)
            else:
                each.drain(now)

    def _kill_all(self) -> None:
        for each in self._generations():
            each.kill()

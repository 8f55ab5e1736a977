"""What the soak test does to its daemons and directory servers while clients ask them."""

import contextlib
import os
import random
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from support.daemon import FRONT
from support.processes import Process, read_process
from support.soak_clients import Clients
from support.soak_judge import Judge, Trouble
from support.soak_subjects import LIMITS, LogNews, Server, Subject
from support.tcp_proxy import PASS, REFUSE, SILENT, Mode, cut_after, drip
from support.waiting import wait_until

_MODES = (SILENT, cut_after(0), cut_after(5), cut_after(5, is_reset=True), drip(0.3))
_LOOK, _STANDSTILL = 0.05, 0.5
"""Seconds between two looks at the clock, and what is more than a busy machine makes of them."""

_RELOAD_LIMIT = 60.0
"""Seconds: a reload waits while three generations have logins in hand."""

_RELOADED = re.compile(r":reloaded\n|reload failed|not reloaded")


@contextlib.contextmanager
def seeing_standstills(judge: Judge) -> Iterator[None]:
    """Have the judge hear of it when the machine has stood still, as one that others use does."""
    is_over = threading.Event()

    def look() -> None:
        before = time.monotonic()
        while not is_over.wait(_LOOK):
            now = time.monotonic()
            if now - before > _STANDSTILL:
                judge.stood_still(before, now)
            before = now

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        is_over.set()
        looking.join()


class Disturber:
    """Kills, stops and reloads one daemon. ``over`` ends every pause."""

    def __init__(self, subject: Subject, judge: Judge, chance: random.Random, over: threading.Event) -> None:
        self._subject = subject
        self._judge = judge
        self._chance = chance
        self._over = over
        self._clients = Clients(subject, judge, chance)
        self.killed: set[int] = set()
        self._deeds: dict[Callable[[], None], int] = {
            self._kill_worker: 5,
            self._kill_front: 2,
            self._stop_worker: 2,
            self._reload: 4,
            self._clients.flood: 2,
            subject.refresh: 1,
        }

    def disturb(self) -> None:
        """Do one thing, and undo it."""
        self._over.wait(self._chance.uniform(0.2, 2.0))
        if not self._over.is_set():
            self._chance.choices(list(self._deeds), list(self._deeds.values()))[0]()

    def _kill_worker(self) -> None:
        with self._one(self._subject.worker_name) as (victim, process), self._during(Trouble.WORKER_KILLED):
            self._kill(victim, process)

    def _kill_front(self) -> None:
        with self._one(FRONT) as (victim, process):
            with self._during(Trouble.FRONT_KILLED):
                self._kill(victim, process)
            wait_until(lambda: self._subject.children(FRONT), f"{self._subject.name}: another front")

    def _kill(self, victim: Process, process: int) -> None:
        self.killed.add(victim.pid)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        # Not what /proc says: a process whose first thread is dead may still hold its sockets by the others.
        wait_until(lambda: select.select([process], [], [], 0)[0], f"{victim} is dead")

    def _stop_worker(self) -> None:
        """For some time, which may be longer than a login has."""
        with self._one(self._subject.worker_name) as (_, process), self._during(Trouble.WORKER_STOPPED):
            signal.pidfd_send_signal(process, signal.SIGSTOP)
            try:
                self._over.wait(self._chance.uniform(0.2, LIMITS.login + 3.0))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGCONT)

    def _reload(self) -> None:
        news = LogNews(self._subject)
        with self._during(Trouble.RELOAD):
            self._subject.reload()
            wait_until(lambda: news.tell_of(_RELOADED), f"{self._subject.name}: reload", _RELOAD_LIMIT)

    def _during(self, trouble: Trouble) -> contextlib.AbstractContextManager[None]:
        return self._judge.during(self._subject.name, trouble)

    @contextlib.contextmanager
    def _one(self, name: str) -> Iterator[tuple[Process, int]]:
        """One of the processes of that name, held so that no other can be taken for it."""
        held = wait_until(lambda: self._held(name), f"{self._subject.name}: a {name}")
        assert held is not None
        victim, process = held
        try:
            yield victim, process
        finally:
            os.close(process)

    def _held(self, name: str) -> tuple[Process, int] | None:
        victims = self._subject.children(name)
        if not victims:
            return None
        victim = self._chance.choice(sorted(victims, key=lambda each: each.pid))
        try:
            process = os.pidfd_open(victim.pid)
        except ProcessLookupError:
            return None
        if read_process(victim.pid) == victim:
            return victim, process
        os.close(process)
        return None


class Flapper:
    """Has directory servers fail, mostly one and sometimes all at a time."""

    def __init__(
        self,
        subject: Subject,
        servers: Sequence[Server],
        judge: Judge,
        chance: random.Random,
        over: threading.Event,
    ) -> None:
        self._subject = subject
        self._servers = servers
        self._judge = judge
        self._chance = chance
        self._over = over

    def flap(self) -> None:
        """One failure, and its end."""
        self._over.wait(self._chance.uniform(0.5, 4.0))
        if self._over.is_set():
            return
        count = len(self._servers) if self._chance.random() < 0.3 else 1
        with contextlib.ExitStack() as stack:
            for number in self._chance.sample(range(len(self._servers)), count):
                stack.enter_context(self._judge.during(self._subject.name, Trouble.SERVER_DOWN, number))
                failure = self._chance.choice((self._refused, self._spoiled, self._paused, self._dead))
                stack.enter_context(failure(self._servers[number]))
            self._over.wait(self._chance.uniform(0.2, 6.0))

    @contextlib.contextmanager
    def _refused(self, server: Server) -> Iterator[None]:
        with self._as(server, REFUSE):
            server.proxy.drop(is_reset=self._chance.random() < 0.5)
            yield

    @contextlib.contextmanager
    def _spoiled(self, server: Server) -> Iterator[None]:
        with self._as(server, self._chance.choice(_MODES)):
            yield

    @contextlib.contextmanager
    def _as(self, server: Server, mode: Mode) -> Iterator[None]:
        server.proxy.become(mode)
        try:
            yield
        finally:
            server.proxy.become(PASS)
            # What began while it was silent stays so.
            server.proxy.drop()

    @contextlib.contextmanager
    def _paused(self, server: Server) -> Iterator[None]:
        server.slapd.pause()
        try:
            yield
        finally:
            server.slapd.resume()

    @contextlib.contextmanager
    def _dead(self, server: Server) -> Iterator[None]:
        end = self._chance.choice((server.slapd.stop, server.slapd.kill))
        end()
        try:
            yield
        finally:
            server.slapd.start()

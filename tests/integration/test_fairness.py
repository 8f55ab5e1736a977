"""A guesser, and everybody else: who waits, who does not, and who has to leave."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import mux
from support.daemon import (
    LOGIN,
    LONG_DELAY,
    PASSWORD,
    PATIENT,
    PATIENT_OPTIONS,
    WITH_LONG_DELAYS,
    WORKER,
    WRONG,
    Daemon,
    altered,
)
from support.exchanges import unread
from support.mux import read_to_end, request
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import PamDaemon, ours
from support.pam_files import PamFiles
from support.waiting import wait_until

OK, NO, NOTHING = b"\0\2OK", b"\0\2NO", b""
VICTIM, SECRET = b"victim", b"the victim's own"

DENY_LATE = (
    "auth optional pam_faildelay.so delay={}\nauth required pam_deny.so\naccount required pam_deny.so\n"
)
SHORT_DELAY = 4
"""Seconds that who is refused waits to hear so. PAM makes up to half more or less of it."""

WITH_A_LOOK_ONLY_WHEN_FULL = altered(
    "from pysaslauthd.front import waiting_room as room; room.SWEEP_INTERVAL, room.SWEEP_PAUSE = 3600.0, 0.0"
)


@pytest.fixture
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        made.service("slow", DENY_LATE.format(SHORT_DELAY * 1_000_000))
        made.service("slowest", DENY_LATE.format(LONG_DELAY * 1_000_000))
        yield made


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@contextlib.contextmanager
def delaying(files: PamFiles, *options: str) -> Iterator[PamDaemon]:
    """A daemon whose refusals are not heard in a test's time, and which is not asked to wait for that at its end."""
    with ours(files, *PATIENT_OPTIONS, *options, command=WITH_LONG_DELAYS) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


def send(clients: ExitStack, path: Path, *fields: bytes) -> socket.socket:
    """A client whose request has been read, so that whoever asks next comes behind it."""
    client = clients.enter_context(mux.connect(path))
    client.sendall(request(*fields))
    wait_until(lambda: unread(client) == 0, "the request is read")
    return client


def guess(
    clients: ExitStack, daemon: PamDaemon, number: int, service: bytes = b"slowest"
) -> list[socket.socket]:
    """So many guesses of the victim's password, all different."""
    return [send(clients, daemon.mux, VICTIM, b"guess %d" % n, service) for n in range(number)]


def refused(daemon: PamDaemon | Daemon, login: bytes = VICTIM) -> int:
    return daemon.log.count(f"auth failure: [user={login.decode()}]")


def front_counts(daemon: PamDaemon | Daemon, name: str) -> int:
    """One of the front's counters, as it says on USR1."""
    offset = len(daemon.log)
    os.kill(daemon.pid, signal.SIGUSR1)

    def said() -> str:
        lines = [line for line in daemon.log[offset:].splitlines() if "[process=front]" in line]
        return lines[0] if lines else ""

    line = wait_until(said, "the front reports its statistics")
    return int(line.partition(f"[{name}=")[2].partition("]")[0])


def has_heard_nothing(client: socket.socket) -> bool:
    return not select.select([client], [], [], 0)[0]


class TestAGuesser:
    def test_has_five_under_way_and_twenty_behind_and_no_more(
        self, files: PamFiles, clients: ExitStack
    ) -> None:
        with delaying(files) as daemon:
            guesses = guess(clients, daemon, 30)
            wait_until(lambda: front_counts(daemon, "shed") == 5, "five are turned away")
            wait_until(lambda: refused(daemon) == 5, "five are refused, and wait for it to be said")
            assert front_counts(daemon, "queued") == 20
            assert daemon.ask(b"other", b"any", b"permit") == "OK"
            assert [read_to_end(client) for client in guesses[25:]] == [NOTHING] * 5
            assert all(has_heard_nothing(client) for client in guesses[:25])

    def test_has_his_places_taken_also_when_he_does_not_wait_for_the_answer(
        self, files: PamFiles, clients: ExitStack
    ) -> None:
        with ours(files, *PATIENT_OPTIONS) as daemon:
            begin = time.monotonic()
            guesses = guess(clients, daemon, 5, b"slow")
            wait_until(lambda: refused(daemon) == 5, "all five are refused")
            for client in guesses:
                client.close()
            late = send(clients, daemon.mux, VICTIM, b"another guess", b"permit")
            assert read_to_end(late) == OK
            assert time.monotonic() - begin >= SHORT_DELAY / 2

    def test_does_not_keep_the_owner_from_logging_in(self, files: PamFiles, clients: ExitStack) -> None:
        with delaying(files) as daemon:
            assert daemon.ask(VICTIM, SECRET, b"permit") == "OK"
            guesses = guess(clients, daemon, 30)
            wait_until(lambda: refused(daemon) == 5, "five are refused, and wait for it to be said")
            for _ in range(10):
                assert daemon.ask(VICTIM, SECRET, b"permit") == "OK"
            assert daemon.ask(b"Victim", SECRET, b"permit", b"a realm that PAM does not see") == "OK"
            assert all(has_heard_nothing(client) for client in guesses[:25])

    def test_is_not_believed_for_a_password_that_was_right_once(self, files: PamFiles) -> None:
        with ours(files) as daemon:
            assert daemon.ask(VICTIM, SECRET, b"permit") == "OK"
            assert daemon.ask(VICTIM, SECRET, b"deny") == "NO"


class TestWhoLeaves:
    def test_costs_no_worker_anything(self, clients: ExitStack) -> None:
        with Daemon("-n", "1", settings=PATIENT) as daemon:
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            first = send(clients, daemon.mux, LOGIN, PASSWORD)
            leaver = send(clients, daemon.mux, b"leaver", WRONG)
            stays = send(clients, daemon.mux, b"stays", WRONG)
            wait_until(lambda: front_counts(daemon, "queued") == 2, "two wait")
            leaver.close()
            stays.shutdown(socket.SHUT_WR)
            wait_until(lambda: front_counts(daemon, "gone") == 1, "it is noticed")
            assert front_counts(daemon, "queued") == 1
            worker.send(signal.SIGCONT)
            assert [read_to_end(first), read_to_end(stays)] == [OK, NO]
            assert (refused(daemon, b"stays"), refused(daemon, b"leaver")) == (1, 0)

    def test_makes_room_in_a_full_queue(self, clients: ExitStack) -> None:
        settings = {"queue_length": "10", **PATIENT}
        with Daemon("-n", "1", settings=settings, command=WITH_A_LOOK_ONLY_WHEN_FULL) as daemon:
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            first = send(clients, daemon.mux, LOGIN, PASSWORD)
            waiting = [send(clients, daemon.mux, b"leaver-%d" % n, WRONG) for n in range(10)]
            wait_until(lambda: front_counts(daemon, "queued") == 10, "the queue is full")
            for client in waiting:
                client.close()
            last = send(clients, daemon.mux, LOGIN, PASSWORD, b"smtp")
            worker.send(signal.SIGCONT)
            assert [read_to_end(first), read_to_end(last)] == [OK, OK]


class TestWithoutASeat:
    """Of eight seats the clients of one user have six, five of them to wait in."""

    def test_who_is_in_the_cache_is_answered_and_others_are_turned_away(self, clients: ExitStack) -> None:
        with Daemon("-c", "-n", "1", settings={"connections": "8", **PATIENT}) as daemon:
            assert daemon.ask() == "OK"
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            waiting = [send(clients, daemon.mux, b"u%d" % n, WRONG) for n in range(5)]
            wait_until(lambda: front_counts(daemon, "clients") == 5, "all seats are taken")
            for _ in range(3):
                assert daemon.ask() == "OK"
                assert daemon.ask(LOGIN, WRONG) == "-"
            assert "1 login turned away: too many clients are connected" in daemon.log
            worker.send(signal.SIGCONT)
            assert [read_to_end(client) for client in waiting] == [NO] * 5

    def test_no_is_said_where_that_is_asked_for(self, clients: ExitStack) -> None:
        with Daemon("-n", "1", settings={"connections": "8", **PATIENT, "unavailable": "no"}) as daemon:
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            waiting = [send(clients, daemon.mux, b"u%d" % n, WRONG) for n in range(5)]
            wait_until(lambda: front_counts(daemon, "clients") == 5, "all seats are taken")
            assert daemon.ask() == "NO"
            worker.send(signal.SIGCONT)
            assert [read_to_end(client) for client in waiting] == [NO] * 5

    def test_the_oldest_refusal_has_to_go_before_anybody_new(
        self, files: PamFiles, clients: ExitStack
    ) -> None:
        with delaying(files, "-o", "connections=8", "-o", "read_timeout=10m") as daemon:
            guesses = []
            for number in range(5):
                name = b"nobody-%d" % number
                guesses.append(send(clients, daemon.mux, name, b"guess", b"slowest"))
                wait_until(lambda name=name: refused(daemon, name) == 1, "it is refused")  # type: ignore[misc]
            assert daemon.ask(b"other", b"any", b"permit") == "OK"
            assert read_to_end(guesses[0]) == NOTHING
            assert has_heard_nothing(guesses[1])

    def test_who_is_silent_has_to_go_before_that(self, files: PamFiles, clients: ExitStack) -> None:
        with delaying(files, "-o", "connections=8", "-o", "read_timeout=10m") as daemon:
            (guess_,) = guess(clients, daemon, 1)
            wait_until(lambda: refused(daemon) == 1, "it is refused")
            silent = [clients.enter_context(mux.connect(daemon.mux)) for _ in range(5)]
            wait_until(lambda: front_counts(daemon, "clients") == 6, "all seats are taken")
            assert daemon.ask(b"other", b"any", b"permit") == "OK"
            assert read_to_end(silent[0]) == NOTHING
            assert has_heard_nothing(guess_)

    def test_one_user_leaves_a_quarter_to_the_others(self, clients: ExitStack) -> None:
        need_root()
        with Daemon("-n", "1", settings={"connections": "8", **PATIENT}) as daemon:
            daemon.directory.chmod(0o755)
            daemon.run_path.chmod(0o755)
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            waiting = [send(clients, daemon.mux, b"u%d" % n, WRONG) for n in range(5)]
            wait_until(lambda: front_counts(daemon, "clients") == 5, "all of its seats are taken")
            assert daemon.ask() == "-"
            with another_user(daemon.mux, request(LOGIN, PASSWORD)) as other:
                wait_until(lambda: front_counts(daemon, "clients") == 6, "the other user has a seat")
                worker.send(signal.SIGCONT)
                assert other.communicate(timeout=60)[0] == OK
            assert [read_to_end(client) for client in waiting] == [NO] * 5


@contextlib.contextmanager
def another_user(path: Path, data: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A client of another user, who writes what he heard to his standard output."""
    program = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(bytes.fromhex(sys.argv[2])); s.settimeout(60); sys.stdout.buffer.write(s.recv(99))"
    )
    command = [sys.executable, "-I", "-c", program, str(path), data.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()

"""The real master, with a front that a burglar has taken over."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.core import messages
from support import processes
from support.service_manager import Manager
from support.waiting import LIMIT, wait_until

MASTER = Path(__file__).with_name("hostile_front.py")


class Master:
    """The real supervisor in a process of its own, its front playing ``attack``."""

    def __init__(
        self, attack: str, directory: Path, stderr: int | None = None, manager: Manager | None = None
    ) -> None:
        self.log = directory / "log"
        self.diary = directory / "diary"
        self.diary.touch()
        words = (sys.executable, str(MASTER), attack, str(directory))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words if manager is None else manager.command(words),
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )

    def notes(self) -> list[dict[str, float]]:
        """What the fronts wrote down, one line for each generation; and what the master did when it was to reload."""
        return [json.loads(line) for line in self.diary.read_text().splitlines()]

    def stop(self) -> None:
        children = processes.descendants(self.process.pid)
        self.process.terminate()
        try:
            assert self.process.wait(LIMIT) in {0, 1}
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert not [child for child in children if child.is_alive]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield Path(name)


@contextlib.contextmanager
def master(
    attack: str, directory: Path, stderr: int | None = None, manager: Manager | None = None
) -> Iterator[Master]:
    running = Master(attack, directory, stderr, manager)
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("attack", "complaint"),
    [
        ("unknown verb", "no verb: ff00000000000000"),
        ("short packet", "no verb: 01"),
        ("long packet", "descriptors or an oversized packet"),
        ("wrong version", f"message version 77, expected {messages.VERSION}"),
        ("foreign pool", "no pool 7"),
        ("foreign worker", "no worker 4242"),
        ("worker zero", "no worker 0"),
        ("unknown level", "no level 3"),
        ("unasked answer", "an answer to a probe nobody sent"),
        ("descriptors", "descriptors or an oversized packet"),
    ],
)
def test_what_is_no_verb_ends_the_front_and_harms_nobody(
    attack: str, complaint: str, directory: Path
) -> None:
    with master(attack, directory) as running:
        wait_until(lambda: len(running.notes()) >= 3, "the front was replaced, and replaced again")
        assert running.log.read_text().count(f"broke the protocol and is killed: {complaint}") >= 2
        assert running.process.poll() is None


def test_an_empty_packet_is_an_end(directory: Path) -> None:
    with master("empty packet", directory) as running:
        wait_until(lambda: len(running.notes()) >= 3, "the front was replaced, and replaced again")


def test_ten_thousand_wants_make_no_more_workers_than_the_limit(directory: Path) -> None:
    with master("10,000 wants", directory) as running:
        (note,) = wait_until(running.notes, "the front counted its workers", limit=60)
        assert note["given"] == note["limit"]
        assert len(processes.descendants(running.process.pid)) == 1 + note["limit"]


def test_killing_and_wanting_without_end_is_slowed_down(directory: Path) -> None:
    with master("kill and want", directory) as running:
        (note,) = wait_until(running.notes, "the front had its two seconds", limit=60)
        # 250 a second, and the window may begin anew twice.
        assert note["given"] <= 250 * (note["seconds"] + 1) + 8
        assert len(processes.descendants(running.process.pid)) <= 1 + note["limit"]


def test_reloading_without_end_is_slowed_down(directory: Path) -> None:
    begin = time.monotonic()
    with Manager() as manager, master("reload without end", directory, manager=manager) as running:
        wait_until(
            lambda: manager.receive() and running.notes()[3:], "there were four reloads", limit=60
        )  # which keeps its ears open
        said = [next(iter(each.values)) for each in manager.receive() if "STATUS" not in each.values]
        assert "RELOADING" in said
        assert all(before != after for before, after in itertools.pairwise(said))
        # From the start, as one that began late leaves less time to the next.
        assert all(note["reloads_at"] - begin > 0.9 * n for n, note in enumerate(running.notes()))
        assert running.process.poll() is None


def test_it_can_kill_no_worker_but_its_own(directory: Path) -> None:
    """A pid is no number of a worker."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            with master(f"kill pid {bystander.pid}", directory) as running:
                wait_until(lambda: len(running.notes()) >= 2, "the front was replaced")
                assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_front_that_does_not_listen_is_killed(directory: Path) -> None:
    with master("deaf", directory) as running:
        wait_until(lambda: len(running.notes()) >= 2, "the front was replaced", limit=60)
        assert "does not listen and is killed" in running.log.read_text()


def test_the_workers_of_a_front_end_with_it(directory: Path) -> None:
    with master("10,000 wants", directory) as running:
        (note,) = wait_until(running.notes, "the front counted its workers", limit=60)
        children = processes.descendants(running.process.pid)
        (front,) = [child for child in children if child.name == "pysasl-front"]
        workers = [child for child in children if child != front]
        assert len(workers) == note["limit"]
        front.send(signal.SIGKILL)
        wait_until(lambda: not [worker for worker in workers if worker.is_alive], "all are gone")


def test_the_socket_stays_with_the_master(directory: Path) -> None:
    with master("unknown verb", directory) as running:
        wait_until(lambda: len(running.notes()) >= 2, "the front was replaced")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(directory / "mux"))


def test_a_front_that_gives_no_sign_of_life_is_killed(directory: Path) -> None:
    """After 30 s; here after one."""
    with master("silent", directory) as running:
        wait_until(lambda: len(running.notes()) >= 3, "the front was replaced, and replaced again")
        assert running.log.read_text().count("gave no sign for 1 s and is killed") >= 2
        assert running.process.poll() is None


def test_a_socket_that_was_shut_down_is_made_anew(directory: Path) -> None:
    with master("shut the socket down", directory) as running:
        wait_until(lambda: len(running.notes()) >= 3, "the front was replaced, and replaced again")

        def connects() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                return client.connect_ex(str(directory / "mux")) == 0

        wait_until(connects, "the new socket can be connected")


def test_it_cannot_make_the_masters_log_wait(directory: Path) -> None:
    read, write = os.pipe()
    with master("block standard error", directory, write) as running:
        wait_until(lambda: len(running.notes()) >= 3, "the front was replaced, and replaced again")
    os.close(write)
    os.close(read)


def test_a_start_without_a_process_to_be_had_fails_in_time(directory: Path) -> None:
    running = Master("no process to be had", directory)
    assert running.process.wait(LIMIT) == 1
    log = running.log.read_text()
    assert "cannot start a front: [Errno 11]" in log
    assert "cannot start: no login was possible within" in log
    assert not (directory / "mux").exists()

"""A socket that another made: it is used as it is, and a restart costs nobody who waits in it."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support import mux, processes
from support.crowd import Crowd, Heard
from support.daemon import COMMAND, LOGIN, PASSWORD, WORKER, WRONG, Daemon, altered
from support.exchanges import unread
from support.service_manager import Listening, Manager, handing_over, out_of_the_way
from support.shadow import write
from support.waiting import wait_until

HOSTILE = Path(__file__).with_name("hostile_front.py")
AT_A_TIME, RESTARTS = 700, 8
"""Clients at a time, fewer than a queue's default length."""

MANY = 650
"""Logins under way at each restart; together more than 5,000."""

COMMAND_WITH_SHORT_GRACE = altered("from pysaslauthd.master import supervisor; supervisor.STOP_GRACE = 0.2")
LONGER_THAN_GRACE = 1.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield Path(name)


@pytest.fixture
def listening(directory: Path) -> Iterator[Listening]:
    with Listening(str(directory / "given")) as made:
        yield made


def activated(
    listening: Listening,
    directory: Path,
    *arguments: str,
    users: dict[str, bytes] | None = None,
    command: Sequence[str] = COMMAND,
) -> Daemon:
    """A daemon that was handed ``listening``, made at ``given`` in ``directory``."""
    daemon = Daemon(
        *arguments,
        users=users,
        command=handing_over(command, [listening.descriptor]),
        descriptors=[listening.descriptor],
    )
    daemon.mux = directory / "given"
    return daemon


class TestAGivenSocket:
    def test_answers_and_is_left_as_it_is(self, listening: Listening, directory: Path) -> None:
        path = directory / "given"
        path.chmod(0o751)
        before = path.stat()
        with activated(listening, directory) as daemon:
            assert (daemon.ask(), daemon.ask(password=WRONG)) == ("OK", "NO")
            assert {entry.name for entry in daemon.run_path.iterdir()} == {"control", "saslauthd.pid.lock"}
            assert f"listening on socket: {path}\n" in daemon.log
            daemon.stop()
            after = path.stat()
            assert (after.st_ino, after.st_mode, after.st_uid, after.st_gid, after.st_ctime_ns) == (
                before.st_ino,
                before.st_mode,
                before.st_uid,
                before.st_gid,
                before.st_ctime_ns,
            )
            mux.connect(path).close()  # whoever made it listens still

    def test_may_have_an_abstract_name(self, directory: Path) -> None:
        with Listening("") as listening:
            name = listening.socket.getsockname()
            daemon = activated(listening, directory)
            daemon.mux = name
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(mux, "connect", connect_abstract)
                with daemon:
                    assert daemon.ask() == "OK"
                    assert f"listening on socket: @{name[1:].decode()}\n" in daemon.log

    def test_is_kept_by_a_daemon_in_the_background(self, listening: Listening, directory: Path) -> None:
        file = write(directory / "shadow", {LOGIN.decode(): PASSWORD})
        settings = ["-o", f"shadow_file={file}", "-o", "syslog_socket="]
        words = [*COMMAND, "-a", "shadow", "-m", str(directory / "run"), *settings]
        fd = listening.descriptor
        # Without standard streams, whose numbers must not be filled with it either.
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        command = [*closed, *handing_over(words, [fd])]
        assert subprocess.run(command, pass_fds=[fd], timeout=60, check=False).returncode == 0
        master = processes.read_process(int((directory / "run" / "saslauthd.pid").read_text()))
        assert master is not None
        try:
            assert mux.ask(directory / "given", LOGIN, PASSWORD) == "OK"
        finally:
            master.send(signal.SIGTERM)
            wait_until(lambda: not master.is_alive, "the master is gone")

    def test_meant_for_another_process_is_not_ours(self, listening: Listening, directory: Path) -> None:
        command = ("env", "LISTEN_PID=1", *handing_over(COMMAND, [listening.descriptor]))
        with Daemon(command=command, descriptors=[listening.descriptor]) as daemon:
            assert daemon.ask() == "OK"
            with mux.connect(directory / "given") as client:
                client.sendall(mux.request(LOGIN, PASSWORD))
                assert daemon.ask() == "OK"
                assert not select.select([client], [], [], 0)[0]

    def test_survives_a_reload_and_the_death_of_a_front(self, listening: Listening, directory: Path) -> None:
        with activated(listening, directory) as daemon:
            os.kill(daemon.pid, signal.SIGHUP)
            wait_until(lambda: ":reloaded\n" in daemon.log, "it is reloaded")
            assert daemon.ask() == "OK"
            wait_until(lambda: len(daemon.children()) == 6, "the generation before has ended")
            daemon.front().send(signal.SIGKILL)
            wait_until(lambda: "its logins are lost" in daemon.log, "the front is dead")
            assert daemon.ask() == "OK"

    def test_that_a_front_has_shut_down_ends_the_daemon_so_that_there_can_be_another(
        self, listening: Listening, directory: Path
    ) -> None:
        words = [sys.executable, str(HOSTILE), "shut the socket down", str(directory)]
        with Manager(directory) as manager:
            command = manager.command(handing_over(words, [listening.descriptor]))
            result = subprocess.run(
                command,
                pass_fds=[listening.descriptor],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert result.returncode == 1
            text = (
                f"the socket {directory / 'given'} was shut down; whoever gave it to us has to make another"
            )
            assert result.stderr.count(text) == 1
            assert manager.said("STATUS")[-1] == text


def connect_abstract(name: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(mux.TIMEOUT)
    connection.connect(name)  # type: ignore[arg-type]
    return connection


class TestAStop:
    def test_leaves_who_waits_to_the_next_and_answers_who_was_taken(
        self, listening: Listening, directory: Path
    ) -> None:
        """Even when that takes longer than a daemon may that turns clients away meanwhile."""
        command = COMMAND_WITH_SHORT_GRACE
        with Manager(directory) as manager, self._held_up(listening, directory, manager, command) as daemon:
            (worker,) = daemon.children(WORKER)
            with mux.connect(daemon.mux) as taken:
                taken.sendall(mux.request(LOGIN, PASSWORD))
                wait_until(lambda: unread(taken) == 0, "the client is taken")
                assert daemon.process is not None
                front = daemon.front().pid
                os.kill(front, signal.SIGSTOP)
                daemon.process.terminate()
                manager.wait_status("stopping")
                with mux.connect(daemon.mux) as waiting:
                    waiting.sendall(mux.request(LOGIN, WRONG))
                    # It hears of the end before it sees the client, and finds him there.
                    os.kill(front, signal.SIGCONT)
                    assert not select.select([taken, waiting], [], [], LONGER_THAN_GRACE)[0]
                    worker.send(signal.SIGCONT)
                    assert mux.read_to_end(taken) == b"\0\2OK"
                    daemon.process.wait()
                    daemon.stop()
                    assert not select.select([waiting], [], [], 0)[0]
                    daemon.start()
                    assert mux.read_to_end(waiting) == b"\0\2NO"

    @staticmethod
    @contextlib.contextmanager
    def _held_up(
        listening: Listening, directory: Path, manager: Manager, command: Sequence[str]
    ) -> Iterator[Daemon]:
        """A daemon whose only worker is stopped."""
        with activated(listening, directory, "-n", "1", command=manager.command(command)) as daemon:
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            yield daemon

    def test_ends_at_once_by_a_second_signal(self, listening: Listening, directory: Path) -> None:
        with (
            Manager(directory) as manager,
            self._held_up(listening, directory, manager, COMMAND) as daemon,
            mux.connect(daemon.mux) as taken,
        ):
            taken.sendall(mux.request(LOGIN, PASSWORD))
            wait_until(lambda: unread(taken) == 0, "the client is taken")
            os.kill(daemon.pid, signal.SIGTERM)
            manager.wait_status("stopping")
            daemon.stop()
            assert mux.read_to_end(taken) == b""


def test_restarts_under_load_answer_every_login_rightly(listening: Listening, directory: Path) -> None:
    users = {f"user{number}": f"secret-{number}".encode() for number in range(AT_A_TIME // 2)}
    daemon = activated(listening, directory, "-n", "2", "-o", "queue_timeout=10m", users=users)
    with daemon, Crowd(directory / "given", users, AT_A_TIME) as crowd:
        for _ in range(RESTARTS):
            crowd.wait_answered(AT_A_TIME // 2)
            wait_until(lambda: crowd.under_way >= MANY, "many logins are under way")
            daemon.stop()
            wait_until(lambda: crowd.under_way == AT_A_TIME, "all who come wait")
            daemon.start()
        crowd.wait_answered(AT_A_TIME)
        crowd.end()
        assert set(crowd.heard) == {Heard(True, "OK"), Heard(False, "NO")}, crowd.heard
        assert "was killed" not in daemon.log


class TestWhatCannotBeListenedOn:
    def refusal(self, directory: Path, descriptors: Sequence[int], names: str = "", count: str = "") -> str:
        """What the daemon says as it does not start, less the name before."""
        words = [*COMMAND, "-d", "-a", "shadow", "-m", str(directory / "run"), "-o", "syslog_socket="]
        given = [out_of_the_way(descriptor) for descriptor in descriptors]
        try:
            result = subprocess.run(
                handing_over(words, given, names, count),
                pass_fds=given,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            for descriptor in given:
                os.close(descriptor)
        assert result.returncode == 1
        assert not (directory / "run").exists()
        return "\n".join(line.partition(" :")[2] for line in result.stderr.splitlines())

    def test_is_told_for_each_by_number_and_name(self, directory: Path) -> None:
        read, write_end = os.pipe()
        with (
            Listening(str(directory / "datagrams"), kind=socket.SOCK_DGRAM) as datagrams,
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_UNIX) as deaf,
        ):
            given = [datagrams.descriptor, tcp.fileno(), deaf.fileno(), read]
            text = self.refusal(directory, given, "saslauthd.socket:tcp:deaf:pipe")
        os.close(read)
        os.close(write_end)
        expected = "expected a listening UNIX stream socket, got"
        assert text.splitlines() == [
            f"LISTEN_FDS: descriptor 3 (saslauthd.socket): {expected} AF_UNIX SOCK_DGRAM that does not listen",
            f"LISTEN_FDS: descriptor 4 (tcp): {expected} AF_INET SOCK_STREAM",
            f"LISTEN_FDS: descriptor 5 (deaf): {expected} AF_UNIX SOCK_STREAM that does not listen",
            f"LISTEN_FDS: descriptor 6 (pipe): {expected} no socket at all",
        ]

    def test_is_told_of_what_is_not_there(self, listening: Listening, directory: Path) -> None:
        text = self.refusal(directory, [listening.descriptor], count="9" * 9)
        last = text.splitlines()[-1]
        assert last.startswith("LISTEN_FDS=999999999: descriptor ")
        assert last.endswith(": Bad file descriptor")

    def test_is_told_of_a_number_that_is_none(self, listening: Listening, directory: Path) -> None:
        text = self.refusal(directory, [listening.descriptor], count="one")
        assert text == "LISTEN_FDS=one: expected a number of descriptors"

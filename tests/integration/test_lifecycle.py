"""Start, second start, stop: files, texts and exit codes."""

import contextlib
import os
import pty
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux, processes, shadow
from support.daemon import COMMAND, LOGIN, MASTER, PASSWORD, PATIENT_COMMAND, WORKER, WRONG, Daemon
from support.load import Load
from support.packages import need_root
from support.processes import Process
from support.waiting import wait_until


class Place:
    """A run directory, and daemons in the background on it; none survives the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.mux = self.run / "mux"
        self.pid_file = self.run / "saslauthd.pid"
        self.shadow_file = shadow.write(directory / "shadow", {LOGIN.decode(): PASSWORD})

    def arguments(self, *more: str) -> list[str]:
        settings = ["-o", f"shadow_file={self.shadow_file}", "-o", "syslog_socket="]
        return [*COMMAND, "-a", "shadow", "-m", str(self.run), *settings, *more]

    def start(self, *more: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end: for a daemon, that is when its parent leaves."""
        return subprocess.run(self.arguments(*more), capture_output=True, text=True, timeout=60, check=False)

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def ask(self, password: bytes = PASSWORD) -> str:
        return mux.ask(self.mux, LOGIN, password)

    def master(self) -> Process | None:
        """The daemon's, if the file tells of one and that lives."""
        text = self.pid_file.read_text() if self.pid_file.exists() else ""
        process = processes.read_process(int(text)) if text else None
        return process if process is not None and process.name == MASTER else None

    def stop(self) -> None:
        master = self.master()
        assert master is not None
        children = processes.descendants(master.pid)
        master.send(signal.SIGTERM)
        wait_until(lambda: not master.is_alive, "the master is gone")
        assert not [child for child in children if child.is_alive]

    def kill(self) -> None:
        """End it at once, if it runs."""
        master = self.master()
        if master is not None:
            master.send(signal.SIGKILL)
            wait_until(lambda: not master.is_alive, "the master is gone")


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        there = Place(Path(name))
        yield there
        there.kill()


def text(result: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines on standard error, less the ``saslauthd[PID] :`` before each."""
    return [line.partition(" :")[2] for line in result.stderr.splitlines()]


class TestInTheBackground:
    def test_the_start_returns_when_logins_are_answered(self, place: Place) -> None:
        result = place.start()
        assert (result.returncode, result.stdout) == (0, "")
        assert place.ask() == "OK"
        assert place.ask(WRONG) == "NO"
        place.stop()

    def test_who_starts_it_is_told_why_no_login_is_possible(self, place: Place) -> None:
        missing = place.directory / "saslauthd.conf"
        words = ["-a", "ldap", "-O", str(missing), "-m", str(place.run), "-o", "syslog_socket="]
        result = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, text(result)) == (
            0,
            [
                f"no login is possible: Could not open saslauthd config file: {missing} (No such file or directory)"
            ],
        )
        assert place.ask() == "-"
        place.stop()

    def test_the_files_are_the_originals(self, place: Place) -> None:
        umask = os.umask(0o022)
        try:
            assert place.start().returncode == 0
        finally:
            os.umask(umask)
        assert place.run.stat().st_mode & 0o7777 == 0o755
        assert {entry.name for entry in place.run.iterdir()} == {"control", "mux", "saslauthd.pid"}
        assert (place.run / "control").stat().st_mode & 0o7777 == 0o600
        assert place.mux.is_socket()
        assert place.mux.stat().st_mode & 0o7777 == 0o777
        assert place.pid_file.stat().st_mode & 0o7777 == 0o600
        assert place.pid_file.read_text() == f"{place.pid}\n"
        master = processes.read_process(place.pid)
        assert master is not None
        assert master.parent != os.getpid()
        assert os.getsid(place.pid) == place.pid
        place.stop()
        assert list(place.run.iterdir()) == []

    def test_it_holds_nothing_of_who_started_it(self, place: Place) -> None:
        read, write = os.pipe()
        os.set_inheritable(write, True)
        with subprocess.Popen(place.arguments(), pass_fds=[write], stderr=subprocess.PIPE) as process:
            os.close(write)
            assert process.stderr is not None
            process.stderr.read()  # to its end, which a daemon that kept it would withhold
        assert process.returncode == 0
        assert os.read(read, 1) == b""
        os.close(read)
        place.stop()

    def test_a_second_start_fails_and_leaves_the_first_alone(self, place: Place) -> None:
        assert place.start().returncode == 0
        before = place.pid
        for arguments in ((), ("-f",), ("-d",)):
            result = place.start(*arguments)
            assert result.returncode == 2
            assert text(result)[-2:] == [
                "Cannot start saslauthd",
                "Another instance of saslauthd is currently running",
            ]
        assert place.pid == before
        assert place.ask() == "OK"
        place.stop()

    def test_what_a_killed_one_left_is_no_obstacle(self, place: Place) -> None:
        assert place.start().returncode == 0
        (place.run / "saslauthd.pid.lock").touch()
        children = processes.descendants(place.pid)
        place.kill()
        assert place.mux.exists()
        assert place.pid_file.exists()
        wait_until(lambda: not [child for child in children if child.is_alive], "no process is left")
        assert place.start().returncode == 0
        assert place.ask() == "OK"
        place.stop()

    def test_the_pid_of_a_stranger_in_the_file_is_no_obstacle(self, place: Place) -> None:
        place.run.mkdir()
        place.pid_file.write_text(f"{os.getpid()}\n")
        place.pid_file.chmod(0o644)
        assert place.start().returncode == 0
        assert place.pid != os.getpid()
        assert place.pid_file.stat().st_mode & 0o777 == 0o644
        place.stop()

    def test_closed_standard_streams_are_no_obstacle(self, place: Place) -> None:
        command = shlex.join(place.arguments())
        with subprocess.Popen(["sh", "-c", f"exec {command} <&- >&- 2>&-"]) as process:
            pass
        assert process.returncode == 0
        assert place.ask() == "OK"
        place.stop()

    def test_a_hangup_from_its_first_moment_on_does_not_end_it(self, place: Place) -> None:
        with subprocess.Popen(place.arguments()) as process:
            wait_until(
                lambda: place.pid_file.exists() and place.pid_file.read_text(), "the pid file is written"
            )
            while process.poll() is None:
                os.kill(place.pid, signal.SIGHUP)
        assert process.returncode == 0
        assert place.ask() == "OK"
        place.stop()

    def test_a_stop_from_its_first_moment_on_leaves_nothing(self, place: Place) -> None:
        with subprocess.Popen(place.arguments(), stderr=subprocess.PIPE, text=True) as process:
            wait_until(
                lambda: place.pid_file.exists() and place.pid_file.read_text(), "the pid file is written"
            )
            os.kill(place.pid, signal.SIGTERM)
            assert process.stderr is not None
            words = process.stderr.read()
        wait_until(lambda: not list(place.run.iterdir()), "its files are gone")
        if process.returncode != 0:  # else it was ready a moment before
            assert "stopped by a signal" in words

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGALRM])
    def test_no_other_signal_ends_it(self, place: Place, number: signal.Signals) -> None:
        assert place.start().returncode == 0
        os.kill(place.pid, number)
        assert place.ask() == "OK"
        assert processes.read_process(place.pid) is not None
        place.stop()


class TestFailedStarts:
    def test_say_that_another_program_listens(self, place: Place) -> None:
        place.run.mkdir()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(place.mux))
            other.listen()
            for arguments in ((), ("-f",)):
                result = place.start(*arguments)
                assert result.returncode == 2
                assert text(result)[-3:] == [
                    "Cannot start saslauthd",
                    "Another instance of saslauthd is currently running",
                    f"it listens on {place.mux}",
                ]
        assert not place.pid_file.exists()

    def test_say_why_the_socket_cannot_be_made(self, place: Place) -> None:
        place.mux.mkdir(parents=True)
        result = place.start()
        assert result.returncode == 1
        assert text(result)[-2:] == [f"could not bind to socket: {place.mux}", "bind: Is a directory"]
        assert {entry.name for entry in place.run.iterdir()} == {"mux"}

    def test_say_why_the_run_directory_cannot_be_made(self, place: Place) -> None:
        place.run = place.directory / "a" / "b"
        result = place.start()
        assert result.returncode == 1
        assert text(result) == [
            f"can not mkdir: {place.run}",
            "mkdir: No such file or directory",
            "Check to make sure the parent directory exists and is",
            "writeable by the user this process runs as.",
        ]

    def test_say_that_another_is_starting(self, place: Place) -> None:
        assert place.start().returncode == 0
        with Daemon() as foreground:
            result = subprocess.run(
                foreground.arguments, capture_output=True, text=True, timeout=60, check=False
            )
        assert result.returncode == 1
        assert text(result) == [
            f"could not lock pid lock file: {foreground.run_path}/saslauthd.pid.lock",
            "fcntl: Resource temporarily unavailable",
        ]
        place.stop()

    def test_for_a_user_that_cannot_be_are_told(self, place: Place) -> None:
        need_root()
        result = place.start("-u", "root")
        assert result.returncode == 1
        assert "user root is root" in text(result)[-1]
        assert list(place.run.iterdir()) == []

    def test_of_a_mechanism_that_is_not_there_are_told(self) -> None:
        result = subprocess.run(
            [*COMMAND, "-a", "kerberos4"], capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 1
        assert text(result) == [
            "unknown authentication mechanism: kerberos4",
            "this version has: ldap pam proxy shadow; saslauthd's others by asking it: -a proxy",
        ]


@contextlib.contextmanager
def login_in_hand(daemon: Daemon) -> Iterator[tuple[socket.socket, Process]]:
    """A client whose login the only worker has, which is stopped; both."""
    (worker,) = daemon.children(WORKER)
    worker.send(signal.SIGSTOP)
    with mux.connect(daemon.mux) as client:
        client.sendall(mux.request(LOGIN, PASSWORD))
        yield client, worker


def wait_for_stop(daemon: Daemon) -> None:
    """Until the daemon has begun to stop, which it shows by the end of its socket."""
    wait_until(lambda: not daemon.mux.exists(), "the socket is gone")


class TestStopping:
    def test_answers_who_came_before(self) -> None:
        with Daemon("-n", "1", command=PATIENT_COMMAND) as daemon, login_in_hand(daemon) as (client, worker):
            os.kill(daemon.pid, signal.SIGTERM)
            wait_for_stop(daemon)
            worker.send(signal.SIGCONT)
            assert mux.read_to_end(client) == b"\0\2OK"

    def test_waits_for_no_silent_client(self) -> None:
        with Daemon() as daemon:
            clients = [mux.connect(daemon.mux) for _ in range(10)]
            daemon.stop()
            for client in clients:
                assert mux.read_to_end(client) == b""
                client.close()

    def test_a_second_signal_ends_it_at_once(self) -> None:
        with Daemon("-n", "1") as daemon, login_in_hand(daemon) as (client, _):
            os.kill(daemon.pid, signal.SIGTERM)
            wait_for_stop(daemon)
            os.kill(daemon.pid, signal.SIGTERM)
            assert mux.read_to_end(client) == b""

    def test_by_a_signal_to_all_processes_is_as_orderly(self) -> None:
        """As systemd stops a service whose unit does not say otherwise."""
        with Daemon("-n", "1", command=PATIENT_COMMAND) as daemon:
            with login_in_hand(daemon) as (client, worker):
                for pid in (*(child.pid for child in daemon.children()), daemon.pid):
                    os.kill(pid, signal.SIGTERM)
                wait_for_stop(daemon)
                worker.send(signal.SIGCONT)
                assert mux.read_to_end(client) == b"\0\2OK"
            assert "was killed" not in daemon.log

    @pytest.mark.parametrize("workers", ["0", "4"])
    def test_under_load_logs_no_process_death(self, workers: str) -> None:
        with Daemon("-n", workers) as daemon, Load(daemon.mux, 4) as load:
            wait_until(lambda: load.answered > 100, "logins go on")
            daemon.stop()
            assert "failed" not in daemon.log.replace("auth failure", "")
            assert "was killed" not in daemon.log
            assert load.wrong_verdicts == 0

    def test_by_ctrl_c_is_one_orderly_stop(self) -> None:
        daemon = Daemon("-n", "3", "-d")
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(daemon.arguments[0], daemon.arguments)
        printed = b""
        while printed.count(b"forked child: ") < 3:  # what it says of its start is no part of its end
            printed += os.read(terminal, 65536)
        assert daemon.ask() == "OK"
        os.write(terminal, b"\x03")
        try:
            while chunk := os.read(terminal, 65536):
                printed += chunk
        except OSError:
            pass  # the way a terminal says end of file
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        lines = printed.decode().replace("^C", "").splitlines()
        assert lines[-1] == f"saslauthd[{pid}] :master exited: {pid}"
        after = lines[lines.index(next(line for line in lines if "auth success" in line)) + 1 :]
        assert after == [lines[-1]]
        assert list(daemon.run_path.iterdir()) == []
        daemon.__exit__()

"""What the service manager is told, and when the watchdog is answered. The manager is the test."""

import contextlib
import operator
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import processes
from support.daemon import COMMAND, LOGIN, PASSWORD, PATIENT_COMMAND, WORKER, Daemon
from support.ldap_daemon import LdapDaemon
from support.ldap_daemon import ours as ldap_daemon
from support.mux import connect, read_to_end, request
from support.namespaces import need_namespaces
from support.pam_daemon import ours as pam_daemon
from support.pam_files import PamFiles
from support.pam_modules import compiled
from support.service_manager import Manager
from support.shadow import write
from support.waiting import wait_until

HOSTILE = Path(__file__).with_name("hostile_front.py")
NOBODY_THERE = "ldap_servers: ldap://127.0.0.1:1/\nldap_search_base: o=x\n"
SHORT = 0.3
"""Seconds in which the played watchdog wants to hear something: much less than any limit of the daemon's own."""

LONG_ENOUGH = 5 * SHORT
"""Seconds that a daemon which answers without being asked would use to say so several times."""


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield Path(name)


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, directory: Path) -> Iterator[Manager]:
    with Manager(directory if request.param == "a path" else None) as made:
        yield made


@pytest.fixture
def by_path(directory: Path) -> Iterator[Manager]:
    with Manager(directory) as made:
        yield made


class TestAStart:
    def test_ends_in_readiness_and_a_status(self, manager: Manager) -> None:
        with Daemon("-n", "2", command=manager.command(COMMAND)) as daemon:
            assert manager.wait_status("answering") == "answering logins: shadow, 2 workers"
            assert manager.said("READY") == ["1"]
            assert manager.said("STATUS")[0] == "starting"
            assert manager.said("MAINPID") == []
            assert {message.pid for message in manager.messages} == {daemon.pid}

    def test_that_fails_is_no_readiness(self, by_path: Manager, directory: Path) -> None:
        command = by_path.command([sys.executable, str(HOSTILE), "no process to be had", str(directory)])
        result = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert result.returncode == 1
        assert by_path.said("READY") == []
        assert by_path.said("STOPPING") == ["1"]
        assert by_path.said("STATUS")[-1] == "cannot start: no login was possible within 0 s"

    def test_in_the_background_is_believed_by_who_believes_the_main_process_alone(
        self, by_path: Manager, directory: Path
    ) -> None:
        """Which is what systemd does, unless NotifyAccess says otherwise."""
        file = write(directory / "shadow", {LOGIN.decode(): PASSWORD})
        settings = ["-o", f"shadow_file={file}", "-o", "syslog_socket="]
        command = by_path.command([*COMMAND, "-a", "shadow", "-m", str(directory / "run"), *settings])
        with subprocess.Popen(command) as started:
            pass
        pid = int((directory / "run" / "saslauthd.pid").read_text())
        try:
            assert started.returncode == 0
            by_path.wait("READY")
            main, ready = started.pid, False
            for message in by_path.receive():
                if message.pid == main:
                    main = int(message.values.get("MAINPID", main))
                    ready = ready or "READY" in message.values
            assert (main, ready) == (pid, True)
            assert {m.values.get("MAINPID") for m in by_path.messages if "READY" in m.values} == {str(pid)}
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not processes.is_alive(pid), "the master is gone")

    @pytest.mark.parametrize(
        "name", ["/nonexistent/notify", "@nobody-listens-here", "vsock:2:1234", "x" * 200]
    )
    def test_does_not_depend_on_who_listens(self, name: str) -> None:
        with Daemon(command=("env", f"NOTIFY_SOCKET={name}", "WATCHDOG_USEC=100000", *COMMAND)) as daemon:
            assert daemon.ask() == "OK"

    def test_waits_for_no_manager_that_is_busy_and_tells_it_later(self, by_path: Manager) -> None:
        while fill(by_path.name):
            pass
        with Daemon(command=by_path.command(COMMAND)) as daemon:
            assert daemon.ask() == "OK"
            assert fill(by_path.name) == 0  # it is as busy as before
            by_path.wait("READY")
            by_path.wait_status("answering")


def fill(name: str) -> int:
    """How many messages a manager took of one that sends as many as it can."""
    count = 0
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other,
        contextlib.suppress(BlockingIOError),
    ):
        while True:
            other.sendto(b"X=", name)
            count += 1
    return count


class TestAReload:
    def test_begins_and_ends_for_the_manager(self, by_path: Manager) -> None:
        with Daemon(command=by_path.command(COMMAND)) as daemon:
            by_path.wait("READY")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            os.kill(daemon.pid, signal.SIGHUP)
            by_path.wait("READY", 2)
            assert ":reloaded\n" in daemon.log
            (moment,) = by_path.said("MONOTONIC_USEC")
            assert before <= int(moment) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            order = [name for m in by_path.messages for name in m.values if name in {"READY", "RELOADING"}]
            assert order == ["READY", "RELOADING", "READY"]

    def test_asked_for_again_meanwhile_ends_once(self, by_path: Manager) -> None:
        with Daemon(command=by_path.command(COMMAND)) as daemon:
            by_path.wait("READY")
            wait_until(
                lambda: self._ends_once(daemon, by_path), "the second came before the end of the first"
            )

    @staticmethod
    def _ends_once(daemon: Daemon, manager: Manager) -> bool:
        """Else the second came too late, which is to be tried again."""
        start, reloads = len(manager.receive()), daemon.log.count(":reloaded\n")

        def order() -> list[str]:
            names = [name for message in manager.receive()[start:] for name in message.values]
            return [name for name in names if name in {"READY", "RELOADING"}]

        def both_are_over() -> bool:
            return daemon.log.count(":reloaded\n") == reloads + 2 and order()[-1] == "READY"

        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(order, "it reloads")
        os.kill(daemon.pid, signal.SIGSTOP)  # so that it hears of the next before it sees the new front
        os.kill(daemon.pid, signal.SIGHUP)
        os.kill(daemon.pid, signal.SIGCONT)
        wait_until(lambda: "READY" in order(), "a reload is over")
        ends_once = both_are_over() and order() == ["RELOADING", "RELOADING", "READY"]
        wait_until(both_are_over, "both reloads are over")
        return ends_once

    def test_that_is_refused_ends_too_and_the_status_says_why(self, by_path: Manager) -> None:
        with self._ldap(by_path, NOBODY_THERE) as daemon:
            by_path.wait_status("answering logins: ldap, ")
            daemon.configure("ldap_servers: ldap://x/\nldap_timeout: abc\n")
            daemon.reload()
            status = by_path.wait_status("; not reloaded: ")
            assert status.startswith("answering logins: ldap, ")
            assert f"; not reloaded: {daemon.file}:2: ldap_timeout: " in status
            by_path.wait("READY", 2)
            daemon.configure(NOBODY_THERE)
            daemon.reload()
            by_path.wait("READY", 3)
            # The status follows.
            wait_until(lambda: "not reloaded" not in by_path.wait_status("answering"), "all is well again")

    def test_mends_a_start_that_lets_nobody_log_in(self, by_path: Manager) -> None:
        with self._ldap(by_path, "ldap_timeout: abc\n") as daemon:
            by_path.wait("READY")
            assert f"no login is possible: {daemon.file}:" in by_path.wait_status("no login is possible")
            daemon.configure(NOBODY_THERE)
            daemon.reload()
            assert "possible" not in by_path.wait_status("answering logins: ldap, ")

    @staticmethod
    def _ldap(manager: Manager, text: str) -> LdapDaemon:
        return ldap_daemon(text, command=manager.command(COMMAND))


class TestAnEnd:
    def test_is_told_before_the_last_login_is_answered(self, by_path: Manager) -> None:
        with Daemon("-n", "1", command=by_path.command(PATIENT_COMMAND)) as daemon:
            by_path.wait("READY")
            (worker,) = daemon.children(WORKER)
            worker.send(signal.SIGSTOP)
            with connect(daemon.mux) as client:
                client.sendall(request(LOGIN, PASSWORD))
                os.kill(daemon.pid, signal.SIGTERM)
                by_path.wait("STOPPING")
                assert int(by_path.said("EXTEND_TIMEOUT_USEC")[0]) >= 5_000_000
                by_path.wait_status("stopping")
                worker.send(signal.SIGCONT)
                assert read_to_end(client) == b"\0\2OK"

    def test_of_the_front_is_in_the_status_until_there_is_another(self, by_path: Manager) -> None:
        with Daemon(command=by_path.command(COMMAND)) as daemon:
            by_path.wait("READY")
            daemon.kill_front()
            assert daemon.ask() == "OK"
            by_path.wait_status("answering")
            assert "no login is answered until a new front is ready: the front was killed by SIGKILL" in (
                by_path.said("STATUS")
            )
            daemon.stop()
            assert by_path.said("STATUS")[-1] == "stopping: logins in hand are answered"


def count_while(manager: Manager, seconds: float) -> int:
    """How often the watchdog is answered in that time."""
    before = len(manager.said("WATCHDOG"))
    ends = time.monotonic() + seconds
    while select.select([manager.socket], [], [], max(0.0, ends - time.monotonic()))[0]:
        manager.receive()
    return len(manager.said("WATCHDOG")) - before


def wait_for_master(daemon: Daemon) -> None:
    """Until it has reported; before it does so another time, it passes on what the front said before."""
    start = len(daemon.log)
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(lambda: "[process=master]" in daemon.log[start:], "the master reports")


Report = dict[str, str]
"""What a process says of itself."""

OF_A_PROBE = {"descriptors", "clients"}
"""What a probe that is under way is counted in."""


def opened(reports: list[Report]) -> list[int]:
    return [int(report["descriptors"]) for report in reports]


def counted(reports: list[Report]) -> list[Report]:
    return [{name: report[name] for name in report.keys() - OF_A_PROBE} for report in reports]


class TestTheWatchdog:
    def test_is_answered_by_the_front_alone(self, by_path: Manager) -> None:
        usec = str(round(SHORT * 1e6))
        with Daemon(command=by_path.command(COMMAND, WATCHDOG_USEC=usec)) as daemon:
            by_path.wait("WATCHDOG", 3)
            front = daemon.front()
            front.send(signal.SIGSTOP)
            try:
                wait_until(lambda: daemon.front().state == "T", "the front is stopped")
                # It may have served one that the master has not passed on yet.
                for _ in range(2):
                    wait_for_master(daemon)
                assert count_while(by_path, LONG_ENOUGH) == 0
            finally:
                front.send(signal.SIGCONT)
            by_path.wait("WATCHDOG", len(by_path.said("WATCHDOG")) + 3)
            assert daemon.front().pid == front.pid

    def test_is_answered_by_the_next_front_too(self, by_path: Manager) -> None:
        with Daemon(command=by_path.command(COMMAND, WATCHDOG_USEC=str(round(SHORT * 1e6)))) as daemon:
            by_path.wait("WATCHDOG")
            os.kill(daemon.pid, signal.SIGHUP)
            by_path.wait("READY", 2)
            by_path.wait("WATCHDOG", len(by_path.said("WATCHDOG")) + 3)
            daemon.front().send(signal.SIGKILL)
            wait_until(lambda: any("no login is answered" in s for s in by_path.said("STATUS")), "it is lost")
            wait_until(lambda: daemon.ask() == "OK", "another front answers")
            by_path.wait("WATCHDOG", len(by_path.said("WATCHDOG")) + 3)

    def test_costs_no_login_and_leaves_nothing_open(self, by_path: Manager) -> None:
        with Daemon(command=by_path.command(COMMAND, WATCHDOG_USEC="20000")) as daemon:
            before = daemon.statistics()[:2]
            start = len(daemon.log)
            by_path.wait("WATCHDOG", len(by_path.said("WATCHDOG")) + 100)
            # One of a hundred may be under way at either look.
            wait_until(
                lambda: all(map(operator.le, opened(daemon.statistics()[:2]), opened(before))),
                "no more is open than before",
            )
            assert counted(daemon.statistics()[:2]) == counted(before)
            assert all(":statistics: " in line for line in daemon.log[start:].splitlines())
            assert daemon.ask() == "OK"

    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "soon"},
        ],
        ids=str,
    )
    def test_of_another_or_none_is_not_answered(self, by_path: Manager, variables: dict[str, str]) -> None:
        with Daemon(command=by_path.command(COMMAND, **variables)):
            by_path.wait("READY")
            assert count_while(by_path, LONG_ENOUGH) == 0


def test_no_module_finds_who_to_speak_to(directory: Path) -> None:
    need_namespaces()
    given = {
        "NOTIFY_SOCKET": "/nonexistent/notify",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "mux",
    }
    output = directory / "surroundings"
    with PamFiles() as files:
        module = compiled("surroundings", files.directory)
        stack = f"auth required {module} {output} {' '.join(given)}\naccount required pam_permit.so\n"
        files.service("surroundings", stack)
        with pam_daemon(files, environment=given) as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"surroundings") == "OK"
    assert all(f" {name}=-" in output.read_text() for name in given)

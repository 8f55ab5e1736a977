"""The metrics where Prometheus fetches them by itself: from a file, and by HTTP on loopback."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pysaslauthd.front.metrics_http import LARGEST_HEAD, MOST_CONNECTIONS
from support import mux, processes
from support.daemon import COMMAND, FRONT, PASSWORD, Daemon
from support.packages import need_root
from support.scraped import Metrics, by_http, in_file
from support.tcp_ports import HOST, free_port, listening
from support.waiting import wait_until

MORE_THAN_ALL_BUFFERS = 32 << 20
"""Bytes that nobody can get rid of by TCP unless somebody reads them."""


class TestTheFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """In a directory where the daemon's user may write, whoever that is."""
        directory = tmp_path / "metrics"
        directory.mkdir()
        directory.chmod(0o777)
        for each in (tmp_path, *tmp_path.parents[:2]):
            each.chmod(each.stat().st_mode | 0o011)
        return directory / "saslauthd.prom"

    def test_is_there_while_the_daemon_is(self, path: Path) -> None:
        with Daemon(settings={"metrics_file": str(path)}) as daemon:
            wait_until(path.exists, "it is written")
            first = in_file(path)
            assert first("workers", mechanism="shadow") == 5
            assert path.stat().st_mode & 0o7777 == 0o644
            assert str(path.stat().st_uid) == processes.status(daemon.front().pid)["Uid"].split()[0]
            daemon.kill_front()

            def is_the_next_fronts() -> bool:
                return in_file(path)("start_time_seconds") > first("start_time_seconds")

            wait_until(is_the_next_fronts, "the next front writes it")
            os.kill(daemon.pid, signal.SIGHUP)
            wait_until(lambda: ":reloaded\n" in daemon.log and len(daemon.children(FRONT)) == 1, "reloaded")
            wait_until(path.exists, "it is there after a reload")
        assert list(path.parent.iterdir()) == []

    def test_that_cannot_be_written_is_said_once_and_disturbs_nobody(self, path: Path) -> None:
        need_root()
        path.parent.chmod(0o755)
        with Daemon(settings={"metrics_file": str(path)}) as daemon:
            said = f"cannot write metrics_file {path}: Permission denied\n"
            wait_until(lambda: said in daemon.log, "it is said")
            assert daemon.ask() == "OK"
            assert daemon.log.count("metrics_file") == 1
        assert list(path.parent.iterdir()) == []

    def test_has_a_directory_or_the_check_says_so(self, tmp_path: Path) -> None:
        found = checked("-o", f"metrics_file={tmp_path}/none/x.prom")
        assert f"error: metrics_file (-o): {tmp_path}/none is no directory\n" in found.stderr
        assert found.returncode == 1


class Http(Daemon):
    """A daemon with a port, whose test needs that port to be free."""

    def __init__(self) -> None:
        self.port = free_port()
        super().__init__("-c", "-n", "2", settings={"metrics_port": str(self.port)})

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection((HOST, self.port), mux.TIMEOUT)
        if data:
            client.sendall(data)
        return client

    def exchange(self, data: bytes) -> bytes:
        with self.connect(data) as client:
            return mux.read_to_end(client)


@pytest.fixture
def daemon() -> Iterator[Http]:
    while True:
        with Http() as started:
            if "no metrics by HTTP" not in started.log:  # else somebody had come first
                yield started
                return


class TestHttp:
    def test_gives_the_text_that_prometheus_reads(self, daemon: Http) -> None:
        before = Metrics.of(by_http(daemon.port))
        assert daemon.ask() == "OK"
        after = Metrics.of(by_http(daemon.port))
        assert after.since(before, "logins_total", verdict="accepted", service="imap") == 1
        assert after.since(before, "mechanism_seconds_count", mechanism="shadow") == 1
        assert after("mechanism_seconds_bucket", le="+Inf") == after("mechanism_seconds_count")

    def test_gives_openmetrics_and_parts_to_who_asks_for_them(self, daemon: Http) -> None:
        text = by_http(daemon.port, accept="application/openmetrics-text; version=1.0.0")
        names = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
        assert {"pysaslauthd_logins", "pysaslauthd_wait_seconds", "pysaslauthd_workers"} <= names
        part = by_http(daemon.port, "/metrics?name[]=pysaslauthd_clients")
        assert [line for line in part.splitlines() if line[0] != "#"] == ["pysaslauthd_clients 0.0"]

    def test_is_for_this_machine_alone(self, daemon: Http) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", daemon.port), mux.TIMEOUT).close()

    def test_goes_on_after_a_killed_front_and_a_reload(self, daemon: Http) -> None:
        daemon.kill_front()
        first = Metrics.of(by_http(daemon.port))
        assert first("front_restarts_total") == 1
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: ":reloaded\n" in daemon.log and len(daemon.children(FRONT)) == 1, "reloaded")
        assert Metrics.of(by_http(daemon.port))("start_time_seconds") > first("start_time_seconds")


class TestAHostileClient:
    @pytest.fixture(autouse=True)
    def unharmed(self, daemon: Http) -> Iterator[None]:
        """Whatever it does, this front goes on serving all others."""
        front = daemon.front().pid
        yield
        assert daemon.ask() == "OK"
        assert "pysaslauthd_clients" in by_http(daemon.port)
        assert daemon.front().pid == front
        assert "internal error" not in daemon.log

    @pytest.mark.parametrize(
        "data",
        [
            b"\0\xff\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            b"GET /" + b"x" * 7000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
            b"GET /?name[]=%00%ff&name[]=../.. HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nAccept: application/openmetrics-text; version=x; escaping=\xff\r\n\r\n",
            b"GET / HTTP/1.1\r\nAccept: text/plain; version=1.x.-\r\n\r\n",
            b"GET / HTTP/1.1\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n",
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n" * 100,
        ],
    )
    def test_hears_nothing_that_would_not_be_http(self, daemon: Http, data: bytes) -> None:
        reply = daemon.exchange(data)
        assert reply == b"" or reply.startswith(b"HTTP/1.") or b"<!DOCTYPE HTML" in reply

    def test_may_be_slow(self, daemon: Http) -> None:
        with daemon.connect() as client:
            for byte in b"GET / HTTP/1.0\r\n\r\n":
                client.sendall(bytes((byte,)))
            assert b"pysaslauthd_clients" in mux.read_to_end(client)

    def test_that_says_nothing_makes_room_for_others(self, daemon: Http) -> None:
        with contextlib.ExitStack() as silent:
            first = silent.enter_context(daemon.connect())
            for _ in range(MOST_CONNECTIONS):
                silent.enter_context(daemon.connect(b"GET / HT"))
            assert mux.read_to_end(first) == b""  # for the last of them
            assert "pysaslauthd_clients" in by_http(daemon.port)

    def test_that_never_comes_to_the_end_is_closed(self, daemon: Http) -> None:
        lines = (b"x: " + b"y" * 59 + b"\r\n") * (LARGEST_HEAD // 64)
        with daemon.connect() as client, contextlib.suppress(ConnectionError):
            for _ in range(MORE_THAN_ALL_BUFFERS // len(lines)):
                client.sendall(lines)
            pytest.fail("all was taken")

    def test_that_reads_nothing_and_leaves_costs_nobody_anything(self, daemon: Http) -> None:
        for _ in range(5):
            daemon.connect(b"GET / HTTP/1.0\r\n\r\n").close()

    def test_hears_of_no_login(self, daemon: Http) -> None:
        daemon.ask(b"a-login", PASSWORD, b"a-service")
        text = by_http(daemon.port)
        assert "a-service" in text
        assert "a-login" not in text
        assert PASSWORD.decode() not in text


class TestThePort:
    def test_that_is_taken_is_said_and_logins_are_answered(self) -> None:
        with listening(free_port()) as taken:
            port = taken.getsockname()[1]
            with Daemon(settings={"metrics_port": str(port)}) as daemon:
                assert daemon.ask() == "OK"
                told = f":no metrics by HTTP until a restart: metrics_port: cannot listen on {HOST}:{port}: Address"
                assert told in daemon.log
                daemon.kill_front()
                assert daemon.ask() == "OK"

    def test_without_the_library_stops_start_and_check_with_a_reason(self, tmp_path: Path) -> None:
        (tmp_path / "prometheus_client.py").write_text("raise ImportError('not here')\n")
        path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        found = checked("-o", f"metrics_port={free_port()}", environment=environment)
        reason = (
            "metrics_port needs the package prometheus-client, which the extra metrics installs: not here\n"
        )
        assert f"error: {reason}" in found.stderr
        assert found.returncode == 1
        command = (*COMMAND, "-a", "shadow", "-m", str(tmp_path / "run"), "-f", "-o", "syslog_socket=")
        started = run(*command, "-o", f"metrics_port={free_port()}", environment=environment)
        assert f":{reason}" in started.stderr
        assert started.returncode == 1
        assert not (tmp_path / "run/mux").exists()


def checked(*options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run(*COMMAND, "--check", "-a", "shadow", "-m", "/tmp", *options, environment=environment)


def run(*words: str, environment: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
        stdin=subprocess.DEVNULL,
    )

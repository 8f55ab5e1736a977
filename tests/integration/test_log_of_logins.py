"""What the formats of our own say of a login, and that no format forgets, blocks or tells too much."""

import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from support import mux
from support.configured import Configured
from support.daemon import LOGIN, PASSWORD, WORKER, WRONG, Daemon
from support.devlog import DevLog
from support.log_readers import as_sent, read_json, read_logfmt, read_native
from support.mux import request
from support.packages import need_root
from support.visitor import Visitor
from support.waiting import wait_until


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        yield configured


JSON = {"log_format": "json"}
HOSTILE = b'x" user="y\n[remote=192.0.2.9] \\x41 \xff\x1b[2J=\\'
Line = Mapping[str, object]


def lines(daemon: Daemon | Configured, **values: object) -> list[Line]:
    """What a daemon with JSON on standard error has written so far of which all ``values`` are so."""
    whole = daemon.log.rpartition("\n")[0]
    return [line for line in map(read_json, whole.splitlines()) if values.items() <= line.items()]


def line_of(daemon: Daemon | Configured, **values: object) -> Line:
    """The one line of which ``values`` are so, waited for."""
    (line,) = wait_until(lambda: lines(daemon, **values), f"the log has {values}")
    return line


def hold(daemon: Daemon) -> int:
    """Stop the one worker; its pid."""
    (worker,) = daemon.children(WORKER)
    worker.send(signal.SIGSTOP)
    return worker.pid


def start_to_ask(stack: ExitStack, daemon: Daemon, data: bytes) -> socket.socket:
    client = stack.enter_context(mux.connect(daemon.mux))
    client.sendall(data)
    return client


class TestEachFormat:
    @pytest.mark.parametrize("name", ["logfmt", "json"])
    def test_is_read_by_another_reader_line_by_line_on_standard_error_and_in_syslog(self, name: str) -> None:
        read = read_json if name == "json" else read_logfmt
        with DevLog() as devlog:
            settings = {"log_format": name, "syslog_socket": str(devlog.path)}
            with Daemon("-n", "1", settings=settings) as daemon:
                mux.exchange(daemon.mux, request(HOSTILE, WRONG, HOSTILE, HOSTILE, b"192.0.2.7;1"))
                daemon.ask()
                front = daemon.front().pid
                daemon.stop()
                written = [read(line) for line in daemon.log.splitlines()]
            datagram = devlog.find(b"192.0.2.7;1")
            devlog.find(b"master exited")
        header = rb"<38>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d saslauthd\[%d\]: " % front
        assert re.match(header, datagram)
        assert len(written) == len(devlog.datagrams)
        assert str(written[-1]["event"]).startswith("master exited: ")
        (failure,) = (line for line in written if line.get("remote") == "192.0.2.7;1")
        in_syslog = read(re.sub(header, b"", datagram).decode())
        assert {**in_syslog, "time": ""} == {**failure, "time": ""}
        for field in ("user", "service", "realm"):
            assert as_sent(str(failure[field])) == HOSTILE
        assert (failure["event"], failure["level"]) == ("auth failure", "info")
        assert (failure["mech"], failure["reason"]) == ("shadow", "Invalid username")
        assert str(failure["procid"]) == str(front)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", str(failure["time"]))

    def test_the_originals_has_no_word_more(self) -> None:
        with Daemon("-n", "1", foreground="-f") as daemon:
            daemon.ask(password=WRONG)
            (line,) = re.findall(r"(?<= :)auth failure: .*user=alice.*", daemon.log)
        assert line == (
            "auth failure: [user=alice] [service=imap] [realm=] [mech=shadow] [reason=Incorrect password]"
        )

    def test_for_a_person_has_colors_on_a_terminal_and_nowhere_else(self) -> None:
        script = (
            "from pysaslauthd import logs\n"
            "logs.configure(verbose=False, syslog=None, stderr=True, log_format='console')\n"
            "logs.log.info('auth failure', user=b'alice\\x1b[2J', extra={'request': '1-1'})\n"
        )
        plain = r"\d\d:\d\d:\d\d \[info     \] auth failure +procid=\d+ user=alice\\x1b\[2J request=1-1\s+"
        for environment, in_colors in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            shown = on_a_terminal(script, environment)
            assert ("\x1b[" in shown) is in_colors
            assert re.fullmatch(plain, re.sub(r"\x1b\[[0-9;]*m", "", shown))
        done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=True)
        assert re.fullmatch(plain, done.stderr)


def on_a_terminal(script: str, environment: Mapping[str, str]) -> str:
    """What a program of ours writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-c", script],
        stderr=theirs,
        check=True,
        env={**kept, "TERM": "xterm", **environment},
    )
    shown = b""
    while not shown.endswith(b"\n"):  # the kernel may pass a line on in parts
        shown += os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    return shown.decode()


class TestOfALogin:
    def test_it_says_who_asked(self) -> None:
        with Daemon("-n", "1", settings=JSON, foreground="-f") as daemon:
            daemon.ask(password=WRONG)
            line = line_of(daemon, user="alice")
        assert (line["pid"], line["uid"]) == (os.getpid(), os.getuid())

    def test_it_says_which_user_asked(self) -> None:
        need_root()
        with Daemon("-n", "1", settings={**JSON, "log_successes": "yes"}, foreground="-f") as daemon:
            daemon.directory.chmod(0o755)
            assert Visitor(12345, 12345).ask(daemon.mux) == "OK"
            line = line_of(daemon, user="alice")
        assert line["uid"] == 12345
        assert line["pid"] not in {os.getpid(), 0}

    def test_the_id_stands_in_every_line_about_it_and_in_no_other(self) -> None:
        with Daemon("-n", "1", settings={**JSON, "login_timeout": "1s"}) as daemon:
            hold(daemon)
            mux.exchange(daemon.mux, b"\xff\xff")
            daemon.ask(b"late", WRONG)
            late = line_of(daemon, user="late")
            wait_until(lambda: besides(late, daemon), "the worker is killed")
            daemon.ask(b"nobody", WRONG)
            nobody = line_of(daemon, user="nobody")
            bad = line_of(daemon, event="login exceeded MAX_REQ_LEN: 256")
            killed = besides(late, daemon)
        ids = {line["request"] for line in (late, nobody, bad)}
        assert len(ids) == 3
        assert all(re.fullmatch(r"[0-9a-f]{6}-[0-9a-f]+", str(each)) for each in ids)
        assert late["cause"] == "deadline"
        (line,) = killed
        assert re.fullmatch(r"shadow worker \d+ outlasted the deadline and is killed", str(line["event"]))

    def test_it_says_how_long_it_took_and_how_long_it_waited(self) -> None:
        with Daemon("-n", "1", settings=JSON, foreground="-f") as daemon, ExitStack() as stack:
            worker = hold(daemon)
            clients = [start_to_ask(stack, daemon, request(name, WRONG)) for name in (b"first", b"second")]
            mux.exchange(daemon.mux, request(b"x", b""))
            line_of(daemon, event="NULL password received")
            time.sleep(0.11)  # that there is something to measure, by a clock of milliseconds
            os.kill(worker, signal.SIGCONT)
            for client in clients:
                mux.read_to_end(client)
            first, second = (line_of(daemon, user=name) for name in ("first", "second"))
        for line in (first, second):
            assert 0.1 <= number(line["duration"]) < 30
            assert line["way"] == "mechanism"
        assert number(first["wait"]) < number(second["wait"])
        assert 0.1 <= number(second["wait"]) <= number(second["duration"])

    def test_it_says_how_the_answer_was_found(self) -> None:
        settings = {**JSON, "log_successes": "yes", "realms": "ex.org"}
        with Daemon("-n", "1", "-c", settings=settings, foreground="-f") as daemon, ExitStack() as stack:
            worker = hold(daemon)
            clients = [start_to_ask(stack, daemon, request(LOGIN, PASSWORD)) for _ in range(2)]
            wait_until(lambda: have_joined(daemon), "both are there")
            os.kill(worker, signal.SIGCONT)
            for client in clients:
                assert mux.read_to_end(client) == b"\0\2OK"
            assert daemon.ask() == "OK"
            assert daemon.ask(realm=b"elsewhere.org") == "NO"
            wait_until(lambda: len(lines(daemon, user="alice")) == 4, "all four are logged")
            first, second, third, fourth = lines(daemon, user="alice")
        ways = [line["way"] for line in (first, second, third, fourth)]
        assert ways == ["mechanism", "joined", "cache", "gate"]
        assert second["joined"] == first["request"] != second["request"]
        assert fourth["cause"] == "request"
        assert not any("joined" in line or "cause" in line for line in (first, third))
        assert {line["event"] for line in (first, second, third)} == {"auth success"}


class TestAcceptedLogins:
    """With ``log_successes`` each is news; the shortest way, which leaves no line, is not gone then."""

    def test_are_all_logged_where_they_are_asked_for(self) -> None:
        settings = {"log_successes": "yes"}
        with DevLog() as devlog:
            settings["syslog_socket"] = str(devlog.path)
            with Daemon("-n", "1", "-c", settings=settings, foreground="-f") as daemon:
                for _ in range(5):
                    assert daemon.ask() == "OK"
                daemon.ask(password=WRONG)
                devlog.find(b"auth failure: [user=alice]")
        found = [line for line in devlog.datagrams if b"auth success: [user=alice]" in line]
        assert len(found) == 5
        assert {line[:4] for line in found} == {b"<38>"}
        assert not [line for line in devlog.datagrams if line.startswith(b"<39>")]

    def test_are_so_from_a_reload_on_and_until_another(self, there: Configured) -> None:
        success = "auth success: [user=alice]"
        there.write(there.basis + "cache = true\n")
        there.start("--config", str(there.file), "-f")
        for setting, count in (("false", 0), ("true", 3), ("false", 3)):
            there.write(there.basis + f"cache = true\nlog_successes = {setting}\n")
            there.reload()
            for _ in range(3):
                assert there.ask() == "OK"
            there.ask(LOGIN, WRONG)
            failures = there.log.count("auth failure: [user=alice]")
            assert there.log.count(success) == count
            assert failures


class TestTheSameAgain:
    def test_is_counted_where_anybody_can_cause_it_and_never_of_a_login(self) -> None:
        with DevLog() as devlog:
            settings = {"syslog_socket": str(devlog.path)}
            with Daemon("-n", "2", settings=settings, foreground="-f") as daemon:
                for _ in range(40):
                    mux.exchange(daemon.mux, b"\xff\xff")
                    daemon.ask(password=WRONG)
                for number in range(5):
                    daemon.ask(b"user%d" % number, WRONG)
            devlog.find(b"master exited")
        logged = [line.decode() for line in devlog.datagrams]
        malformed = [line.partition(" : ")[2] for line in logged if "MAX_REQ_LEN" in line]
        counts = [
            re.fullmatch(r"(?:.*: 256)(?: \((\d+) times? in the last \d+ s\))?", line) for line in malformed
        ]
        assert malformed[0] == "login exceeded MAX_REQ_LEN: 256"
        assert sum(int(match[1] or 1) for match in counts if match) == 40
        assert len(malformed) < 10
        assert sum("auth failure: [user=alice]" in line for line in logged) == 40
        for number in range(5):
            assert sum(f"auth failure: [user=user{number}]" in line for line in logged) == 1


class TestPlaces:
    def test_the_journal_gets_fields_and_nobody_else_anything(self) -> None:
        with DevLog() as journal, DevLog() as syslog:
            settings = {
                "log_to": "journal",
                "journal_socket": str(journal.path),
                "syslog_socket": str(syslog.path),
            }
            with Daemon("-n", "1", settings=settings, foreground="-f") as daemon:
                mux.exchange(daemon.mux, request(HOSTILE, WRONG))
                wait_until(lambda: [*of_login(journal)], "the failure is there")
                (fields,) = of_login(journal)
                assert daemon.log == ""
        assert syslog.datagrams == []
        assert fields["SASLAUTHD_USER"] == HOSTILE
        assert fields["SASLAUTHD_WAY"] == b"mechanism"

    def test_standard_error_has_what_goes_wrong_at_the_start_in_the_background_all_the_same(
        self, there: Configured
    ) -> None:
        text = there.basis.replace(str(there.run_path), "/nonexistent/here")
        there.write(text + 'log_to = ["journal"]\n')
        assert "/nonexistent/here" in there.command("--config", str(there.file)).stderr
        assert there.command("--config", str(there.file), "-f").stderr == ""


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def of_login(journal: DevLog) -> Iterator[Mapping[str, bytes]]:
    """The messages about the login that is tried here."""
    for fields in map(read_native, journal.datagrams):
        if fields.get("SASLAUTHD_USER") == HOSTILE:
            yield fields


def besides(line: Line, daemon: Daemon) -> list[Line]:
    """The other lines of the same request."""
    return [other for other in lines(daemon, request=line["request"]) if other != line]


def have_joined(daemon: Daemon) -> bool:
    os.kill(daemon.pid, signal.SIGUSR1)
    return bool(lines(daemon, event="statistics", joined=1))

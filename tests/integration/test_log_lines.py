"""What a login leaves in the log, and what it never does."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux, shadow
from support.daemon import LOGIN, WRONG, Daemon
from support.devlog import DevLog
from support.load import Load
from support.mux import request
from support.waiting import wait_until

ENOUGH = 3000
"""Logins whose lines are far more than a socket or a pipe takes."""


@pytest.fixture
def devlog() -> Iterator[DevLog]:
    with DevLog() as log:
        yield log


def test_a_failure_is_the_originals_line_to_the_byte(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:
        daemon.ask(LOGIN, WRONG, b"smtp", b"ex.org")
        line = devlog.find(b"[user=alice]")
        front = daemon.front().pid
    stamp = rb"<38>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d "
    body = (
        b"saslauthd[%d]:                 : auth failure: [user=alice] [service=smtp] [realm=ex.org]" % front
    )
    assert re.fullmatch(stamp + re.escape(body + b" [mech=shadow] [reason=Incorrect password]"), line)


def test_the_address_of_a_fifth_field_stands_where_upstream_puts_it(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:
        mux.exchange(daemon.mux, request(LOGIN, WRONG, b"smtp", b"", b"192.0.2.7;4567"))
        line = devlog.find(b"[user=alice]")
    assert line.endswith(
        b": auth failure: [user=alice] [service=smtp] [realm=] [remote=192.0.2.7;4567] [mech=shadow]"
        b" [reason=Incorrect password]"
    )


def test_a_login_joined_to_its_realm_is_logged_as_such(devlog: DevLog) -> None:
    with Daemon("-r", settings={"syslog_socket": str(devlog.path)}) as daemon:
        daemon.ask(LOGIN, WRONG, b"smtp", b"ex.org")
        assert b"[user=alice@ex.org] [service=smtp] [realm=ex.org]" in devlog.find(b"[user=alice")


def test_no_value_forges_a_line_or_a_field(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:
        login = b"mallory] [remote=192.0.2.9] [x=\nNov 22 07:22:50 host saslauthd[1]: forged \x1b[2J\xff"
        daemon.ask(login, WRONG, b"\r\n", b"\x07")
        line = devlog.find(b"mallory")
    assert line.count(b"[") - line.count(b"saslauthd[") == 5
    assert not re.search(rb"[\x00-\x1f\x7f-\xff]", line)
    assert b"\\xff] [service=\\x0d\\x0a] [realm=\\x07] [mech=" in line


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xff", b"login exceeded MAX_REQ_LEN: 256"),
        (request(b"", b"x"), b"NULL login received"),
        (request(b"x", b""), b"NULL password received"),
    ],
)
def test_a_request_that_is_none_is_an_error_and_no_failure(devlog: DevLog, data: bytes, text: bytes) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:
        mux.exchange(daemon.mux, data)
        line = devlog.find(text)
        assert line.startswith(b"<35>")
        assert line.endswith(b":                 : " + text)
    assert not [
        datagram
        for datagram in devlog.datagrams
        if b"auth failure" in datagram and b"nobody-at-all" not in datagram
    ]


def test_starting_and_stopping_is_told_in_the_originals_words(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:
        pid = daemon.pid
    devlog.find(b"master exited")
    lines = [datagram.partition(b": " + b" " * 16 + b": ")[2] for datagram in devlog.datagrams]
    assert b"master pid is: %d" % pid in lines
    assert b"listening on socket: %s/run/mux" % bytes(daemon.directory) in lines
    assert lines[-1] == b"master exited: %d" % pid


def test_a_success_is_a_debug_line(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}) as daemon:  # -d, so verbose
        daemon.ask(realm=b"ex.org")
        line = devlog.find(b"auth success")
        assert line.startswith(b"<39>")
        assert line.endswith(b": auth success: [user=alice] [service=imap] [realm=ex.org] [mech=shadow]")


def test_without_v_a_success_leaves_no_trace(devlog: DevLog) -> None:
    with Daemon(settings={"syslog_socket": str(devlog.path)}, foreground="-f") as daemon:
        assert daemon.ask() == "OK"
        assert daemon.ask(password=WRONG) == "NO"
        devlog.find(b"[user=alice]")
    assert not [line for line in devlog.datagrams if b"success" in line or line.startswith(b"<39>")]


@pytest.mark.parametrize(
    ("log_format", "to"), [("saslauthd", "syslog"), ("json", "syslog"), ("logfmt", "journal")]
)
def test_a_full_log_holds_up_no_login_and_the_loss_is_counted(log_format: str, to: str) -> None:
    settings = {"log_format": log_format, "log_to": to}
    with (
        DevLog(stuck=True) as devlog,
        Daemon(settings={**settings, f"{to}_socket": str(devlog.path)}) as daemon,
    ):
        with Load(daemon.mux, 4) as load:
            wait_until(lambda: load.answered >= ENOUGH, "logins go on", limit=240)
        assert load.unanswered == load.wrong_verdicts == 0
        devlog.unstick()
        wait_until(lambda: len(devlog.datagrams) >= 5, "it flows again")
        daemon.ask(password=WRONG)
        line = devlog.find(b"log lines were lost")
        assert re.search(rb"\d{3,} log lines were lost, " + re.escape(bytes(devlog.path)), line)


def test_a_stopped_reader_of_standard_error_holds_up_no_login() -> None:
    read, write = os.pipe()
    daemon = Daemon()
    daemon.stderr.unlink(missing_ok=True)
    daemon.stderr.symlink_to(f"/proc/{os.getpid()}/fd/{write}")
    with daemon, Load(daemon.mux, 4) as load:
        wait_until(lambda: load.answered >= ENOUGH, "logins go on", limit=240)
    assert load.unanswered == load.wrong_verdicts == 0
    os.close(write)
    assert len(os.read(read, 1 << 20)) > 30_000
    os.close(read)


class TestSecrets:
    """A password and a hash are in no log, whatever happens, however verbose."""

    PASSWORDS = (b"Zaubertrank-1", b"Hexenkessel-2", b"Wunderkerze-3")

    @pytest.mark.parametrize("log_format", ["saslauthd", "logfmt", "json", "console"])
    def test_are_in_no_line(self, devlog: DevLog, log_format: str) -> None:
        right, _, other = self.PASSWORDS
        users = {"alice": right, "bob": right, "carol": other}
        settings = {
            "log_format": log_format,
            "log_to": "syslog,journal,stderr",
            "syslog_socket": str(devlog.path),
            "journal_socket": str(devlog.path),
        }
        with Daemon("-V", "-n", "2", settings=settings, users=users) as daemon:
            stored = [line.split(":")[1] for line in daemon.shadow_file.read_text().splitlines()]
            for login in (b"alice", b"bob", b"nobody-here", b"\xff"):
                for password in self.PASSWORDS:
                    daemon.ask(login, password)
                    mux.exchange(daemon.mux, request(login, password + b"\0") + b"x")
                    mux.exchange(daemon.mux, request(login, password * 1000))
            self.die_while_holding(daemon, right)
            daemon.shadow_file.write_text("alice:" + stored[0] + ":broken\n")
            daemon.ask(b"alice", right)
            os.kill(daemon.pid, signal.SIGUSR1)
            wait_until(lambda: daemon.log.count("statistics") >= 2, "statistics are logged")
            for process in (daemon.pid, *(child.pid for child in daemon.children())):
                assert not self.found_in(Path(f"/proc/{process}/cmdline").read_bytes(), stored)
            log = daemon.log.encode() + b"".join(devlog.datagrams)
        assert len(re.findall(rb"user\W*alice", log)) >= 10
        assert log.count(b"SASLAUTHD_USER=alice") >= 5
        assert not self.found_in(log, stored)

    def die_while_holding(self, daemon: Daemon, password: bytes) -> None:
        for worker in daemon.children("pysasl-shadow"):
            worker.send(signal.SIGSTOP)
        with mux.connect(daemon.mux) as client:
            client.sendall(request(b"alice", password))
            for worker in daemon.children("pysasl-shadow"):
                worker.send(signal.SIGKILL)
            mux.read_to_end(client)

    def found_in(self, text: bytes, stored: list[str]) -> list[bytes]:
        secrets = [*self.PASSWORDS, *(hash_.split("$")[-1].encode() for hash_ in stored)]
        return [secret for secret in secrets if secret in text]


def test_the_shadow_helper_makes_hashes_that_the_search_would_find() -> None:
    assert TestSecrets().found_in(shadow.hashed(b"x").encode(), [shadow.hashed(b"y")]) == []
    stored = shadow.hashed(b"x")
    assert TestSecrets().found_in(f"pw mismatch: {stored}".encode(), [stored]) == [
        stored.split("$")[-1].encode()
    ]

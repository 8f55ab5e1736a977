"""``testpysaslauthd`` says what testsaslauthd says, and in words what went wrong."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.fake_daemon import FakeDaemon

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.check")


AS_NOBODY = (
    "import os, sys; from pysaslauthd.commands.check import main; "
    "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534)); sys.exit(main())"
)


def run(
    *arguments: str | Path | bytes, text: str = "", command: tuple[str, ...] = COMMAND
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(users={"alice": PASSWORD, "bob": b"-dash"}) as running:
        yield running


@pytest.mark.parametrize(
    ("password", "output", "status"),
    [(PASSWORD, '0: OK "Success."\n', 0), (WRONG, '0: NO "authentication failed"\n', 255)],
)
def test_a_verdict_is_told_as_by_the_original(
    daemon: Daemon, password: bytes, output: str, status: int
) -> None:
    result = run("-u", LOGIN, "-p", password, "-f", daemon.mux)
    assert (result.stdout, result.stderr, result.returncode) == (output, "", status)


def test_a_password_may_begin_with_a_dash(daemon: Daemon) -> None:
    daemon.ask(b"bob", b"-dash")
    assert run("-u", "bob", "-p", "-dash", "-f", daemon.mux, "ignored").stdout == '0: OK "Success."\n'


def test_repetitions_are_numbered_and_the_last_one_counts(daemon: Daemon) -> None:
    result = run("-u", LOGIN, "-p", PASSWORD, "-f", daemon.mux, "-R", "3")
    assert result.stdout == "".join(f'{n}: OK "Success."\n' for n in range(3))
    assert result.returncode == 0


def test_the_fields_arrive_as_given(daemon: Daemon) -> None:
    run("-u", LOGIN, "-p", PASSWORD, "-f", daemon.mux, "-s", "smtp", "-r", "ex.org", "-a", "192.0.2.7;1")
    assert "[user=alice] [service=smtp] [realm=ex.org] [remote=192.0.2.7;1] [mech=shadow]" in daemon.log
    run("-u", b"j\xfcrgen", "-p", PASSWORD, "-f", daemon.mux)
    assert "[user=j\\xfcrgen] [service=imap] [realm=] [mech=shadow]" in daemon.log


@pytest.mark.parametrize(
    ("text", "status"), [("secret-Pass_1\n", 0), ("secret-Pass_1", 0), ("\n", 255), ("x\n", 255)]
)
def test_the_password_can_come_by_standard_input(daemon: Daemon, text: str, status: int) -> None:
    assert run("-u", LOGIN, "-p", "-", "-f", daemon.mux, text=text).returncode == status


def test_json_has_a_line_for_each_try(daemon: Daemon) -> None:
    for password, accepted, reply in ((PASSWORD, True, "OK"), (WRONG, False, "NO")):
        result = run("-u", LOGIN, "-p", password, "-f", daemon.mux, "-R", "2", "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line.pop("milliseconds") >= 0 for line in lines] == [True, True]
        expected = {"accepted": accepted, "reply": reply, "error": None}
        assert lines == [{"number": number, **expected} for number in range(2)]
    missing = json.loads(run("-u", "x", "-p", "x", "-f", "/nonexistent/mux", "--json").stdout)
    assert missing["accepted"] is None
    assert "no such socket" in missing["error"]


class TestTrouble:
    def check(self, path: Path, words: str, *more: str) -> None:
        result = run("-u", "x", "-p", "x", "-f", path, *more)
        assert result.stdout == "0: "
        assert words in result.stderr
        assert str(path) in result.stderr
        assert result.returncode == 255

    def test_no_socket(self, daemon: Daemon) -> None:
        self.check(daemon.directory / "none", "no such socket")

    def test_nobody_listens(self, daemon: Daemon) -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(daemon.directory / "stale"))
        self.check(daemon.directory / "stale", "nobody listens")

    def test_no_answer(self, daemon: Daemon) -> None:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(daemon.directory / "silent"))
            silent.listen()
            self.check(daemon.directory / "silent", "no answer within 0.2 s", "--timeout", "0.2")

    def test_closed_without_an_answer(self, daemon: Daemon) -> None:
        daemon.shadow_file.rename(daemon.directory / "away")
        try:
            self.check(daemon.mux, "closed without an answer")
        finally:
            (daemon.directory / "away").rename(daemon.shadow_file)

    def test_an_answer_that_is_none(self) -> None:
        with FakeDaemon(b"O") as fake:
            self.check(fake.mux, "reply of 1 bytes; expected OK or NO")

    def test_permission_denied(self, daemon: Daemon) -> None:
        daemon.mux.chmod(0)
        try:
            result = run("-u", "x", "-p", "x", "-f", daemon.mux, command=(sys.executable, "-c", AS_NOBODY))
        finally:
            daemon.mux.chmod(0o777)
        assert "permission denied: directory or socket" in result.stderr
        assert result.returncode == 255

    def test_a_field_that_no_request_can_hold(self, daemon: Daemon) -> None:
        result = run("-u", "x", "-p", "x", "-f", daemon.mux, "-r", "x" * 70_000)
        assert result.stderr == "field of 70000 bytes; the protocol allows 65535\n"
        assert result.returncode == 255


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-u", "x"],
        ["-p", "x"],
        ["-u", "x", "-p", "x", "--nosuch"],
        ["-h"],
        ["-u", "x", "-p", "x", "-R", "y"],
    ],
)
def test_usage_errors_exit_1_with_the_usage_text(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "usage: testpysaslauthd -u username -p password" in result.stderr

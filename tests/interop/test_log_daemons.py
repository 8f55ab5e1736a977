"""What the system's own log daemons and fail2ban make of our lines."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.journald import JournalSink
from support import mux
from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.log_machine import AUTH_LOG, SAMPLES, Hit, LogMachine, log_machine
from support.mux import request
from support.waiting import wait_until

MALLORY, FORGED = "192.0.2.66", "203.0.113.9"
FORGING = (
    b"x] [service=] [realm=] [remote=%b;1] [mech=a] [reason=b]" % FORGED.encode(),
    b"x\nNov 26 00:05:46 mx saslauthd[1]: auth failure: [user=x] [service=] [realm=] [remote=%b;1] [mech=a] [reason=b]"
    % FORGED.encode(),
    b"\r\n\x01\x7f\xff\\x5d [remote=%b;1]" % FORGED.encode(),
    b"%b;1] [remote=" % FORGED.encode(),
)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogMachine]:
    """A machine to which a daemon has logged failures, honest and forging, and one of its own side."""
    with log_machine(tmp_path_factory.mktemp("log-machine") / "log") as machine:
        settings = {**machine.settings, "login_timeout": "5s"}
        with Daemon("-n", "1", settings=settings, foreground="-f") as daemon:
            for login in (LOGIN, *FORGING):
                mux.exchange(daemon.mux, request(login, WRONG, b"smtp", b"", MALLORY.encode() + b";4567"))
            for part in FORGING:
                # Also where the mail server lets a stranger choose the rest.
                mux.exchange(daemon.mux, request(LOGIN, WRONG, part, part, b"192.0.2.67;1"))
            mux.exchange(daemon.mux, request(LOGIN, WRONG, b"smtp", b""))
            mux.exchange(daemon.mux, request(LOGIN, PASSWORD, b"smtp", b"", b"192.0.2.68;1"))
            (worker,) = daemon.children("pysasl-shadow")
            worker.send(signal.SIGSTOP)
            mux.exchange(daemon.mux, request(LOGIN, WRONG, b"smtp", b"", b"192.0.2.69;1"))
        wait_until(lambda: "master exited" in machine.machine.read(AUTH_LOG), "syslog has it all")
        yield machine


def test_the_samples_are_what_they_say(logged: LogMachine) -> None:
    said = [json.loads(text) for text in re.findall("^# failJSON: (.*)$", SAMPLES.read_text(), re.MULTILINE)]
    lines = [line for line in SAMPLES.read_text().splitlines() if line and not line.startswith("#")]
    assert len(said) == len(lines) > 10
    expected = [Hit(each["host"], each["user"]) for each in said if each["match"]]
    assert logged.matched("/samples.log") == expected


@pytest.mark.parametrize("log", [AUTH_LOG, "systemd-journal[journalpath=/run/log/journal]"])
def test_fail2ban_counts_each_failure_for_the_address_that_the_mail_server_saw(
    logged: LogMachine, log: str
) -> None:
    hits = logged.matched(log)
    assert [hit.address for hit in hits] == [MALLORY] * 5 + ["192.0.2.67"] * 4
    assert hits[0].user == LOGIN.decode()
    assert FORGED in hits[1].user


def test_the_journal_has_every_value_to_the_byte(logged: LogMachine) -> None:
    found = logged.journal("SASLAUTHD_EVENT=auth failure", f"SASLAUTHD_REMOTE={MALLORY};4567")
    assert [in_bytes(entry["SASLAUTHD_USER"]) for entry in found] == [LOGIN, *FORGING]
    for entry in found:
        assert entry["SYSLOG_IDENTIFIER"] == "saslauthd"
        assert (entry["PRIORITY"], entry["SYSLOG_FACILITY"]) == ("6", "4")
        assert (entry["SASLAUTHD_PID"], entry["SASLAUTHD_UID"]) == (str(os.getpid()), str(os.getuid()))
        assert str(entry["MESSAGE"]).startswith("auth failure: [user=")


def test_the_journal_takes_what_no_datagram_holds(logged: LogMachine) -> None:
    long = os.urandom(300_000)
    with closing(JournalSink(Path(logged.settings["journal_socket"]))) as sink:
        sink.write(Entry("info", "a long line", {"user": long}))
    (entry,) = logged.journal("SASLAUTHD_EVENT=a long line")
    assert in_bytes(entry["SASLAUTHD_USER"]) == long


def test_the_journal_finds_all_lines_of_a_request(logged: LogMachine) -> None:
    (failed,) = logged.journal("SASLAUTHD_EVENT=auth unavailable")
    assert (failed["SASLAUTHD_CAUSE"], failed["PRIORITY"]) == ("deadline", "3")
    found = logged.journal(f"SASLAUTHD_REQUEST={failed['SASLAUTHD_REQUEST']}")
    assert sorted(str(entry["MESSAGE"]).split(":")[0] for entry in found) == [
        "auth unavailable",
        "shadow worker 1 outlasted the deadline and is killed",
    ]


def test_fail2ban_bans_with_the_jail_that_we_give(logged: LogMachine) -> None:
    # Its usual way to ban is the firewall's, which is not what is tried here.
    machine = logged.machine
    machine.write("/etc/fail2ban/jail.local", "[DEFAULT]\nbanaction = dummy\n")
    machine.write("/etc/fail2ban/fail2ban.local", "[Definition]\ndbfile = None\n")
    machine.start("fail2ban-server", "-f", "start", log=machine.directory / "fail2ban.log")
    status = ("fail2ban-client", "status", "pysaslauthd")
    wait_until(lambda: MALLORY in machine.run(*status, check=False).stdout, "it is banned")
    assert re.search(rf"Banned IP list:\s+{MALLORY}$", machine.run(*status).stdout, re.MULTILINE)
    machine.run("fail2ban-client", "stop")


def in_bytes(value: object) -> bytes:
    """A field of ``journalctl``'s JSON, which is a list of numbers where it is no printable text."""
    return bytes(value) if isinstance(value, list) else str(value).encode()

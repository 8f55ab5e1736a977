"""A Debian with the real readers of a log: rsyslogd, systemd's journald and fail2ban."""

import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.machine import Machine, debian
from support.waiting import wait_until

FAIL2BAN = Path(__file__).parents[2] / "packaging/fail2ban"
SAMPLES = FAIL2BAN / "samples.log"
_IN_THE_MACHINE = {
    "/etc/fail2ban/filter.d/pysaslauthd.conf": FAIL2BAN / "filter.d/pysaslauthd.conf",
    "/etc/fail2ban/jail.d/pysaslauthd.conf": FAIL2BAN / "jail.d/pysaslauthd.conf",
    "/samples.log": SAMPLES,
}

AUTH_LOG = "/var/log/auth.log"
_RSYSLOG = f'module(load="imuxsock")\nauth,authpriv.* {AUTH_LOG}\n'
_SYSLOG_SOCKET, _JOURNAL_SOCKET = "dev/log", "run/systemd/journal/socket"

# journald asks which control group each sender is in.
_PREPARE = """
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /run/log/journal /run/systemd/journal /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
rm /etc/fail2ban/jail.d/defaults-debian.conf
"""


class Hit(NamedTuple):
    """What fail2ban makes of a line: whom it counts, and under which name."""

    address: str
    user: str


class LogMachine:
    """``settings`` have a daemon on the host write to the log daemons there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.settings = {
            "log_to": "syslog,journal",
            "syslog_socket": str(machine.root / _SYSLOG_SOCKET),
            "journal_socket": str(machine.root / _JOURNAL_SOCKET),
        }

    def journal(self, *matches: str) -> list[Mapping[str, object]]:
        """The entries of which all that ``matches`` say is so, as ``journalctl`` reads them."""
        self.machine.run("journalctl", "--sync")
        done = self.machine.run("journalctl", "--no-pager", "--output=json", "--all", *matches)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def matched(self, log: str) -> list[Hit]:
        """What fail2ban's own tool finds with our filter, in order. ``log`` is a file there, or ``systemd-journal[...]``."""
        done = self.machine.run("fail2ban-regex", "--out", "row", log, "pysaslauthd", check=False)
        rows = [ast.literal_eval(line.rstrip(",")) for line in done.stdout.splitlines() if line]
        return [Hit(address, fields["user"]) for address, _, fields in rows]


@contextmanager
def log_machine(log: Path) -> Iterator[LogMachine]:
    """One with rsyslogd and journald running; what they print goes to ``log``."""
    layer = debian("fail2ban", "python3-systemd", "rsyslog", "systemd")
    with Machine(layer, binds=_IN_THE_MACHINE) as machine:
        machine.shell(_PREPARE)
        machine.write("/etc/rsyslog-of-the-test.conf", _RSYSLOG)
        machine.start("rsyslogd", "-n", "-f", "/etc/rsyslog-of-the-test.conf", log=log)
        machine.start("/usr/lib/systemd/systemd-journald", log=log)
        for place in (_SYSLOG_SOCKET, _JOURNAL_SOCKET):
            wait_until((machine.root / place).exists, f"{place} is there")
        yield LogMachine(machine)

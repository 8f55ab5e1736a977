"""What our processes are, and could open, while somebody logs in by a mail server; and what the server has to be."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import smtp
from support.daemon import FRONT, MASTER, WORKER, with_their_names
from support.machine import Machine
from support.machine_daemon import IGOR, MUX, RIGHT, STUCK, WRONG, daemon
from support.program_machines import LYDIA, SASLAUTHD_CONF, Machines
from support.sasl_programs import ASKER
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

PAM_WORKER, LDAP_WORKER = "pysasl-pam", "pysasl-ldap"
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")

SECRETS = {
    "/etc/shadow",
    "/etc/saslauthd.conf",
    "/etc/mail/tls/sendmail-common.key",
    "/root/admin-password",
    f"/var/mail/{IGOR}",
}
"""Files of the machine that are not everybody's."""


class Seen:
    """A process of ours, by what the kernel says of it."""

    def __init__(self, machine: Machine, pid: str) -> None:
        lines = (machine.root / "proc" / pid / "status").read_text().splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        self.name = status["Name"][0]
        self.user, self.group = status["Uid"], status["Gid"]
        self.groups = status["Groups"]
        self.has_capabilities = any(int(status[name][0], 16) for name in CAPABILITIES)
        self._machine = machine

    @property
    def is_root(self) -> bool:
        return "0" in self.user

    def could_open(self) -> set[str]:
        """Of the secrets, those that another program with its user and groups can read."""
        groups = f"--groups={','.join(self.groups)}" if self.groups else "--clear-groups"
        become = ["setpriv", f"--reuid={self.user[0]}", f"--regid={self.group[0]}", groups]
        readable = 'for file; do if [ -r "$file" ]; then echo "$file"; fi; done'
        return set(self._machine.run(*become, "sh", "-c", readable, "sh", *sorted(SECRETS)).stdout.split())


def ours(machine: Machine, master: int) -> dict[str, list[Seen]]:
    """The master and its children, by name."""

    def look() -> dict[str, list[Seen]]:
        children = machine.run("ps", "-o", "pid=", "--ppid", str(master)).stdout.split()
        found: dict[str, list[Seen]] = {}
        for pid in (str(master), *children):
            process = Seen(machine, pid)
            found.setdefault(process.name, []).append(process)
        return found

    return with_their_names(look)


@pytest.fixture
def machine(machines: Machines) -> Iterator[Machine]:
    found = machines["sendmail"].machine
    found.write("/etc/saslauthd.conf", SASLAUTHD_CONF, 0o600)
    found.shell(f"touch /var/mail/{IGOR}; chown {IGOR}:mail /var/mail/{IGOR}; chmod 660 /var/mail/{IGOR}")
    yield found
    found.run("rm", "/etc/saslauthd.conf")


def log_in(machine: Machine, login: str) -> int:
    with machine.loopback():
        return smtp.session(587, "PLAIN", login.encode(), RIGHT.encode()).auth


def check(processes: dict[str, list[Seen]], worker: str, opens: set[str]) -> None:
    """Master and front are what they always are; the workers without rights open ``opens`` and no more."""
    assert set(processes) == {MASTER, FRONT, worker}
    (master,), (front,) = processes[MASTER], processes[FRONT]
    assert master.is_root
    assert not front.is_root
    assert not front.has_capabilities
    assert front.groups == []
    assert front.could_open() == set()
    for each in processes[worker]:
        assert not each.is_root
        assert not each.has_capabilities
        assert each.could_open() == opens


def test_with_shadow_only_the_shadow_file_is_within_reach_and_only_of_the_workers(machine: Machine) -> None:
    with daemon(machine, "shadow") as master:
        assert log_in(machine, IGOR) == 235
        check(ours(machine, master), WORKER, {"/etc/shadow"})


def test_with_ldap_nothing_is_within_reach_not_even_the_file_with_the_servers(machine: Machine) -> None:
    with daemon(machine, "ldap") as master:
        assert log_in(machine, LYDIA) == 235
        check(ours(machine, master), LDAP_WORKER, set())


def test_with_pam_the_workers_are_root_and_the_front_is_not_while_a_login_is_under_way(
    machine: Machine,
) -> None:
    with daemon(machine, "pam", "-o", "login_timeout=5m") as master:
        login = threading.Thread(target=log_in, args=(machine, STUCK))
        login.start()
        wait_until(lambda: "sleep 600" in machine.run("ps", "-eo", "args").stdout, "PAM thinks")
        processes = ours(machine, master)
        workers = processes.pop(PAM_WORKER)
        assert all(worker.is_root for worker in workers)
        check({**processes, PAM_WORKER: []}, PAM_WORKER, set())
        machine.run("pkill", "-f", "^/bin/sleep 600")
        login.join()


def test_a_mail_server_that_asks_is_no_root(machines: Machines) -> None:
    machine = machines["postfix"].machine
    with daemon(machine, "pam"), machine.loopback():
        assert smtp.session(587, "PLAIN", IGOR.encode(), RIGHT.encode()).auth == 235
        users = machine.run("ps", "-C", "smtpd", "-o", "user=").stdout.split()
    assert set(users) == {"postfix"}


def test_who_is_not_in_the_group_cannot_ask(machines: Machines) -> None:
    machine = machines["postfix"].machine
    command = ("testsaslauthd", "-f", Path("/", MUX), "-u", IGOR, "-p", RIGHT)
    with daemon(machine, "pam"):
        assert "OK" in machine.run(*command, user=ASKER).stdout
        refused = machine.run(*command, check=False, user=IGOR)
    assert "Permission denied" in refused.stdout + refused.stderr


ASK = f"""
import sys
sys.path.append("/usr/lib/pysaslauthd")
from pysaslauthd.client import check
print(check("{IGOR}", "{RIGHT}", service="smtp"), check("{IGOR}", "{WRONG}", service="smtp"))
"""


def test_a_python_program_in_the_group_asks_by_the_module_of_the_package(machines: Machines) -> None:
    machine = machines["postfix"].machine
    with daemon(machine, "pam"):
        assert machine.run("python3", "-I", "-c", ASK, user=ASKER).stdout == "True False\n"

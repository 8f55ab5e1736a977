"""Our daemon in a machine where it is installed, and users for it."""

import contextlib
from collections.abc import Iterator

from support.machine import Machine
from support.waiting import wait_until

RUN_PATH = "/run/saslauthd"
MUX = "run/saslauthd/mux"
"""Below the machine's root."""

IGOR, RIGHT, WRONG = "igor", "secret", "wrong"
"""A user of the machine, and his password."""

TORTOISE, STUCK = "tortoise", "stuck"
"""Users with the same password, of whom PAM thinks for half a second, and for longer than anybody waits."""

DEADLINE = "5s"
"""For a login, where a test has STUCK log in."""

_SLOW_USERS = f"""\
auth [success=1 default=ignore] pam_succeed_if.so quiet user != {TORTOISE}
auth required pam_exec.so quiet /bin/sleep 0.5
auth [success=1 default=ignore] pam_succeed_if.so quiet user != {STUCK}
auth required pam_exec.so quiet /bin/sleep 600
"""


def add_users(machine: Machine) -> None:
    """The users above; and PAM does not pause after a refusal."""
    passwords = "".join(f"{user}:{RIGHT}\\n" for user in (IGOR, TORTOISE, STUCK))
    machine.shell(
        f"for user in {IGOR} {TORTOISE} {STUCK}; do useradd --create-home $user; done;"
        f"printf '{passwords}' | chpasswd;"
        "sed -i 's/pam_unix.so nullok/& nodelay/' /etc/pam.d/common-auth"
    )
    machine.write("/etc/pam.d/common-auth", _SLOW_USERS + machine.read("/etc/pam.d/common-auth"))


def wait_gone(machine: Machine, pid: str) -> None:
    """Until the process of this number, as it is there, has ended."""
    wait_until(lambda: not (machine.root / "proc" / pid).exists(), f"process {pid} has ended")


@contextlib.contextmanager
def daemon(machine: Machine, mechanism: str, *options: str) -> Iterator[int]:
    """It runs there, started by root, and nothing of it afterwards; gives the pid of the master, as it is there."""
    machine.run("pysaslauthd", "-a", mechanism, "-m", RUN_PATH, *options)
    pid = machine.read(f"{RUN_PATH}/saslauthd.pid").strip()
    try:
        yield int(pid)
    finally:
        machine.run("kill", pid)
        wait_gone(machine, pid)

"""Our daemon in a machine, as an administrator has it: root starts it, and the group ``sasl`` may go to its socket."""

import contextlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from support.machine import Layer, Machine
from support.packages import cannot_run
from support.waiting import wait_until

RUN_PATH = "/run/saslauthd"
MUX = f"{RUN_PATH}/mux"

IGOR, RIGHT, WRONG = "igor", "secret", "wrong"
"""A user of the machine, and his password."""

TORTOISE, STUCK = "tortoise", "stuck"
"""Users with the same password, of whom PAM thinks for half a second, and for longer than anybody waits."""

DEADLINE = "2s"
"""For a login, where a test has STUCK log in."""

_CHECKOUT = Path(__file__).parents[2]
_PYTHON = (3, 11)
"""Of Debian 12, whose packages' compiled parts are ours for as long as ours is the same."""

_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys
sys.path[:0] = ["/opt/pysaslauthd/source", "/opt/pysaslauthd/packages"]
from pysaslauthd.commands.{module} import main
sys.exit(main())
"""

_SERVICE = """\
#!/bin/sh
pid_file=/var/run/saslauthd/saslauthd.pid
case $1 in
    stop | restart) [ ! -e $pid_file ] || { kill "$(cat $pid_file)"; while [ -e $pid_file ]; do sleep 0.05; done; } ;;
esac
case $1 in
    start | restart) exec pysaslauthd -a pam ;;
esac
"""

_SLOW_USERS = f"""\
auth [success=1 default=ignore] pam_succeed_if.so quiet user != {TORTOISE}
auth required pam_exec.so quiet /bin/sleep 0.5
auth [success=1 default=ignore] pam_succeed_if.so quiet user != {STUCK}
auth required pam_exec.so quiet /bin/sleep 600
"""


def machine_with_ours(layer: Layer) -> Machine:
    """One where :func:`set_up` will find what it needs."""
    if sys.version_info[:2] != _PYTHON:
        cannot_run(f"needs Python {_PYTHON[0]}.{_PYTHON[1]}, as the machine has it")
    binds = {
        "/opt/pysaslauthd/source/pysaslauthd": _CHECKOUT / "pysaslauthd",
        "/opt/pysaslauthd/packages": Path(sysconfig.get_path("purelib")),
    }
    return Machine(layer, binds=binds)


def set_up(machine: Machine) -> None:
    """Commands, user, service and run directory; the users above; and PAM that does not pause after a refusal."""
    for command, module in (("pysaslauthd", "daemon"), ("testpysaslauthd", "check")):
        machine.write(f"/usr/sbin/{command}", _LAUNCHER.format(module=module), 0o755)
    machine.write("/etc/init.d/pysaslauthd", _SERVICE, 0o755)
    passwords = "".join(f"{user}:{RIGHT}\\n" for user in (IGOR, TORTOISE, STUCK))
    machine.shell(
        "useradd --system --no-create-home --shell /usr/sbin/nologin pysaslauthd;"
        f"install -d -o root -g sasl -m 0710 {RUN_PATH};"
        f"for user in {IGOR} {TORTOISE} {STUCK}; do useradd --create-home $user; done;"
        f"printf '{passwords}' | chpasswd;"
        "sed -i 's/pam_unix.so nullok/& nodelay/' /etc/pam.d/common-auth"
    )
    machine.write("/etc/pam.d/common-auth", _SLOW_USERS + machine.read("/etc/pam.d/common-auth"))


@contextlib.contextmanager
def daemon(machine: Machine, mechanism: str, *options: str) -> Iterator[int]:
    """It runs there in the background, and nothing of it afterwards; gives the pid of the master, as it is there."""
    machine.run("pysaslauthd", "-a", mechanism, "-m", RUN_PATH, *options)
    pid = machine.read(f"{RUN_PATH}/saslauthd.pid").strip()
    try:
        yield int(pid)
    finally:
        machine.run("kill", pid)
        wait_until(lambda: not machine.path(f"/proc/{pid}").exists(), "the daemon has stopped")

"""The RPMs: installed, used, upgraded and erased by rpm, on a Debian, as Red Hat's systems are not to be had."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.built import LOWER, packages
from support.leftovers import USERS, Inventory
from support.machine import Machine, debian
from support.machine_logins import WRONG, add_user, ask

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the packages and a machine.

PLACE = "/packages"
SYSCONFIG = "/etc/sysconfig/pysaslauthd"
CHKCONFIG = "/usr/sbin/chkconfig"

DIRECTORIES = (
    "/etc/sysconfig",
    "/usr/lib/sysusers.d",
    "/usr/lib/systemd/system",
    "/usr/lib/tmpfiles.d",
    "/usr/share/licenses",
)
"""Of other packages, which every system of Red Hat's has."""

_SPEC = """\
Name: {name}
Version: 1
Release: 1
Summary: for a test
License: MIT
BuildArch: noarch
{lines}
%description
For a test.
%files
"""

LEFT = (*USERS, "/etc/subuid", "/etc/subuid-", "/etc/subgid", "/etc/subgid-")
"""User and groups stay, on purpose."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(debian("rpm", "sasl2-bin"), binds={PLACE: packages()}) as machine:
        # The C client stays; the other names of Debian's package are to be ours.
        machine.shell(
            "cp /usr/sbin/testsaslauthd /usr/local/bin; apt-get -qq purge -y sasl2-bin; rm -rf /run/saslauthd"
        )
        machine.shell(f"mkdir -p {' '.join(DIRECTORIES)}")
        machine.write(CHKCONFIG, '#!/bin/sh\necho "$*" >>/tmp/chkconfig\n', 0o755)
        add_user(machine)
        build(machine, "red-hat", *(f"Provides: {name}" for name in needed(machine)))
        rpm(machine, "--install", "/tmp/red-hat.rpm")
        yield machine


def rpm(machine: Machine, *words: str | Path) -> str:
    return machine.run("rpm", *words).stdout


def build(machine: Machine, name: str, *lines: str) -> None:
    """A package of no files, as ``/tmp/NAME.rpm``."""
    machine.write(f"/tmp/{name}.spec", _SPEC.format(name=name, lines="\n".join(lines)))
    machine.shell(
        f"cd /tmp; rpmbuild -bb --quiet --define '_rpmdir /tmp/{name}' {name}.spec; mv {name}/noarch/* {name}.rpm"
    )


def needed(machine: Machine) -> set[str]:
    """What our packages need of the system, which this Debian has, though rpm does not know of it."""
    found = machine.shell(f"rpm -qp --requires {PLACE}/*.rpm").stdout.splitlines()
    own = ("rpmlib(", "config(", "pysaslauthd")
    return {line for line in found if not line.startswith(own)}


def package(name: str, place: str = "") -> str:
    (found,) = (packages() / place).glob(f"{name}-[0-9]*.rpm")
    return f"{PLACE}/{found.relative_to(packages())}"


def status(machine: Machine, service: str = "pysaslauthd") -> str:
    return machine.run("service", service, "status", check=False).stdout


def test_a_life(machine: Machine) -> None:
    before = Inventory(machine)
    rpm(machine, "--install", package("pysaslauthd", "lower"))
    assert "is not running" in status(machine)
    assert rpm(machine, "--verify", "pysaslauthd") == ""
    assert machine.read("/tmp/chkconfig") == "--add pysaslauthd\n"

    machine.run("service", "pysaslauthd", "start")
    assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
    written = machine.shell("find /usr/lib/pysaslauthd -newer /run/saslauthd/saslauthd.pid")
    assert written.stdout == "", "what runs writes nothing there"

    machine.shell(f"sed -i 's/^FLAGS=.*/FLAGS=-c/' {SYSCONFIG}")
    old = status(machine)
    assert LOWER in machine.shell("pysaslauthd -v 2>&1").stdout
    rpm(machine, "--upgrade", package("pysaslauthd"))
    new = status(machine)
    assert "is running" in old
    assert "is running" in new
    assert old != new, "restarted"
    assert LOWER not in machine.shell("pysaslauthd -v 2>&1").stdout
    assert "FLAGS=-c" in machine.read(SYSCONFIG)
    assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
    verified = machine.run("rpm", "--verify", "pysaslauthd", check=False).stdout
    assert [line.split()[-1] for line in verified.splitlines()] == [SYSCONFIG]

    rpm(machine, "--erase", "pysaslauthd")
    assert ask(machine) == "", "stopped"
    assert machine.read("/tmp/chkconfig") == "--add pysaslauthd\n--add pysaslauthd\n--del pysaslauthd\n"
    assert before.changes(*LEFT, f"{SYSCONFIG}.rpmsave") == []
    assert "FLAGS=-c" in machine.read(f"{SYSCONFIG}.rpmsave"), "what the administrator wrote is kept"


def test_what_depends_on_the_program_saslauthd_has_it_of_us(machine: Machine) -> None:
    before = Inventory(machine)
    build(machine, "sendmail", "Requires: /usr/sbin/saslauthd")
    install = ("rpm", "--install", "/tmp/sendmail.rpm", package("pysaslauthd"))
    refused = machine.run(*install, check=False)
    assert refused.returncode != 0
    assert "/usr/sbin/saslauthd is needed by sendmail" in refused.stderr
    machine.run(*install, package("pysaslauthd-saslauthd"))
    assert rpm(machine, "--verify", "pysaslauthd-saslauthd") == ""

    machine.run("service", "saslauthd", "start")
    assert "is running" in status(machine, "saslauthd")
    assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
    assert "pysaslauthd" in machine.shell("saslauthd -v 2>&1").stdout
    assert (
        machine.run("/usr/sbin/testsaslauthd", "-u", "x", "-p", "x", check=False).stdout
        == '0: NO "authentication failed"\n'
    )

    refused = machine.run("rpm", "--erase", "pysaslauthd-saslauthd", check=False)
    assert "/usr/sbin/saslauthd is needed by (installed) sendmail" in refused.stderr
    rpm(machine, "--erase", "sendmail", "pysaslauthd-saslauthd", "pysaslauthd")
    assert ask(machine) == "", "stopped"
    assert before.changes(*LEFT) == []

"""The Debian package: installed, used, upgraded, removed and purged, on a machine of its own."""

from collections.abc import Iterator

import pytest

from support.booted import BootedMachine
from support.built import INSTALL, LOWER, builder, packages
from support.leftovers import USERS, Inventory
from support.machine import Machine, debian
from support.machine_logins import NEEDED, WRONG, add_user, ask

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

PLACE = "/packages"
DEFAULT = "/etc/default/pysaslauthd"
LIBRARY = "/usr/lib/pysaslauthd"

ORDER = [f"/etc/init.d/.depend.{kind}" for kind in ("boot", "start", "stop")]
LEFT = (*USERS, *ORDER, "/run/adduser")
"""The user stays, on purpose; adduser has a file of its own, and so has insserv, where it is installed."""

STATUS = "service pysaslauthd status || true"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(debian("sasl2-bin"), binds={PLACE: packages()}) as machine:
        allow_services(machine)
        hurry(machine)
        add_user(machine)
        yield machine


def allow_services(machine: Machine) -> None:
    """What a machine with an init of its own need not say."""
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)


def hurry(machine: Machine) -> None:
    """Nothing has to outlast a power failure there, and nobody is there to say yes."""
    machine.write("/etc/dpkg/dpkg.cfg.d/hurry", "force-unsafe-io\n")
    machine.write("/etc/apt/apt.conf.d/hurry", 'APT::Get::Assume-Yes "yes"; quiet "2";\n')


def install(machine: Machine, name: str) -> None:
    machine.shell(f"apt-get -qq install -y --no-install-recommends {PLACE}/{name}_*.deb")


def test_lintian_has_nothing_to_say() -> None:
    with Machine(builder(), binds={PLACE: packages()}) as machine:
        done = machine.shell(f"lintian --allow-root --fail-on error,warning {PLACE}/*.changes", check=False)
        assert (done.returncode, done.stdout) == (0, "")


def test_a_life_without_systemd(machine: Machine) -> None:
    before = Inventory(machine)
    install(machine, "lower/pysaslauthd")
    assert "is not running" in machine.shell(STATUS).stdout, "two daemons cannot have one socket"
    assert machine.shell("dpkg -V pysaslauthd").stdout == ""

    machine.shell("service pysaslauthd start")
    assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
    written = machine.shell(f"find {LIBRARY} -newer /run/saslauthd/saslauthd.pid")
    assert written.stdout == "", "what runs writes nothing there"

    machine.shell(f"sed -i 's/^THREADS=.*/THREADS=2/' {DEFAULT}")
    old = machine.shell(STATUS).stdout
    assert LOWER in machine.shell("pysaslauthd -v 2>&1").stdout
    install(machine, "pysaslauthd")
    new = machine.shell(STATUS).stdout
    assert "is running" in old
    assert "is running" in new
    assert old != new, "restarted"
    assert LOWER not in machine.shell("pysaslauthd -v 2>&1").stdout
    assert "THREADS=2" in machine.read(DEFAULT)
    assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
    assert [line.split()[-1] for line in machine.shell("dpkg -V pysaslauthd").stdout.splitlines()] == [
        DEFAULT
    ]

    machine.shell("apt-get -qq remove -y pysaslauthd")
    assert ask(machine) == "", "stopped"
    assert machine.has(DEFAULT)
    machine.shell("apt-get -qq purge -y pysaslauthd")
    assert before.changes(*LEFT) == []


def test_a_life_with_systemd() -> None:
    with BootedMachine(debian(*NEEDED), binds={PLACE: packages()}) as machine:
        hurry(machine)
        add_user(machine)
        before = Inventory(machine)
        install(machine, "lower/pysaslauthd")
        active = "systemctl is-active pysaslauthd.service pysaslauthd.socket || true"
        assert machine.shell(active).stdout.split() == ["inactive", "inactive"]

        machine.shell("systemctl enable --now pysaslauthd")
        assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
        main_pid = "systemctl show --property MainPID pysaslauthd"
        old = machine.shell(main_pid).stdout
        install(machine, "pysaslauthd")
        assert machine.shell(main_pid).stdout not in {old, "MainPID=0\n"}
        assert machine.shell("systemctl is-enabled pysaslauthd").stdout.strip() == "enabled"
        assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
        assert "NeedDaemonReload=no" in machine.shell("systemctl show pysaslauthd").stdout

        machine.shell("apt-get -qq purge -y pysaslauthd")
        assert ask(machine) == ""
        assert before.changes(*LEFT, "/run/saslauthd") == [], "sasl2-bin has its socket there too"


def test_the_lines_of_the_readme(machine: Machine) -> None:
    machine.shell(f"mkdir dist; cp {PLACE}/*.deb dist")
    machine.shell("\n".join(INSTALL))
    assert ask(machine) == "OK"


def test_it_can_be_removed_whatever_its_file_says(machine: Machine) -> None:
    install(machine, "pysaslauthd")
    machine.shell(f"echo 'OPTIONS=-x' >>{DEFAULT}; dpkg --remove pysaslauthd")
    assert not machine.has("/usr/sbin/pysaslauthd")


def test_the_owner_and_mode_that_the_administrator_gave_the_directory_count(machine: Machine) -> None:
    machine.shell("groupadd mailers; rmdir /run/saslauthd; dpkg-statoverride --remove /var/run/saslauthd")
    machine.shell("dpkg-statoverride --add root mailers 0750 /run/saslauthd")
    machine.shell("mkdir /etc/tmpfiles.d")  # which systemd has
    install(machine, "pysaslauthd")
    machine.shell("service pysaslauthd start")
    assert machine.shell("stat -c '%U %G %a' /run/saslauthd").stdout.split() == ["root", "mailers", "750"]
    assert "d /run/saslauthd 750 root mailers" in machine.read("/etc/tmpfiles.d/pysaslauthd.conf")

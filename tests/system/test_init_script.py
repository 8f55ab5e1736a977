"""The init script, on a Debian of its own: what an administrator does with ``service``, and every exit status."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.installed import CHECKOUT, installed_layer
from support.machine import Machine
from support.machine_daemon import wait_gone
from support.machine_logins import LOGIN, MECHANISMS, NEEDED, PASSWORD, WRONG, add_user, ask, start_directory
from support.packages import need_program

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

SCRIPT = CHECKOUT / "initscripts/pysaslauthd"
PLACE = "/etc/init.d/pysaslauthd"
DEFAULT = "/etc/default/pysaslauthd"
SYSCONFIG = "/etc/sysconfig/pysaslauthd"
PID_FILE = "/run/saslauthd/saslauthd.pid"

SHELLS = (("bash", "--posix"), ("busybox", "sh"))
"""Besides dash, which all other tests run it with, as Debian does."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(installed_layer(*NEEDED)) as machine:
        choose(machine, "shadow")
        machine.run("rm", "-r", "/run/saslauthd")  # of the other package
        yield machine


def choose(machine: Machine, mechanism: str, options: str = "-m /run/saslauthd") -> None:
    """Have the file that is installed say another mechanism, and other options."""
    text = (CHECKOUT / "initscripts/pysaslauthd.default").read_text()
    text = text.replace('MECHANISMS="pam"', f'MECHANISMS="{mechanism}"')
    machine.write(DEFAULT, text.replace('OPTIONS="-c -m /run/saslauthd"', f'OPTIONS="{options}"'))


def service(machine: Machine, *words: str) -> "subprocess.CompletedProcess[str]":
    return machine.run("service", "pysaslauthd", *words, check=False)


def status(machine: Machine, *words: str) -> int:
    return service(machine, *words).returncode


def master(machine: Machine) -> str:
    return machine.read(PID_FILE).strip()


def kill(machine: Machine) -> None:
    """The master, and wait for its end."""
    pid = master(machine)
    machine.run("kill", "-KILL", pid)
    wait_gone(machine, pid)


class TestAnAdministrator:
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_starts_looks_reloads_restarts_and_stops(self, machine: Machine, mechanism: str) -> None:
        add_user(machine)
        if mechanism == "ldap":
            start_directory(machine)
        choose(machine, mechanism)
        done = service(machine, "start")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Starting SASL authentication daemon: pysaslauthd.\n"
        assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
        first = master(machine)
        assert status(machine, "reload") == status(machine, "force-reload") == 0
        assert (ask(machine), master(machine)) == ("OK", first)
        assert status(machine, "restart") == 0
        assert ask(machine) == "OK"
        assert first != master(machine)
        done = service(machine, "status")
        expected = f"pysaslauthd is running on /run/saslauthd, process {master(machine)}\n"
        assert (done.returncode, done.stdout) == (0, expected)
        assert (status(machine, "stop"), ask(machine), status(machine, "status")) == (0, "", 3)
        assert not machine.has(PID_FILE)

    def test_starts_it_with_other_shells(self, machine: Machine) -> None:
        add_user(machine)
        for shell in SHELLS:
            for action, expected in (("start", 0), ("status", 0), ("restart", 0), ("bogus", 3), ("stop", 0)):
                done = machine.run(*shell, PLACE, action, check=False)
                assert (shell, action, done.returncode, "rror" in done.stderr) == (
                    shell,
                    action,
                    expected,
                    False,
                )
                if action in {"start", "restart"}:
                    assert ask(machine) == "OK"

    def test_finds_the_words_of_red_hat_too(self, machine: Machine) -> None:
        add_user(machine)
        sysconfig = (CHECKOUT / "initscripts/pysaslauthd.sysconfig").read_text()
        machine.write(SYSCONFIG, sysconfig.replace("MECH=pam", "MECH=shadow").replace("/run/s", "/run/S"))
        machine.write(
            "/etc/rc.d/init.d/functions",
            "success() { printf '[  OK  ]'; }\nfailure() { printf '[FAILED]'; }\n",
        )
        machine.run("mkdir", "-p", "/var/lock/subsys")
        machine.shell("groupmod --new-name saslauth sasl")
        done = service(machine, "start")
        assert done.stdout == "Starting SASL authentication daemon: pysaslauthd[  OK  ]\n"
        assert ask(machine, mux="/run/Saslauthd/mux") == "OK"
        assert machine.has("/var/lock/subsys/pysaslauthd")
        assert machine.run("stat", "-c", "%U:%G %a", "/run/Saslauthd").stdout == "root:saslauth 710\n"
        assert service(machine, "reload", "nobody").returncode == 2
        assert status(machine, "stop") == 0
        assert not machine.has("/var/lock/subsys/pysaslauthd")
        assert service(machine, "reload").stdout.endswith("[FAILED]\n")

    def test_finds_the_run_path_as_he_wants_it(self, machine: Machine) -> None:
        assert status(machine, "start") == 0
        look = ("stat", "-c", "%U:%G %a", "/run/saslauthd")
        assert machine.run(*look).stdout == "root:sasl 710\n"
        # It stays as it is while it is there, and as dpkg was told when it is not.
        machine.run("chmod", "750", "/run/saslauthd")
        assert status(machine, "restart") == 0
        assert machine.run(*look).stdout == "root:sasl 750\n"
        assert status(machine, "stop") == 0
        machine.shell("dpkg-statoverride --remove /var/run/saslauthd || true; rm -r /run/saslauthd")
        machine.run("dpkg-statoverride", "--add", "daemon", "adm", "2711", "/run/saslauthd")
        # The daemon refuses one that another user could change; what counts here is that dpkg was heard.
        assert status(machine, "start") == 6
        assert machine.run(*look).stdout == "daemon:adm 2711\n"

    def test_starts_several(self, machine: Machine) -> None:
        add_user(machine)
        inside = "/var/spool/postfix/var/run/saslauthd"
        machine.run("mkdir", "-p", Path(inside).parent)
        machine.write(f"{DEFAULT}-postfix", f'DESC="For Postfix"\nMECHANISMS=pam\nOPTIONS="-m {inside}"\n')
        for name in (f"{DEFAULT}-old.dpkg-old", f"{DEFAULT}-postfix~"):
            machine.write(name, "MECHANISMS=nonsense\n")
        done = service(machine, "start")
        assert done.stdout.splitlines() == [
            "Starting SASL authentication daemon: pysaslauthd.",
            "Starting For Postfix: pysaslauthd-postfix.",
        ]
        assert (ask(machine), ask(machine, mux=f"{inside}/mux")) == ("OK", "OK")
        assert status(machine, "stop", "postfix") == 0
        assert (status(machine, "status"), status(machine, "status", "pysaslauthd-postfix")) == (3, 3)
        assert (status(machine, "status", "pysaslauthd"), ask(machine)) == (0, "OK")
        assert status(machine, "start-instance", "postfix") == 0
        assert status(machine, "status") == 0
        assert status(machine, "stop") == 0
        assert (ask(machine), ask(machine, mux=f"{inside}/mux")) == ("", "")

    def test_may_give_it_another_name(self, machine: Machine) -> None:
        add_user(machine)
        machine.run("cp", PLACE, "/etc/init.d/saslauthd")
        machine.shell("sed -i s/pam/shadow/ /etc/default/saslauthd; ln -s init.d/saslauthd /etc/S20saslauthd")
        assert machine.run("/etc/S20saslauthd", "start").returncode == 0
        assert ask(machine) == "OK"
        assert machine.run("service", "saslauthd", "stop").returncode == 0

    def test_who_does_not_want_it_started_says_so(self, machine: Machine) -> None:
        machine.shell(f"sed -i s/START=yes/START=no/ {DEFAULT}")
        done = service(machine, "start")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"pysaslauthd: not started: START is not yes in {DEFAULT}\n"
        assert status(machine, "status") == 3


class TestExitStatuses:
    def test_of_one_that_is_running(self, machine: Machine) -> None:
        assert status(machine, "start") == 0
        first = master(machine)
        done = service(machine, "start")
        assert (done.returncode, done.stderr) == (0, "pysaslauthd is running already\n")
        assert (status(machine, "try-restart"), first == master(machine)) == (0, False)
        assert (status(machine, "check"), status(machine, "condrestart")) == (0, 0)

    def test_of_two_starts_at_once(self, machine: Machine) -> None:
        start = "service pysaslauthd start"
        done = machine.shell(f"{start} & {start} & {start} || exit 9; wait $! || exit 8; wait")
        assert done.stdout.count("failed") == 0
        masters = machine.run("pgrep", "-c", "-P", "1", "pysasl-master").stdout
        assert (masters, status(machine, "status")) == ("1\n", 0)

    def test_of_one_that_is_not(self, machine: Machine) -> None:
        for action, expected in (("status", 3), ("stop", 0), ("try-restart", 0), ("condrestart", 0)):
            assert (action, status(machine, action)) == (action, expected)
        for action in ("reload", "force-reload"):
            done = service(machine, action)
            assert (action, done.returncode) == (action, 7)
            assert done.stderr == "pysaslauthd: not running on /run/saslauthd\n"
        assert status(machine, "status") == 3
        assert (status(machine, "restart"), status(machine, "status")) == (0, 0)

    def test_of_one_that_was_killed(self, machine: Machine) -> None:
        add_user(machine)
        machine.run("mkdir", "-p", "/var/lock/subsys")
        assert status(machine, "start") == 0
        kill(machine)
        assert status(machine, "status") == 1
        assert (status(machine, "start"), ask(machine)) == (0, "OK")
        kill(machine)
        machine.run("rm", PID_FILE)
        assert status(machine, "status") == 2
        assert (status(machine, "stop"), status(machine, "status")) == (0, 3)

    def test_with_a_pid_file_that_names_a_stranger(self, machine: Machine) -> None:
        add_user(machine)
        machine.shell(
            "mkdir /run/saslauthd; sleep 300 >/dev/null 2>&1 & echo $! >/run/saslauthd/saslauthd.pid"
        )
        stranger = master(machine)
        for action, expected in (("status", 1), ("reload", 7), ("stop", 0), ("status", 3)):
            assert (action, status(machine, action)) == (action, expected)
        machine.write(PID_FILE, f"{stranger}\n")
        assert (status(machine, "start"), ask(machine), master(machine) == stranger) == (0, "OK", False)
        assert status(machine, "stop") == 0
        assert machine.run("ps", "-o", "comm=", stranger).stdout == "sleep\n"

    def test_where_the_original_is_running(self, machine: Machine) -> None:
        add_user(machine)
        machine.run("mkdir", "/run/saslauthd")
        machine.run("saslauthd", "-a", "shadow", "-m", "/run/saslauthd")
        done = service(machine, "status")
        assert (done.returncode, "'saslauthd', is" in done.stdout) == (3, True)
        assert (status(machine, "start"), status(machine, "stop"), ask(machine)) == (1, 0, "OK")

    def test_with_a_broken_configuration(self, machine: Machine) -> None:
        machine.write("/etc/pysaslauthd.toml", "nonsense = 1\n")
        wrong = "/etc/pysaslauthd.toml:1: nonsense: no such setting"
        for action in ("start", "check", "restart"):
            done = service(machine, action)
            assert (action, done.returncode, wrong in done.stderr) == (action, 6, True)
        machine.write("/etc/pysaslauthd.toml", "")
        assert status(machine, "start") == 0
        first = master(machine)
        machine.write("/etc/pysaslauthd.toml", "nonsense = 1\n")
        # What is running is better than nothing.
        for action in ("reload", "restart", "try-restart", "force-reload"):
            done = service(machine, action)
            assert (action, done.returncode, wrong in done.stderr) == (action, 6, True)
        assert (status(machine, "status"), master(machine)) == (0, first)
        assert status(machine, "stop") == 0

    def test_where_nothing_says_how(self, machine: Machine) -> None:
        machine.run("rm", DEFAULT, "/etc/pysaslauthd.toml")
        done = service(machine, "start")
        assert (done.returncode, "not configured" in done.stderr) == (6, True)
        machine.write("/etc/pysaslauthd.toml", "")
        done = service(machine, "start")
        assert (done.returncode, "no authentication mechanism specified" in done.stderr) == (6, True)
        machine.write("/etc/pysaslauthd.toml", 'mechanism = "shadow"\n')
        assert status(machine, "start") == 0

    def test_on_a_full_disk(self, machine: Machine) -> None:
        machine.shell(
            "mkdir /run/saslauthd; mount -t tmpfs -o size=16k,mode=755 full /run/saslauthd; "
            "head -c 64k /dev/zero >/run/saslauthd/ballast || true"
        )
        done = service(machine, "start")
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
        assert status(machine, "status") == 3
        machine.run("rm", "/run/saslauthd/ballast")
        assert status(machine, "start") == 0

    def test_of_wrong_words(self, machine: Machine) -> None:
        for words, expected in (((), 2), (("stop", "a", "b"), 2), (("start", "nobody"), 2), (("bogus",), 3)):
            assert (words, status(machine, *words)) == (words, expected)

    def test_of_somebody_who_is_not_root(self, machine: Machine) -> None:
        add_user(machine)
        assert status(machine, "start") == 0
        for action, expected in (("start", 4), ("stop", 4), ("restart", 4), ("reload", 4), ("status", 4)):
            done = machine.run(PLACE, action, check=False, user=LOGIN)
            assert (action, done.returncode) == (action, expected)
        assert ask(machine, PASSWORD) == "OK"

    def test_where_it_is_not_installed(self, machine: Machine) -> None:
        machine.run("rm", "/usr/sbin/pysaslauthd")
        for action, expected in (("start", 5), ("stop", 5), ("status", 4)):
            assert (action, status(machine, action)) == (action, expected)


class TestRunLevels:
    def test_of_debian(self, machine: Machine) -> None:
        for level in "0123456S":
            machine.run("mkdir", "-p", f"/etc/rc{level}.d")
        links = "ls -d /etc/rc?.d/*pysaslauthd"
        machine.run("update-rc.d", "pysaslauthd", "remove")
        machine.run("update-rc.d", "pysaslauthd", "defaults")
        made = machine.shell(links).stdout.split()
        assert {(link[7], link[11]) for link in made} == {
            *((level, "K") for level in "016"),
            *((level, "S") for level in "2345"),
        }
        machine.run("update-rc.d", "pysaslauthd", "remove")
        assert machine.shell(links, check=False).stdout == ""

    def test_of_insserv(self, machine: Machine) -> None:
        text = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: {}\n# Required-Start: {}\n# Required-Stop: {}\n"
        text += "# Default-Start: {}\n# Default-Stop: {}\n### END INIT INFO\n"
        directory = "/srv/init.d"
        for name, start, levels in (
            ("mountall", "", "S"),
            ("rsyslog", "$remote_fs", "2 3 4 5"),
            ("postfix", "$remote_fs", "2 3 4 5"),
        ):
            stop = "0 6" if levels == "S" else "0 1 6"
            machine.write(f"{directory}/{name}", text.format(name, start, start, levels, stop), 0o755)
        machine.write(
            "/etc/insserv.conf",
            "$local_fs mountall\n$remote_fs $local_fs\n$syslog rsyslog\n$network +x\n$named +x\n",
        )
        machine.run("cp", PLACE, directory)
        for level in "0123456S":
            machine.run("mkdir", "-p", f"/srv/rc{level}.d")
        done = machine.run("insserv", "-v", "-p", directory, "mountall", "rsyslog", "pysaslauthd", "postfix")
        assert "warning" not in done.stderr
        links = machine.run("ls", "/srv/rc3.d").stdout.split()
        numbers = {link[3:]: int(link[1:3]) for link in links}
        assert numbers["rsyslog"] < numbers["pysaslauthd"] < numbers["postfix"]

    def test_of_chkconfig_have_its_grammar(self) -> None:
        text = SCRIPT.read_text()
        header = text.partition("\n### BEGIN INIT INFO\n")[0]
        assert re.findall(r"^# chkconfig: (?:-|[0-6]+) \d\d \d\d$", header, re.MULTILINE)
        description = re.search(r"^# description: (.*\\\n(?:#.*\\\n)*#.*|.*)$", header, re.MULTILINE)
        assert description
        assert description[1].replace("\\\n#", "").split()[-2:] == ["Cyrus", "saslauthd."]
        for keyword in ("processname", "config", "pidfile"):
            assert re.search(rf"^# {keyword}: \S+$", header, re.MULTILINE), keyword
        lsb = re.search(r"^### BEGIN INIT INFO\n((?:#.*\n)+)### END INIT INFO\n", text, re.MULTILINE)
        assert lsb
        names = re.findall(r"^# ([A-Z][\w-]+):", lsb[1], re.MULTILINE)
        required = {
            "Provides",
            "Required-Start",
            "Default-Start",
            "Default-Stop",
            "Short-Description",
            "Description",
        }
        assert required <= set(names)
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "script",
    [SCRIPT, CHECKOUT / "tests/run.sh", *sorted((CHECKOUT / "packaging").glob("*.sh"))],
    ids=lambda path: path.name,
)
def test_shellcheck_finds_nothing(script: Path) -> None:
    program = need_program("shellcheck", "shellcheck")
    done = subprocess.run([program, "-x", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")

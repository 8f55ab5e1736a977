"""The units, under a real systemd that was booted for them."""

import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support import processes
from support.booted import BootedMachine
from support.daemon import FRONT, MASTER, with_their_names
from support.installed import CHECKOUT, installed_layer
from support.load import Load
from support.machine_logins import LOGIN, MECHANISMS, NEEDED, PASSWORD, WRONG, add_user, ask, start_directory
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

UNIT = "pysaslauthd.service"
SOCKET = "pysaslauthd.socket"
OVERRIDES = "/etc/systemd/system"
DEFAULT = "/etc/default/pysaslauthd"
MUX = "run/saslauthd/mux"

RED_HATS_UNIT = """\
[Unit]
Description=SASL authentication daemon.

[Service]
Type=forking
PIDFile=/run/saslauthd/saslauthd.pid
EnvironmentFile=/etc/sysconfig/saslauthd
ExecStart=/usr/sbin/saslauthd -m $SOCKETDIR -a $MECH $FLAGS
RuntimeDirectory=saslauthd

[Install]
WantedBy=multi-user.target
"""

COUNTED = """\
auth required pam_faillock.so preauth deny=2
auth [success=1 default=ignore] pam_unix.so nodelay
auth [default=die] pam_faillock.so authfail deny=2
auth sufficient pam_faillock.so authsucc deny=2
account required pam_unix.so
"""
"""Two wrong passwords lock an account: a module that writes, and gives a file away."""

CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "KILL": 5}
CAPABILITIES |= {"SETGID": 6, "SETUID": 7, "SYS_NICE": 23, "AUDIT_WRITE": 29}
"""Those that the sandbox leaves to root, by their numbers."""


@pytest.fixture(scope="module")
def booted() -> Iterator[BootedMachine]:
    with BootedMachine(installed_layer(*NEEDED)) as machine:
        add_user(machine)
        start_directory(machine)
        yield machine


@pytest.fixture
def machine(booted: BootedMachine) -> Iterator[BootedMachine]:
    """As it was booted, whatever the test before did."""
    choose(booted, "shadow")
    yield booted
    booted.shell(
        "systemctl stop 'pysaslauthd*' saslauthd; systemctl reset-failed; "
        f"find {OVERRIDES} -name '*sasl*' -prune -exec rm -r {{}} +; "
        f"rm -rf {DEFAULT}-* /etc/default/saslauthd /etc/sysconfig /etc/pysaslauthd.toml /usr/sbin/pysaslauthd.real; "
        "systemctl daemon-reload; systemd-tmpfiles --create --remove pysaslauthd.conf",
        check=False,
    )


def choose(machine: BootedMachine, mechanism: str) -> None:
    text = (CHECKOUT / "initscripts/pysaslauthd.default").read_text()
    text = text.replace('MECHANISMS="pam"', f'MECHANISMS="{mechanism}"')
    machine.write(DEFAULT, text.replace('"-c -m ', '"-m '))


def override(machine: BootedMachine, name: str, text: str) -> None:
    machine.write(f"{OVERRIDES}/{UNIT}.d/{name}", text)
    machine.run("systemctl", "daemon-reload")


def without_root(machine: BootedMachine) -> None:
    """As the comment in that file says."""
    override(machine, "20-ldap-without-root.conf", (CHECKOUT / "systemd/ldap-without-root.conf").read_text())


def systemctl(machine: BootedMachine, *words: str) -> int:
    return machine.run("systemctl", *words, check=False).returncode


def shown(machine: BootedMachine, name: str, unit: str = UNIT) -> str:
    return machine.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()


def master(machine: BootedMachine, unit: str = UNIT) -> int:
    """The main process of the unit, by the machine's own number."""
    return int(shown(machine, "MainPID", unit))


def ours(machine: BootedMachine) -> dict[str, list[dict[str, str]]]:
    """``/proc/PID/status`` of the daemon's processes, with the host's numbers, by their names."""

    def look() -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for process in processes.descendants(int(machine.root.parent.name)):
            if process.name.startswith("pysasl-"):
                found.setdefault(process.name, []).append(processes.status(process.pid))
        return found

    return with_their_names(look)


def mask(*names: str) -> int:
    return sum(1 << CAPABILITIES[name] for name in names)


class TestTheUnits:
    def test_are_clean(self, machine: BootedMachine) -> None:
        units = (UNIT, SOCKET, "pysaslauthd@instance.service")
        for is_changed in (False, True):
            if is_changed:
                without_root(machine)
            done = machine.run("systemd-analyze", "verify", "--man=no", *units, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("unit", "change", "limit"),
        [
            (UNIT, lambda _: None, 3.2),
            ("pysaslauthd@instance.service", lambda _: None, 3.2),
            (UNIT, without_root, 1.5),
        ],
        ids=["service", "instance", "ldap without root"],
    )
    def test_are_exposed_no_more_than_they_have_to_be(
        self, machine: BootedMachine, unit: str, change: Callable[[BootedMachine], None], limit: float
    ) -> None:
        change(machine)
        text = machine.run("systemd-analyze", "security", "--no-pager", unit).stdout
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
        assert level
        assert float(level[1]) <= limit

    def test_say_the_same_of_an_instance(self) -> None:
        directory = CHECKOUT / "systemd"
        of_one = (directory / UNIT).read_text().partition("[Unit]")[2].splitlines()
        of_another = (directory / "pysaslauthd@.service").read_text().replace("-%i", "").replace(" (%i)", "")
        assert [line for line in of_another.partition("[Unit]")[2].splitlines() if line not in of_one] == []

    def test_of_red_hat_have_its_names(self, machine: BootedMachine) -> None:
        script = (CHECKOUT / "systemd/red-hat.sed").read_text()
        for file in (CHECKOUT / "systemd").rglob("*"):
            if not file.is_file() or file.suffix == ".sed":
                continue
            text = machine.run("sed", "-e", script, given=file.read_text()).stdout
            lines = [line for line in text.splitlines() if not line.startswith("#")]
            assert [line for line in lines if "/etc/default" in line or " sasl " in line] == []

    def test_bring_their_user_and_directory(self, machine: BootedMachine) -> None:
        machine.shell("userdel pysaslauthd; rm -r /run/saslauthd")
        machine.run("systemd-sysusers", "pysaslauthd.conf")
        machine.run("systemd-tmpfiles", "--create", "pysaslauthd.conf")
        assert machine.run("getent", "passwd", "pysaslauthd").stdout.endswith(
            ":/nonexistent:/usr/sbin/nologin\n"
        )
        look = machine.run("stat", "-c", "%U:%G %a", "/run/saslauthd").stdout
        assert look == "root:sasl 710\n"


class TestLogins:
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_are_answered_when_the_start_returns(self, machine: BootedMachine, mechanism: str) -> None:
        choose(machine, mechanism)
        assert systemctl(machine, "start", UNIT) == 0
        assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
        assert shown(machine, "StatusText").startswith(f"answering logins: {mechanism}")
        before = ours(machine)
        (front,) = before[FRONT]
        assert (int(front["CapPrm"], 16), front["NoNewPrivs"]) == (0, "1")
        assert {front["Uid"].split()[0], "0"} == {
            each["Uid"].split()[0] for each in (*before[FRONT], *before[MASTER])
        }
        (boss,) = before[MASTER]
        assert int(boss["CapBnd"], 16) == mask(*CAPABILITIES)
        # Where no module needs it, the master gives it up by itself.
        assert boss["NoNewPrivs"] == ("0" if mechanism == "pam" else "1")
        all_of_them = [each for group in before.values() for each in group]
        assert {each["Seccomp"] for each in all_of_them} == {"2"}
        mounts = mounted(machine)
        assert {mounts["/usr"], mounts["/etc"], mounts["/boot"]} == {"ro"}
        assert mounts["/tmp"] == "rw"
        assert systemctl(machine, "stop", UNIT) == 0
        assert (shown(machine, "Result"), ours(machine)) == ("success", {})

    def test_are_logged_once(self, machine: BootedMachine) -> None:
        assert systemctl(machine, "start", UNIT) == 0
        machine.run("journalctl", "--rotate", "--vacuum-time=1ms")
        assert ask(machine, WRONG) == "NO"

        def logged() -> list[str]:
            text = machine.run("journalctl", "-u", UNIT, "--no-pager", "-o", "short").stdout
            return [line for line in text.splitlines() if "auth failure: " in line]

        wait_until(logged, "the journal has it")
        # What comes after it is there, so no more of it is to come.
        assert systemctl(machine, "stop", UNIT) == 0
        machine.run("journalctl", "--sync")
        (line,) = logged()
        assert re.search(rf" saslauthd\[\d+\]: +: auth failure: \[user={LOGIN}\]", line)

    def test_of_pam_may_be_counted_and_locked(self, machine: BootedMachine) -> None:
        choose(machine, "pam")
        machine.write("/etc/pam.d/counted", COUNTED)
        assert systemctl(machine, "start", UNIT) == 0
        answers = [
            ask(machine, password, service="counted") for password in (PASSWORD, WRONG, WRONG, PASSWORD)
        ]
        assert answers == ["OK", "NO", "NO", "NO"]
        assert machine.run("stat", "-c", "%U", f"/run/faillock/{LOGIN}").stdout == f"{LOGIN}\n"
        machine.run("faillock", "--user", LOGIN, "--reset")
        assert ask(machine, service="counted") == "OK"

    def test_of_ldap_need_no_root(self, machine: BootedMachine) -> None:
        without_root(machine)
        assert systemctl(machine, "start", UNIT) == 0
        assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
        found = ours(machine)
        everyone = [each for group in found.values() for each in group]
        assert set(found) == {MASTER, FRONT, "pysasl-ldap"}
        user = machine.run("id", "-u", "pysaslauthd").stdout.strip()
        assert {each["Uid"] for each in everyone} == {"\t".join([user] * 4)}
        assert {int(each[name], 16) for each in everyone for name in ("CapPrm", "CapBnd", "CapAmb")} == {0}
        assert {(each["NoNewPrivs"], each["Seccomp"]) for each in everyone} == {("1", "2")}
        mounts = mounted(machine)
        assert mounts["/"] == "ro"
        assert mounts["/run/credentials/pysaslauthd.service"] == "ro"
        # A changed file counts after a restart.
        machine.shell("sed -i s/dc=example/dc=nowhere/ /etc/saslauthd.conf")
        assert systemctl(machine, "reload", UNIT) == systemctl(machine, "restart", UNIT) == 0
        assert ask(machine) != "OK"
        machine.shell("sed -i s/dc=nowhere/dc=example/ /etc/saslauthd.conf")

    def test_none_is_lost_by_reloads_and_restarts(self, machine: BootedMachine) -> None:
        assert systemctl(machine, "start", SOCKET, UNIT) == 0
        seen = set()
        with Load(machine.root / MUX, 4) as load:
            for action in ("reload", "restart") * 3:
                start = load.answered
                seen.add(master(machine))
                assert systemctl(machine, action, UNIT) == 0
                wait_until(partial(_has_gone_on, load, start), "logins go on")
        assert len(seen) == 3
        assert set(load.heard) == {(b"secret-Pass_1", "OK"), (b"wrong-Pass_2", "NO")}


class TestTheSocket:
    def test_starts_the_daemon_for_the_first_who_comes(self, machine: BootedMachine) -> None:
        assert systemctl(machine, "start", SOCKET) == 0
        assert shown(machine, "ActiveState") == "inactive"
        for _ in range(2):
            assert ask(machine) == "OK"
            # The login may be answered before systemd has heard that logins are.
            wait_until(lambda: shown(machine, "ActiveState") == "active", "systemd knows it")
            assert systemctl(machine, "stop", UNIT) == 0

    def test_is_closed_when_the_daemon_cannot_start(self, machine: BootedMachine) -> None:
        machine.write("/etc/pysaslauthd.toml", "nonsense = 1\n")
        assert systemctl(machine, "start", SOCKET) == 0
        # Who asks is not left waiting for ever.
        assert ask(machine) == ""
        wait_until(lambda: shown(machine, "ActiveState", SOCKET) == "failed", "the socket is closed")
        assert not (machine.root / MUX).exists()
        machine.write("/etc/pysaslauthd.toml", "")
        machine.run("systemctl", "reset-failed", UNIT, SOCKET)
        assert systemctl(machine, "start", SOCKET) == 0
        assert ask(machine) == "OK"

    def test_is_not_needed(self, machine: BootedMachine) -> None:
        machine.write(DEFAULT, "MECHANISMS=shadow\nOPTIONS='-m /run/elsewhere'\n")
        assert systemctl(machine, "start", UNIT) == 0
        assert (ask(machine, mux="/run/elsewhere/mux"), ask(machine)) == ("OK", "")


class TestTrouble:
    def test_a_front_that_hangs_is_ended_by_the_watchdog(self, machine: BootedMachine) -> None:
        override(machine, "watchdog.conf", "[Service]\nWatchdogSec=3\n")
        assert systemctl(machine, "start", SOCKET, UNIT) == 0
        before = master(machine)
        (front,) = ours(machine)[FRONT]
        stopped = processes.read_process(int(front["Pid"]))
        assert stopped is not None
        stopped.send(signal.SIGSTOP)
        wait_until(lambda: shown(machine, "NRestarts") != "0", "it has been restarted")
        assert ask(machine) == "OK"
        wait_until(lambda: master(machine) not in {0, before}, "there is another master")
        log = machine.run("journalctl", "-u", UNIT, "--no-pager", "-o", "cat", "-n", "50").stdout
        assert "Watchdog timeout" in log

    def test_a_killed_master_is_replaced(self, machine: BootedMachine) -> None:
        assert systemctl(machine, "start", SOCKET, UNIT) == 0
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
        wait_until(lambda: shown(machine, "NRestarts") == "1", "it has been restarted")
        assert ask(machine) == "OK"

    def test_a_broken_file_is_no_reload_and_told_at_once(self, machine: BootedMachine) -> None:
        assert systemctl(machine, "start", UNIT) == 0
        before = master(machine)
        machine.write("/etc/pysaslauthd.toml", "nonsense = 1\n")
        assert systemctl(machine, "reload", UNIT) == 1
        assert (master(machine), ask(machine), shown(machine, "ActiveState")) == (before, "OK", "active")
        assert systemctl(machine, "restart", UNIT) == 1
        assert shown(machine, "Result") in {"exit-code", "start-limit-hit"}


class TestMetrics:
    @pytest.mark.parametrize("is_strict", [False, True])
    def test_are_written_within_the_sandbox(self, machine: BootedMachine, *, is_strict: bool) -> None:
        directory = "/var/lib/metrics-of-logins"
        file = f"{directory}/saslauthd.prom"
        machine.run("install", "-d", "-o", "pysaslauthd", directory)
        machine.write("/etc/pysaslauthd.toml", f'metrics_file = "{file}"\n')
        if is_strict:
            without_root(machine)
            override(machine, "30-metrics.conf", f"[Service]\nReadWritePaths={directory}\n")
        assert systemctl(machine, "start", UNIT) == 0
        wait_until(partial(machine.has, file), "it is written")
        assert "\npysaslauthd_front_restarts_total 0\n" in machine.read(file)
        run_path = "/run/pysaslauthd" if is_strict else "/run/saslauthd"
        assert machine.run("pysaslauthctl", "-m", run_path, "stats", "--prometheus").stdout.startswith(
            "# HELP "
        )
        assert systemctl(machine, "stop", UNIT) == 0
        assert not machine.has(file)


class TestOthers:
    def test_the_init_script_hands_over(self, machine: BootedMachine) -> None:
        script = "/etc/init.d/pysaslauthd"
        assert machine.run(script, "start").returncode == 0
        before = master(machine)
        assert before > 0
        assert (machine.run(script, "status").returncode, machine.run(script, "check").returncode) == (0, 0)
        assert machine.run(script, "restart").returncode == 0
        assert master(machine) not in {0, before}
        assert machine.run(script, "stop").returncode == 0
        assert (master(machine), ours(machine)) == (0, {})

    def test_instances_have_files_and_places_of_their_own(self, machine: BootedMachine) -> None:
        machine.run("mkdir", "-p", "/var/spool/postfix/var/run")
        there = "/var/spool/postfix/var/run/saslauthd"
        machine.write(f"{DEFAULT}-postfix", f"MECHANISMS=pam\nOPTIONS='-m {there}'\n")
        instance = "pysaslauthd@postfix.service"
        assert systemctl(machine, "start", UNIT, instance) == 0
        assert (ask(machine), ask(machine, mux=f"{there}/mux")) == ("OK", "OK")
        assert systemctl(machine, "stop", UNIT) == 0
        assert (ask(machine), ask(machine, mux=f"{there}/mux")) == ("", "OK")
        assert systemctl(machine, "reload", instance) == systemctl(machine, "restart", instance) == 0
        assert ask(machine, mux=f"{there}/mux") == "OK"

    def test_the_original_and_ours_end_each_other(self, machine: BootedMachine) -> None:
        machine.write("/etc/default/saslauthd", "START=yes\nMECHANISMS=shadow\nOPTIONS='-m /run/saslauthd'\n")
        # Without an order they would start and end at the same time.
        assert "saslauthd.service" in shown(machine, "After").split()
        for unit, other in (("saslauthd", UNIT), (UNIT, "saslauthd"), ("saslauthd", UNIT)):
            assert systemctl(machine, "start", unit) == 0
            assert shown(machine, "ActiveState", other) == "inactive"
            assert ask(machine) == "OK"

    def test_who_wants_the_original_finds_ours_if_it_has_that_name(self, machine: BootedMachine) -> None:
        client = "[Unit]\nWants=saslauthd.service\nAfter=saslauthd.service\n[Service]\nType=oneshot\nExecStart=true\n"
        machine.write(f"{OVERRIDES}/client-of-sasl.service", client)
        machine.shell(
            f"ln -s /lib/systemd/system/{UNIT} {OVERRIDES}/saslauthd.service; systemctl daemon-reload"
        )
        assert systemctl(machine, "start", "client-of-sasl") == 0
        assert (shown(machine, "ActiveState"), ask(machine), MASTER in ours(machine)) == (
            "active",
            "OK",
            True,
        )

    def test_red_hats_own_unit_runs_ours_unchanged(self, machine: BootedMachine) -> None:
        machine.write("/etc/sysconfig/saslauthd", "SOCKETDIR=/run/saslauthd\nMECH=shadow\nFLAGS=\n")
        machine.write(f"{OVERRIDES}/saslauthd.service", RED_HATS_UNIT)
        machine.shell(
            "mv /usr/sbin/saslauthd /usr/sbin/saslauthd.original; cp /usr/sbin/pysaslauthd /usr/sbin/saslauthd"
        )
        try:
            machine.run("systemctl", "daemon-reload")
            assert systemctl(machine, "start", "saslauthd") == 0
            assert (ask(machine), ask(machine, WRONG)) == ("OK", "NO")
            pid = machine.read("/run/saslauthd/saslauthd.pid").strip()
            assert shown(machine, "MainPID", "saslauthd") == pid
            assert systemctl(machine, "restart", "saslauthd") == 0
            assert (ask(machine), MASTER in ours(machine)) == ("OK", True)
            assert systemctl(machine, "stop", "saslauthd") == 0
            assert (ask(machine), ours(machine), shown(machine, "Result", "saslauthd")) == ("", {}, "success")
        finally:
            machine.run("mv", "/usr/sbin/saslauthd.original", "/usr/sbin/saslauthd")


def _has_gone_on(load: Load, start: int) -> bool:
    return load.answered > start + 20


def mounted(machine: BootedMachine) -> dict[str, str]:
    """How the daemon finds what is mounted: ``ro`` or ``rw`` by the directory."""
    (boss,) = ours(machine)[MASTER]
    rows = [line.split() for line in Path(f"/proc/{boss['Pid']}/mountinfo").read_text().splitlines()]
    return {row[4]: row[5].split(",")[0] for row in rows}

"""What ``/proc`` shows of each process, which is what root can take from nobody's word."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pysaslauthd
from support import processes
from support.daemon import COMMAND, FRONT, WORKER, Daemon
from support.packages import need_root
from support.waiting import wait_until

DAC_READ_SEARCH = 1 << 2
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon("-n", "3") as running:
        yield running


def pids(daemon: Daemon) -> list[int]:
    return [daemon.pid, *(child.pid for child in daemon.children())]


def capabilities(pid: int) -> set[int]:
    status = processes.status(pid)
    return {int(status[name], 16) for name in CAPABILITY_SETS}


def identities(pid: int, line: str) -> set[int]:
    return set(map(int, processes.status(pid)[line].split()))


def test_there_are_a_master_a_front_and_n_workers(daemon: Daemon) -> None:
    assert len(daemon.children(FRONT)) == 1
    assert len(daemon.children(WORKER)) == 3
    assert len(daemon.children()) == 4


def test_no_process_can_gain_privileges_dump_core_or_be_read_by_its_own_user(daemon: Daemon) -> None:
    for pid in pids(daemon):
        assert processes.status(pid)["NoNewPrivs"] == "1"
        limits = Path(f"/proc/{pid}/limits").read_text()
        (core,) = [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core == ["0", "0"]
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0


def test_each_has_one_thread(daemon: Daemon) -> None:
    for pid in pids(daemon):
        assert processes.status(pid)["Threads"] == "1"


def test_no_worker_holds_more_than_its_own_descriptors(daemon: Daemon) -> None:
    """Input, output, error, and the channel to the front."""
    tables = daemon.statistics()
    assert [table["descriptors"] for table in tables if table["process"] == "shadow"] == ["4"] * 3


def test_no_process_holds_a_socket_of_another(daemon: Daemon) -> None:
    need_root()
    held: list[str] = []
    for child in daemon.children(WORKER):
        links = [str(entry.readlink()) for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
        held += [link for link in links if link.startswith("socket:")]
    assert len(held) == len(set(held)) == 3


def test_started_by_a_user_nothing_changes_but_capabilities_go() -> None:
    daemon = Daemon("-n", "2", command=(sys.executable, "-c", RUN_AS_USER))
    if os.geteuid() == 0:
        for path in (daemon.directory, daemon.shadow_file):
            os.chown(path, NOBODY, NOBODY)
    with daemon:
        user = NOBODY if os.geteuid() == 0 else os.getuid()
        assert daemon.ask() == "OK"
        for pid in pids(daemon):
            assert identities(pid, "Uid") == {user}
            assert capabilities(pid) == {0}
            assert Path(f"/proc/{pid}/environ").stat().st_uid == 0
        daemon.shadow_file.chmod(0)
        assert daemon.ask() == "-"
        daemon.children(WORKER)[0].send(signal.SIGKILL)
        wait_until(lambda: len(daemon.children(WORKER)) == 2, "it is replaced")


NOBODY = 65534

# All is imported first, as the code may be where only root can read it.
RUN_AS_USER = (
    "import os, sys; from pysaslauthd.commands.daemon import main; import pysaslauthd.mechanisms.proxy, pysaslauthd.mechanisms.shadow; "
    f"os.geteuid() or (os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})); sys.exit(main())"
)


class TestStartedByRoot:
    @pytest.fixture(autouse=True)
    def _root(self) -> None:
        need_root()

    def test_only_the_master_stays_root(self, daemon: Daemon) -> None:
        assert identities(daemon.pid, "Uid") == {0}
        user = expected_user()
        for child in daemon.children():
            assert identities(child.pid, "Uid") == {user.pw_uid}
            assert identities(child.pid, "Gid") == {user.pw_gid}

    def test_the_front_keeps_nothing(self, daemon: Daemon) -> None:
        front = daemon.front().pid
        assert capabilities(front) == {0}
        assert processes.status(front)["Groups"] == ""

    def test_a_worker_keeps_the_right_to_read_where_no_group_gives_it(self, daemon: Daemon) -> None:
        for worker in daemon.children(WORKER):
            status = processes.status(worker.pid)
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == DAC_READ_SEARCH
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
            assert status["Groups"] == ""

    def test_a_worker_keeps_a_group_where_that_is_enough(self) -> None:
        with Daemon("-n", "1") as daemon:
            daemon.directory.chmod(0o755)
            os.chown(daemon.shadow_file, 0, 4321)
            daemon.shadow_file.chmod(0o640)
            (first,) = daemon.children(WORKER)
            first.send(signal.SIGKILL)
            wait_until(lambda: not first.is_alive and daemon.ask() == "OK", "a new worker")
            (worker,) = daemon.children(WORKER)
            assert processes.status(worker.pid)["Groups"] == "4321"
            assert capabilities(worker.pid) == {0}

    def test_the_systems_accounts_need_the_group_of_the_shadow_file_only(self) -> None:
        group = Path("/etc/shadow").stat().st_gid
        with Daemon("-n", "1", settings={"shadow_file": "/etc/shadow"}) as daemon:
            (worker,) = daemon.children(WORKER)
            assert processes.status(worker.pid)["Groups"].split() == [str(group)]
            assert capabilities(worker.pid) == {0}

    def test_the_user_can_be_named(self) -> None:
        with Daemon("-u", "daemon", "-n", "1") as daemon:
            user = pwd.getpwnam("daemon")
            assert identities(daemon.front().pid, "Uid") == {user.pw_uid}
            assert "unprivileged parts run as" not in daemon.log

    def test_a_user_that_does_not_exist_is_nobody_and_the_log_says_so(self) -> None:
        with Daemon("-u", "no-such-user-here", "-n", "1") as daemon:
            assert identities(daemon.front().pid, "Uid") == {pwd.getpwnam("nobody").pw_uid}
            assert "no user no-such-user-here here: the unprivileged parts run as nobody" in daemon.log

    def test_root_is_no_user_for_the_unprivileged_parts(self) -> None:
        daemon = Daemon("-u", "root")
        with pytest.raises(AssertionError, match="user root is root"):
            daemon.start()
        shutil.rmtree(daemon.directory)

    def test_code_that_only_root_can_reach_and_that_was_moved_away_is_no_obstacle(self) -> None:
        """Children run what the master imported; they read no code from disk."""
        daemon = Daemon("-n", "2", command=(sys.executable, "-c", RUN_FROM_COPY))
        checkout = daemon.directory / "checkout"
        shutil.copytree(Path(pysaslauthd.__file__).parent, checkout / "pysaslauthd")
        checkout.chmod(0o700)
        daemon.arguments[3:3] = [str(checkout)]
        with daemon:
            assert daemon.ask() == "OK"
            checkout.rename(daemon.directory / "moved")
            for name in (WORKER, FRONT):
                for victim in daemon.children(name):
                    victim.send(signal.SIGKILL)
                wait_until(lambda: answers(daemon), f"a new {name} answers")
            assert daemon.ask(password=b"wrong") == "NO"


RUN_FROM_COPY = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from pysaslauthd.commands.daemon import main; import pysaslauthd; "
    "assert 'checkout' in pysaslauthd.__file__; sys.exit(main())"
)


def answers(daemon: Daemon) -> bool:
    try:
        return daemon.ask() == "OK"
    except OSError:
        return False


def expected_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("pysaslauthd")
    except KeyError:
        return pwd.getpwnam("nobody")


def test_missing_standard_descriptors_are_no_obstacle() -> None:
    with Daemon("-n", "1") as daemon:
        daemon.stop()
        command = " ".join(f"'{word}'" for word in [*daemon.arguments, "-d"])
        with subprocess.Popen(["sh", "-c", f"exec {command} <&- >&- 2>&-"]) as process:
            try:
                wait_until(lambda: answers(daemon), "the daemon answers")
                for child in processes.descendants(process.pid):
                    assert processes.status(child.pid)["Threads"] == "1"
            finally:
                process.terminate()
        assert process.returncode == 0


def test_the_command_is_the_installed_one() -> None:
    result = subprocess.run([*COMMAND, "-v"], capture_output=True, text=True, check=True)
    assert result.stdout == ""
    assert result.stderr.startswith("pysaslauthd ")

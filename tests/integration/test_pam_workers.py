"""PAM workers as processes: their rights, how long they live, and how many there are."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from support import processes
from support.accounts import Account
from support.daemon import PATIENT_OPTIONS
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import PLAIN_ID, PLAIN_USER, RUN_AS_USER, WORKER, PamDaemon, ours
from support.pam_files import PamFiles
from support.pam_modules import compiled
from support.people import SECRET
from support.shadow import hashed
from support.waiting import wait_until


@pytest.fixture
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        yield made


def module_stack(files: PamFiles, name: str, arguments: str) -> str:
    module = compiled(name, files.directory)
    return f"auth required {module} {arguments}\naccount required pam_permit.so\n"


class TestRights:
    @pytest.fixture(autouse=True)
    def _root(self) -> None:
        need_root()

    def test_of_root_stay_with_master_and_workers_alone(self, files: PamFiles) -> None:
        own = processes.status(os.getpid())["CapEff"]
        with ours(files, "-n", "3") as daemon:
            daemon.settled(3)
            for pid in (daemon.pid, *daemon.workers()):
                status = processes.status(pid)
                assert status["Uid"].split() == ["0"] * 4
                assert status["CapEff"] == own
                assert status["NoNewPrivs"] == "0"
            front = processes.status(daemon.front().pid)
            assert "0" not in front["Uid"].split()
            assert "0" not in front["Gid"].split()
            assert front["Groups"] == ""
            assert {int(front[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
            assert front["NoNewPrivs"] == "1"

    def test_leave_no_core_and_no_terminal(self, files: PamFiles) -> None:
        with ours(files, "-n", "1") as daemon:
            for pid in (daemon.pid, *(child.pid for child in daemon.children())):
                limits = Path(f"/proc/{pid}/limits").read_text()
                (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
                assert core.split()[4:6] == ["0", "0"]
                assert str(Path(f"/proc/{pid}/fd/0").readlink()) == os.devnull


def test_each_worker_and_the_front_lead_a_session_of_their_own(files: PamFiles) -> None:
    with ours(files, "-n", "3") as daemon:
        daemon.settled(3)
        for pid in (daemon.front().pid, *daemon.workers()):
            assert os.getsid(pid) == os.getpgid(pid) == pid


def test_the_front_goes_before_the_workers(files: PamFiles) -> None:
    need_root()
    with ours(files, "-n", "1") as daemon:
        daemon.settled(1)
        (worker,) = daemon.workers()
        assert daemon.permits() == "OK"  # as somebody who has logged in before, at the start
        niceness = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (daemon.front().pid, worker)]
        assert niceness[0] < niceness[1] == os.getpriority(os.PRIO_PROCESS, daemon.pid)


def test_a_login_that_nothing_speaks_for_yields_the_processor(files: PamFiles) -> None:
    need_root()
    output = files.file("niceness")
    script = files.script("note", f"nice >>{output}")
    files.service("nice", f"auth required pam_exec.so {script}\naccount required pam_permit.so\n")
    with ours(files, "-n", "1", "-o", "stranger_niceness=7") as daemon:
        for login in (b"new", b"new", b"other", b"new"):
            assert daemon.ask(login, b"x", b"nice") == "OK"
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert [int(line) - own for line in output.read_text().split()] == [7, 0, 7, 0]


class TestStartedByAUser:
    """Unix passwords by the set-user-id helper, which tells a user of his own alone."""

    def test_checks_that_user_alone_and_says_so(self) -> None:
        need_root()
        need_namespaces()
        stored = hashed(SECRET).encode()
        user = PLAIN_USER.encode()
        accounts = [Account(user, SECRET, stored, in_passwd=False), Account(b"alice", SECRET, stored)]
        with PamFiles(accounts) as files:
            # As the system's own, for a helper that is of the file's group.
            shadow, system = files.directory / "shadow", Path("/etc/shadow").stat()
            os.chown(shadow, 0, system.st_gid)
            shadow.chmod(system.st_mode & 0o777)
            daemon = ours(files, "-n", "1", command=RUN_AS_USER)
            os.chown(daemon.directory, PLAIN_ID, PLAIN_ID)
            with daemon:
                for child in (daemon.pid, *daemon.workers()):
                    assert set(processes.status(child)["Uid"].split()) == {str(PLAIN_ID)}
                assert "not started by root: pam_unix can check the password of this user alone" in daemon.log
                assert daemon.ask(user, SECRET, b"unix") == "OK"
                assert daemon.ask(user, b"wrong", b"unix") == "NO"
                assert daemon.ask(b"alice", SECRET, b"unix") != "OK"


class TestShare:
    @pytest.fixture
    def pids(self, files: PamFiles) -> Path:
        output = files.file("pids")
        files.service("pid", module_stack(files, "surroundings", str(output)))
        return output

    def served(self, pids: Path) -> list[str]:
        return [line.split()[0] for line in pids.read_text().splitlines()]

    def test_of_n_0_is_one_login(self, files: PamFiles, pids: Path) -> None:
        with ours(files, "-n", "0") as daemon:
            before = daemon.settled(5)
            assert [daemon.ask(b"a", b"b", b"pid") for _ in range(40)] == ["OK"] * 40
            assert daemon.settled(5) == before
        assert len(set(self.served(pids))) == 40

    def test_is_two_hundred_logins(self, files: PamFiles, pids: Path) -> None:
        with ours(files, "-n", "1") as daemon:
            before = daemon.settled(1)
            assert [daemon.ask(b"a", b"b", b"pid") for _ in range(420)] == ["OK"] * 420
            assert daemon.settled(1) == before
        served = self.served(pids)
        counts = [served.count(pid) for pid in dict.fromkeys(served)]
        assert max(counts) <= 200
        # A successor may come before it has to, but not much.
        assert len(counts) == 3

    def test_ends_with_growth_of_memory(self, files: PamFiles) -> None:
        files.service("leak", module_stack(files, "hostile", f"leak {files.file('none')}"))
        growth, leak, slack = 30 << 10, 10 << 10, 8 << 10
        with ours(files, "-n", "1", "-o", "worker_growth=30MiB") as daemon:
            before = daemon.settled(1)
            least = min(map(resident, daemon.workers()))
            largest = 0
            for _ in range(20):
                assert daemon.ask(b"a", b"b", b"leak") == "OK"
                largest = max([largest, *map(resident, daemon.workers())])
            assert daemon.settled(1) == before
            assert daemon.log.count("has grown to") in {5, 6}
        assert largest < least + growth + leak + slack


def resident(pid: int) -> int:
    """KiB; nothing for a process that has just gone."""
    try:
        return int(processes.status(pid).get("VmRSS", "0").split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


class TestElastic:
    @pytest.fixture
    def gate(self, files: PamFiles) -> Path:
        """A file for which the logins of the service ``slow`` wait; it is not there yet.

        Each of them first writes a line to the file ``begun``.
        """
        gate, begun = files.directory / "gate", files.file("begun")
        first = f"auth required {compiled('surroundings', files.directory)} {begun}\n"
        files.service("slow", first + module_stack(files, "hostile", f"wait-for-file {gate}"))
        return gate

    def test_others_are_answered_while_all_workers_wait(self, files: PamFiles, gate: Path) -> None:
        with ours(files, "-n", "2", *PATIENT_OPTIONS) as daemon, ThreadPoolExecutor(10) as clients:
            before = daemon.settled(2)
            slow = [clients.submit(daemon.ask, b"u%d" % n, b"b", b"slow") for n in range(10)]
            try:
                assert [daemon.permits() for _ in range(20)] == ["OK"] * 20
                assert not any(login.done() for login in slow)
                wait_until(lambda: len(daemon.workers()) >= 10, "each has a worker")
            finally:
                gate.touch()
            assert [login.result() for login in slow] == ["OK"] * 10
            wait_until(lambda: len(daemon.workers()) == 2, "the others go again")
            assert daemon.settled(2) == before

    def test_there_are_never_more_than_allowed(self, files: PamFiles, gate: Path) -> None:
        most = 4
        with (
            ours(files, "-n", "2", "-o", f"most_workers={most}", *PATIENT_OPTIONS) as daemon,
            ThreadPoolExecutor(10) as clients,
        ):
            slow = [clients.submit(daemon.ask, b"u%d" % n, b"b", b"slow") for n in range(10)]
            try:
                counts = watch(daemon, until=most)
            finally:
                gate.touch()
            while wait(slow, timeout=0).not_done:
                counts.append(len(daemon.workers()))
            assert [login.result() for login in slow] == ["OK"] * 10
        assert max(counts) == most

    def test_one_is_all_there_is_where_one_is_allowed(self, files: PamFiles, gate: Path) -> None:
        with (
            ours(files, "-n", "1", "-o", "most_workers=1", "-o", "queue_timeout=300ms") as daemon,
            ThreadPoolExecutor(1) as clients,
        ):
            slow = clients.submit(daemon.ask, b"a", b"b", b"slow")
            try:
                wait_until((files.directory / "begun").read_text, "the only worker has it")
                assert daemon.permits() == "-"
                assert [worker.name for worker in daemon.children(WORKER)] == [WORKER]
            finally:
                gate.touch()
            assert slow.result() == "OK"
            assert daemon.permits() == "OK"


def watch(daemon: PamDaemon, until: int) -> list[int]:
    """How many workers there were, seen again and again until that many, and a good while longer."""
    counts: list[int] = []

    def seen() -> bool:
        counts.append(len(daemon.workers()))
        return counts.count(until) >= 40

    wait_until(seen, f"{until} workers for a while")
    return counts

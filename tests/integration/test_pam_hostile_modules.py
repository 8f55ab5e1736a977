"""Modules that do what no module should: it costs their own login, and nobody else anything.

Nothing here needs root, but where root starts the daemon they have all that it has.
"""

import signal
from collections.abc import Iterator

import pytest

from support import processes
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import PamDaemon, ours
from support.pam_files import PamFiles
from support.pam_modules import compiled
from support.waiting import wait_until

LOGIN, PASSWORD = b"alice", b"secret"

WORKERS = 2

DEADLINE = ("-o", "login_timeout=1s")
"""For a test whose module never answers; others have the usual one, as theirs may be slow."""


class Hostile:
    """A daemon with a service of the name of each misdeed, and what the modules started."""

    def __init__(self, files: PamFiles, *options: str) -> None:
        self._files = files
        self._module = compiled("hostile", files.directory)
        self._pids = files.file("pids")
        # A module that changed its user has to be able to say what it left.
        self._pids.chmod(0o666)
        self.daemon: PamDaemon = ours(files, *options)

    def login(self, what: str) -> str:
        stack = f"auth required {self._module} {what} {self._pids}\naccount required pam_permit.so\n"
        self._files.service(what, stack)
        return self.daemon.ask(LOGIN, PASSWORD, what.encode())

    @property
    def started(self) -> list[int]:
        return list(map(int, self._pids.read_text().split()))

    def settled(self, workers: int = WORKERS) -> dict[str, str]:
        """See :meth:`PamDaemon.settled`. What a module forked is called as its worker is, and must be gone first."""
        self.wait_alone()
        return self.daemon.settled(workers)

    def wait_alone(self) -> None:
        """Until nothing is left of what the modules started, which does not end by itself."""
        wait_until(lambda: not any(map(processes.is_alive, self.started)), "what modules started has ended")


@pytest.fixture
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        yield made


@pytest.fixture
def hostile(files: PamFiles) -> Iterator[Hostile]:
    made = Hostile(files, "-n", str(WORKERS))
    with made.daemon:
        yield made
    made.wait_alone()


@pytest.fixture
def hanging(files: PamFiles) -> Iterator[Hostile]:
    made = Hostile(files, "-n", str(WORKERS), *DEADLINE)
    with made.daemon:
        yield made
    made.wait_alone()


def all_log_in(daemon: PamDaemon) -> None:
    """As often as each worker has its turn."""
    assert [daemon.permits() for _ in range(2 * WORKERS)] == ["OK"] * 2 * WORKERS


@pytest.mark.parametrize(
    ("what", "sign"),
    [
        ("crash", "was killed by SIGSEGV"),
        ("abort", "was killed by SIGABRT"),
        ("exit", "exited with status 0"),
        ("exit-1", "exited with status 1"),
        ("exit-3", ""),
        ("raise-user", "was killed by SIGUSR1"),
        ("close-channel", "exited with status 70"),
        ("close-all", "exited with status 70"),
        ("leave-child-and-crash", "was killed by SIGABRT"),
    ],
)
def test_that_ends_its_worker_has_no_answer_and_the_worker_is_replaced(
    hostile: Hostile, what: str, sign: str
) -> None:
    costs_its_worker(hostile, what)
    all_log_in(hostile.daemon)
    assert sign in hostile.daemon.log


@pytest.mark.parametrize("what", ["hang", "stop", "leave-child-and-hang"])
def test_that_never_returns_has_no_answer_and_the_worker_is_replaced(hanging: Hostile, what: str) -> None:
    costs_its_worker(hanging, what)
    all_log_in(hanging.daemon)
    assert "outlasted the deadline and is killed" in hanging.daemon.log


def costs_its_worker(hostile: Hostile, what: str) -> None:
    """And neither another worker nor anything else."""
    before = hostile.settled()
    workers = hostile.daemon.workers()
    assert hostile.login(what) == "-"
    hostile.wait_alone()
    wait_until(lambda: len({*workers, *hostile.daemon.workers()}) > WORKERS, "there is another worker")
    # The descriptors too are as before: what a leftover held is not waited for.
    assert hostile.settled() == before
    assert len({*workers, *hostile.daemon.workers()}) == WORKERS + 1
    assert "auth unavailable" in hostile.daemon.log


@pytest.mark.parametrize("what", ["crash", "exit", "close-all", "leave-child-and-crash"])
def test_that_ends_worker_after_worker_lets_others_in_all_the_time(hostile: Hostile, what: str) -> None:
    before = hostile.settled()
    for _ in range(6):
        assert hostile.login(what) == "-"
        assert hostile.daemon.permits() == "OK"
    assert hostile.settled() == before


@pytest.mark.parametrize(
    "what", ["change-directory", "raise-term", "block-signals", "print", "thread", "leave-zombies"]
)
def test_that_returns_has_its_verdict_and_the_worker_goes_on(hostile: Hostile, what: str) -> None:
    daemon = hostile.daemon
    daemon.settled(WORKERS)
    workers = daemon.workers()
    assert [hostile.login(what) for _ in range(2 * WORKERS)] == ["OK"] * 2 * WORKERS
    all_log_in(daemon)
    # What a module forks has the same name until it has ended.
    wait_until(lambda: daemon.workers() == workers, "no worker was replaced")


def test_whose_alarm_comes_later_costs_an_idle_worker_and_no_login(hostile: Hostile) -> None:
    before = hostile.settled()
    assert hostile.login("alarm") == "OK"
    wait_until(lambda: "was killed by SIGALRM" in hostile.daemon.log, "the alarm goes off")
    all_log_in(hostile.daemon)
    assert hostile.settled() == before


def test_that_gives_root_up_does_so_for_one_worker(hostile: Hostile) -> None:
    need_root()
    hostile.settled()
    assert hostile.login("change-user") == "OK"
    all_log_in(hostile.daemon)
    hostile.settled()
    users = {processes.status(pid)["Uid"].split()[0] for pid in hostile.daemon.workers()}
    assert users == {"0"}


LEFT = {"leave-child": 1, "leave-daemon": 1, "leave-zombies": 0}
"""How many processes stay of each login."""


class TestProcessesLeftBehind:
    """In the worker's session and in one of their own."""

    @pytest.mark.parametrize("what", LEFT)
    def test_end_with_their_worker_when_it_retires(self, files: PamFiles, what: str) -> None:
        hostile = Hostile(files, "-n", "0")
        with hostile.daemon as daemon:
            before = daemon.settled(5)
            for _ in range(3):
                assert hostile.login(what) == "OK"
            assert len(hostile.started) == 3 * LEFT[what]
            assert daemon.permits() == "OK"
            assert hostile.settled(5) == before

    @pytest.mark.parametrize("what", LEFT)
    def test_end_with_the_daemon_at_the_latest(self, hostile: Hostile, what: str) -> None:
        assert [hostile.login(what) for _ in range(4)] == ["OK"] * 4
        assert len(hostile.started) == 4 * LEFT[what]
        all_log_in(hostile.daemon)
        hostile.daemon.stop()
        hostile.wait_alone()

    def test_are_no_matter_when_the_front_is_lost(self, hostile: Hostile) -> None:
        daemon = hostile.daemon
        daemon.settled(WORKERS)
        for what in ("leave-child", "leave-daemon"):
            assert [hostile.login(what) for _ in range(WORKERS)] == ["OK"] * WORKERS
        assert len(hostile.started) == 2 * WORKERS
        daemon.front().send(signal.SIGKILL)
        daemon.settled(WORKERS)
        all_log_in(daemon)
        hostile.wait_alone()


def test_that_hangs_in_every_worker_is_outlived_by_stop(files: PamFiles) -> None:
    """A stop has its own limit, and does not wait for a deadline that is far away."""
    hostile = Hostile(files, "-n", str(WORKERS), *DEADLINE)
    with hostile.daemon:
        assert [hostile.login("hang") for _ in range(WORKERS)] == ["-"] * WORKERS
        hostile.settled()
    hostile.wait_alone()

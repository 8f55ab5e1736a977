"""The small parts of the master, each by itself."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.master import privileges, readiness, runpath
from pysaslauthd.master.backoff import FIRST_PAUSE, LONGEST_PAUSE, STEADY_LIFE, Backoff
from pysaslauthd.master.mux import LiveSocketError, OwnSocket, is_live
from pysaslauthd.master.notify import RETRY_PAUSE, ServiceManager
from pysaslauthd.master.pidfile import LockedByAnotherError, LockFile, lock_owner
from pysaslauthd.master.privileges import Rights
from pysaslauthd.master.readiness import Outcome, Readiness
from pysaslauthd.master.runpath import RunPathError
from support.packages import need_root
from support.service_manager import Manager

HOLD_LOCK = "import sys; from pathlib import Path; from pysaslauthd.master.pidfile import LockFile; LockFile(Path(sys.argv[1])).write_pid(); print(flush=True); sys.stdin.read()"  # fmt: skip


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short, as a socket's path has to be; the tests' own directory is restored."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield Path(name)
        os.chdir(before)


@pytest.fixture
def holder(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds the lock on ``directory/lock`` until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(directory / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield process


class TestBackoff:
    def test_forgives_one_death_and_then_pauses_longer_and_longer(self) -> None:
        backoff = Backoff()
        pauses = []
        for now in map(float, range(100, 108)):
            backoff.died(now)
            pauses.append(round(backoff.not_before - now, 3))
        assert pauses[:3] == [0, FIRST_PAUSE, FIRST_PAUSE * 2]
        assert pauses[-1] == LONGEST_PAUSE

    def test_takes_deaths_at_the_same_time_for_one(self) -> None:
        backoff = Backoff()
        for worker in range(32):
            backoff.died(100 + worker / 1000)
        assert backoff.not_before == 100

    def test_forgets_after_a_steady_life(self) -> None:
        backoff = Backoff()
        for now in range(5):
            backoff.died(now)
        backoff.died(5 + STEADY_LIFE)
        assert backoff.not_before == 5 + STEADY_LIFE


class TestLockFile:
    def test_holds_our_pid_and_is_removed(self, directory: Path) -> None:
        path = directory / "lock"
        path.write_text("99999 something longer\n")
        path.chmod(0o644)
        with LockFile(path) as lock:
            lock.write_pid()
            assert path.read_text() == f"{os.getpid()}\n"
            assert path.stat().st_mode & 0o777 == 0o644
        assert not path.exists()

    def test_is_made_for_its_owner_only(self, directory: Path) -> None:
        with LockFile(directory / "lock"):
            assert (directory / "lock").stat().st_mode & 0o777 == 0o600

    def test_of_another_is_not_had_and_names_its_owner(
        self, directory: Path, holder: "subprocess.Popen[str]"
    ) -> None:
        path = directory / "lock"
        assert lock_owner(path) == holder.pid
        with pytest.raises(LockedByAnotherError, match="Resource temporarily unavailable"):
            LockFile(path)
        assert path.read_text() == f"{holder.pid}\n"
        holder.kill()
        holder.wait()
        assert lock_owner(path) is None
        LockFile(path).remove()

    def test_that_was_replaced_meanwhile_is_not_removed(self, directory: Path) -> None:
        path = directory / "lock"
        lock = LockFile(path)
        path.unlink()
        path.write_text("of another")
        lock.remove()
        assert path.read_text() == "of another"

    def test_is_not_made_through_a_link(self, directory: Path) -> None:
        (directory / "lock").symlink_to(directory / "target")
        with pytest.raises(OSError, match="symbolic links"):
            LockFile(directory / "lock")
        assert not (directory / "target").exists()

    def test_is_not_what_has_another_name_or_is_no_file(self, directory: Path) -> None:
        path = directory / "lock"
        (directory / "target").touch()
        path.hardlink_to(directory / "target")
        with pytest.raises(OSError, match="another name"):
            LockFile(path)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(OSError, match="not a regular file"):
            LockFile(path)
        assert lock_owner(path) is None


class TestReadiness:
    @pytest.mark.parametrize("outcome", [Outcome(0, ""), Outcome(2, "Cannot start\nbecause of ü")])
    def test_reaches_who_waits(self, outcome: Outcome) -> None:
        read, write = os.pipe()
        ready = Readiness(write)
        if outcome.status:
            ready.failed(*outcome)
        else:
            ready.ready()
        ready.failed(1, "too late: the first report counts")
        assert readiness.wait_for(read) == outcome

    def test_of_a_daemon_that_died_is_none(self) -> None:
        read, write = os.pipe()
        os.close(write)
        assert readiness.wait_for(read) is None

    def test_without_a_parent_is_nobodys_business(self) -> None:
        Readiness().ready()


class TestRunPath:
    def test_is_made_one_level_deep(self, directory: Path) -> None:
        runpath.enter(directory / "a")
        assert Path.cwd() == directory / "a"
        with pytest.raises(RunPathError, match=r"can not mkdir: .*/b/c\nmkdir: No such file"):
            runpath.enter(directory / "b" / "c")

    def test_that_is_there_keeps_its_mode(self, directory: Path) -> None:
        directory.chmod(0o710)
        runpath.enter(directory)
        assert directory.stat().st_mode & 0o777 == 0o710

    def test_that_is_a_file_is_told(self, directory: Path) -> None:
        (directory / "a").touch()
        with pytest.raises(RunPathError, match=r"could not chdir to: .*/a\nchdir: Not a directory"):
            runpath.enter(directory / "a")

    def test_too_long_for_a_socket_is_told_before_anything_is_made(self, directory: Path) -> None:
        with pytest.raises(RunPathError, match="run path too long"):
            runpath.enter(directory / ("x" * 100))
        assert list(directory.iterdir()) == []


class TestOwnSocket:
    def test_is_open_to_who_may_enter_the_directory(self, directory: Path) -> None:
        umask = os.umask(0o077)
        try:
            mux = OwnSocket(directory / "mux")
        finally:
            assert os.umask(umask) == 0o077
        with mux.socket:
            assert mux.path.stat().st_mode & 0o777 == 0o777
            assert is_live(mux.path)
            mux.remove()
            assert not mux.path.exists()

    @pytest.mark.parametrize("how", [socket.SHUT_RDWR, socket.SHUT_RD])
    def test_that_was_shut_down_is_repaired(self, directory: Path, how: int) -> None:
        mux = OwnSocket(directory / "mux")
        mux.repair()
        assert is_live(mux.path)
        mux.socket.shutdown(how)
        assert not is_live(mux.path)
        mux.repair()
        assert is_live(mux.path)
        assert mux.path.stat().st_mode & 0o777 == 0o777
        mux.remove()
        assert not mux.path.exists()
        mux.socket.close()

    def test_that_cannot_be_repaired_now_is_later(self, directory: Path) -> None:
        (directory / "a").mkdir()
        mux = OwnSocket(directory / "a" / "mux")
        mux.socket.shutdown(socket.SHUT_RDWR)
        (directory / "a").rename(directory / "b")
        for _ in range(2):
            with pytest.raises(RunPathError, match="could not bind to socket"):
                mux.repair()
        (directory / "b").rename(directory / "a")
        mux.repair()
        assert is_live(mux.path)
        mux.remove()
        mux.socket.close()

    def test_of_a_killed_daemon_is_replaced(self, directory: Path) -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(directory / "mux"))
        assert not is_live(directory / "mux")
        mux = OwnSocket(directory / "mux")
        assert is_live(mux.path)
        mux.socket.close()

    def test_of_a_live_daemon_is_not_stolen(self, directory: Path) -> None:
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(str(directory / "mux"))
            live.listen(0)
            # Also when its backlog is full, and nobody is let in.
            waiting = [
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(3)
            ]
            for client in waiting:
                client.connect_ex(str(directory / "mux"))
            with pytest.raises(LiveSocketError):
                OwnSocket(directory / "mux")
            for client in waiting:
                client.close()

    def test_of_somebody_else_is_not_removed(self, directory: Path) -> None:
        mux = OwnSocket(directory / "mux")
        mux.path.unlink()
        mux.path.touch()
        mux.remove()
        assert mux.path.exists()
        mux.socket.close()

    def test_whose_place_is_taken_by_a_directory_is_told(self, directory: Path) -> None:
        (directory / "mux").mkdir()
        with pytest.raises(RunPathError, match=r"could not bind to socket: .*/mux\nbind: Is a directory"):
            OwnSocket(directory / "mux")


class TestServiceManager:
    def test_hears_a_status_once_and_in_one_line(self, directory: Path) -> None:
        with Manager(directory) as played:
            manager = ServiceManager({"NOTIFY_SOCKET": played.name})
            for text in ("a\nMAINPID=1", "a\nMAINPID=1", "b" * 10_000, "\udcff"):
                manager.status(text)
            assert played.said("MAINPID") == []
            assert played.said("STATUS") == ["a\\x0aMAINPID=1", "b" * 300, "\\xff"]

    def test_that_reads_nothing_for_long_hears_what_was_first(self, directory: Path) -> None:
        with Manager(directory) as played:
            manager = ServiceManager({"NOTIFY_SOCKET": played.name, "WATCHDOG_USEC": "1000"})
            manager.ready()
            for number in range(1000):
                manager.status(str(number))
                manager.alive()
            assert manager.flush(5.0) == 5.0 + RETRY_PAUSE
            while manager.flush(0.0) < float("inf"):
                played.receive()
            assert played.said("READY") == ["1"]
            heard = played.said("STATUS")
            assert heard == [str(number) for number in range(len(heard))]
            assert len(heard) < 100
            manager.alive()
            assert played.said("WATCHDOG")[-1:] == ["1"]

    def test_is_nobody_without_a_socket(self) -> None:
        environment = {"WATCHDOG_USEC": "1000", "HOME": "/"}
        manager = ServiceManager(environment)
        manager.ready()
        assert (manager.watchdog, manager.flush(0.0), environment) == (None, float("inf"), {"HOME": "/"})


class TestMissingRights:
    def test_are_told_to_a_user_who_cannot_read(self, directory: Path) -> None:
        file = directory / "file"
        assert privileges.missing_rights(Rights(None, (file,))) == f"{file} cannot be read by this user"
        file.touch()
        assert privileges.missing_rights(Rights(None, (file,))) == ""

    def test_are_told_to_a_root_without_the_capability(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = directory / "file"
        file.touch(mode=0o600)
        rights = Rights(privileges.User("nobody", 65534, 65534), (file,))
        monkeypatch.setattr("pysaslauthd.master.kernel.has_capability", lambda _: False)
        assert "lacks CAP_DAC_READ_SEARCH" in privileges.missing_rights(rights)
        file.chmod(0o604)
        assert privileges.missing_rights(rights) == ""
        monkeypatch.setattr("pysaslauthd.master.kernel.has_capability", lambda _: True)
        file.chmod(0o600)
        assert privileges.missing_rights(rights) == ""


class TestReadingGroups:
    def test_are_those_of_the_mode_and_never_roots(self, directory: Path) -> None:
        file = directory / "file"
        file.touch(mode=0o640)
        own = {os.getegid()} - {0}
        assert set(privileges.reading_groups((file,))) == own
        file.chmod(0o600)
        assert privileges.reading_groups((file, directory / "missing")) == []


class TestEnteringGroups:
    @pytest.mark.parametrize(
        ("directory_mode", "socket_mode", "expected"),
        [
            (0o710, 0o666, [4321]),
            (0o711, 0o666, []),
            (0o700, 0o666, []),
            (0o711, 0o660, [4321]),
            (0o711, 0o600, []),
        ],
    )
    def test_are_those_that_get_further_than_others(
        self, directory: Path, directory_mode: int, socket_mode: int, expected: list[int]
    ) -> None:
        need_root()
        directory.chmod(0o711)
        place = directory / "place"
        place.mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place / "mux"))
        for path, mode in ((place / "mux", socket_mode), (place, directory_mode)):
            os.chown(path, 0, 4321)
            path.chmod(mode)
        link = directory / "link"
        link.symlink_to(place)
        assert privileges.entering_groups((link / "mux",)) == expected
        os.chown(place, 0, 0)
        os.chown(place / "mux", 0, 0)
        assert privileges.entering_groups((place / "mux", directory / "no" / "mux")) == []

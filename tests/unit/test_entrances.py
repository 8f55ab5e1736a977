"""What becomes of sockets when one plan takes the place of another."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands import sockets
from pysaslauthd.commands.sockets import UnknownNameError
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.config.socket_tables import SocketTable
from pysaslauthd.master.entrances import Entrances
from pysaslauthd.master.mux import LiveSocketError, Look, OwnSocket, is_live
from pysaslauthd.master.runpath import RunPathError


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield Path(name)


def made(paths: list[Path], before: Entrances | None = None, mode: int = 0o777) -> Entrances:
    tables = tuple(SocketTable(path, mode=mode, origins={"": "F:1"}) for path in paths)
    wanted = sockets.wanted(Options((MECHANISMS["pam"],), sockets=tables))
    return sockets.made(wanted, (), before)


class TestTheNextPlan:
    def test_shares_the_sockets_that_stay_and_gives_up_the_others(self, directory: Path) -> None:
        a, b, c = (directory / name for name in "abc")
        before = made([a, b])
        after = made([b, c], before)
        assert [each.mux for each in after][:1] == [each.mux for each in before][1:]
        assert all(map(is_live, (a, b, c)))
        before.give_up(after)
        assert not a.exists()
        assert is_live(b)
        assert is_live(c)
        after.remove()
        assert list(directory.iterdir()) == []
        after.give_up(Entrances(()))
        assert all(each.mux.socket.fileno() == -1 for each in (*before, *after))

    def test_that_comes_to_nothing_leaves_what_was(self, directory: Path) -> None:
        a, b = directory / "a", directory / "b"
        before = made([a])
        made([a, b], before).give_up(before)
        assert [path for path in (a, b) if is_live(path)] == [a]
        assert not b.exists()
        for broken in (directory / "none" / "x", directory):
            with pytest.raises(RunPathError):
                made([a, b, broken], before)
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(str(directory / "live"))
            live.listen()
            with pytest.raises(LiveSocketError):
                made([b, directory / "live"], before)
        assert not b.exists()
        assert is_live(a)
        before.give_up(Entrances(()))

    def test_has_its_mode_when_it_takes_over_and_not_before(self, directory: Path) -> None:
        path = directory / "a"
        before = made([path])
        after = made([path], before, mode=0o600)
        assert stat.S_IMODE(path.stat().st_mode) == 0o777
        after.settle()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert is_live(path)
        after.give_up(Entrances(()))

    def test_takes_a_link_to_the_directory_for_the_directory(self, directory: Path) -> None:
        (directory / "a").mkdir()
        (directory / "link").symlink_to("a")
        before = made([directory / "link" / "x"])
        after = made([directory / "a" / "x"], before)
        assert [each.mux for each in after] == [each.mux for each in before]
        before.give_up(Entrances(()))
        with pytest.raises(UnknownNameError, match=r"^F:1: socket.path: .*/link/x leads to .*/a/x"):
            made([directory / "a" / "x", directory / "link" / "x"])


class TestTheControlSocket:
    def test_that_cannot_be_repaired_keeps_no_login_from_being_answered(self, directory: Path) -> None:
        away, control = directory / "away", directory / "away" / "control"
        away.mkdir()
        entrances = sockets.made([], (), control=control)
        both = Entrances((*made([directory / "mux"]), *entrances))
        for each in both:
            each.mux.socket.shutdown(socket.SHUT_RDWR)
        away.rename(directory / "elsewhere")
        for _ in range(2):
            both.repair()
            assert [each.name for each in both.for_a_front] == [str(directory / "mux")]
            assert is_live(directory / "mux")
        (directory / "elsewhere").rename(away)
        both.repair()
        assert [each.is_control for each in both.for_a_front] == [False, True]
        assert is_live(control)
        both.give_up(Entrances(()))


class TestChange:
    def test_does_not_touch_what_is_not_ours(self, directory: Path) -> None:
        mux = OwnSocket(directory / "a", Look())
        mux.path.unlink()
        other = directory / "other"
        other.touch(0o644)
        for set_trap in (mux.path.symlink_to, mux.path.hardlink_to):
            set_trap(other)
            with pytest.raises(OSError, match="not ours"):
                mux.change(Look(mode=0o600))
            assert stat.S_IMODE(other.stat().st_mode) == 0o644
            mux.path.unlink()
        mux.socket.close()

    def test_to_what_is_not_allowed_is_told_and_leaves_it(self, directory: Path) -> None:
        """At the making too: nothing stays of a socket that cannot be given away."""
        path = directory / "a"
        user = os.geteuid()
        if user == 0:
            os.chown(directory, 65534, 65534)
            os.seteuid(65534)  # root may give away all
        try:
            with pytest.raises(RunPathError, match="chown: Operation not permitted"):
                OwnSocket(path, Look(owner=os.geteuid() + 1))
        finally:
            os.seteuid(user)
        assert not path.exists()

    def test_is_removed_once(self, directory: Path) -> None:
        """Who comes after us may get the number of our inode."""
        mux = OwnSocket(directory / "a")
        os.link(mux.path, directory / "kept")
        mux.remove()
        os.link(directory / "kept", mux.path)
        mux.remove()
        assert mux.path.exists()
        mux.socket.close()


class TestTheSocketOfAnotherDaemon:
    def asked(self, path: Path, run_path: Path) -> str:
        """Why it may not be asked; nothing if it may."""
        options = Options((MECHANISMS["pam"],), run_path=run_path, settings=Settings(compare=path))
        try:
            sockets.wanted(options)
        except UnknownNameError as error:
            return str(error)
        return ""

    def test_is_not_one_of_ours_by_any_name(self, directory: Path) -> None:
        run_path, link = directory / "run", directory / "link"
        run_path.mkdir()
        link.symlink_to(run_path)
        (directory / "last").symlink_to(run_path / "mux")
        for path in (run_path / "mux", link / "mux", directory / "last"):
            told = f"compare: {path} is a socket of this daemon, which would ask itself"
            assert self.asked(path, run_path) == told
        assert self.asked(run_path / "other", run_path) == ""

    def test_is_where_nobody_else_can_put_another(self, directory: Path) -> None:
        run_path, old = directory / "run", directory / "old"
        old.mkdir()
        assert self.asked(old / "mux", run_path) == ""
        old.chmod(0o1777)
        told = f"compare: {old} has mode 1777: others than its owner could put another there and be told passwords"
        (directory / "last").symlink_to(old / "mux")
        for path in (old / "mux", old / "not" / "there" / "mux", directory / "last"):
            assert self.asked(path, run_path) == told

"""Directories that others can write, or put another in the place of."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.master import places
from pysaslauthd.master.places import UnsafePlaceError
from support.packages import need_root

SOMEBODY = 54_321


@pytest.fixture
def directory() -> Iterator[Path]:
    """In ``/tmp``, which all can write and whose names are each their maker's."""
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        (Path(name) / "a" / "b").mkdir(parents=True)
        (Path(name) / "a").chmod(0o755)
        (Path(name) / "a" / "b").chmod(0o710)
        yield Path(name)


class TestAPlace:
    def test_is_safe_that_only_we_and_root_can_write(self, directory: Path) -> None:
        for path in (directory, directory / "a" / "b", directory / "a" / ".." / "a", Path("/")):
            places.make_sure_of(path)

    @pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777, 0o2770])
    def test_is_not_that_others_can_write(self, directory: Path, mode: int) -> None:
        (directory / "a" / "b").chmod(mode)
        with pytest.raises(UnsafePlaceError, match=rf"/a/b has mode {mode:04o}: others"):
            places.make_sure_of(directory / "a" / "b")

    @pytest.mark.parametrize(("mode", "is_safe"), [(0o770, False), (0o707, False), (0o1777, True)])
    def test_is_as_safe_as_what_is_above(self, directory: Path, mode: int, *, is_safe: bool) -> None:
        (directory / "a").chmod(mode)
        if is_safe:
            places.make_sure_of(directory / "a" / "b")
        else:
            with pytest.raises(UnsafePlaceError, match=rf"/a has mode {mode:04o}"):
                places.make_sure_of(directory / "a" / "b")

    def test_that_is_to_be_made_needs_one_above_where_names_are_their_makers(self, directory: Path) -> None:
        (directory / "a").chmod(0o1777)
        places.make_sure_of(directory / "a", is_above=True)
        (directory / "a").chmod(0o777)
        with pytest.raises(UnsafePlaceError):
            places.make_sure_of(directory / "a", is_above=True)

    @pytest.mark.parametrize("name", ["a", "a/b"])
    def test_is_not_that_belongs_to_somebody_else(self, directory: Path, name: str) -> None:
        need_root()
        os.chown(directory / name, SOMEBODY, 0)
        with pytest.raises(UnsafePlaceError, match=rf"/{name} belongs to the user with id {SOMEBODY}"):
            places.make_sure_of(directory / "a" / "b")

    def test_that_is_none_is_told(self, directory: Path) -> None:
        (directory / "file").touch()
        with pytest.raises(NotADirectoryError):
            places.make_sure_of(directory / "file")
        with pytest.raises(FileNotFoundError):
            places.make_sure_of(directory / "none" / "x")


class TestALink:
    @pytest.mark.parametrize("target", ["a/b", "./a/../a/b", "{}/a/b", "via"])
    def test_leads_where_it_does(self, directory: Path, target: str) -> None:
        (directory / "via").symlink_to("a")
        link = directory / "link"
        link.symlink_to(target.format(directory))
        places.make_sure_of(link)
        (directory / "a").chmod(0o770)
        with pytest.raises(UnsafePlaceError, match="/a has mode 0770"):
            places.make_sure_of(link)

    def test_back_from_behind_another_is_not_by_its_name(self, directory: Path) -> None:
        """``via/..`` is the parent of where ``via`` leads."""
        (directory / "a" / "c").mkdir()
        (directory / "via").symlink_to("a/b")
        places.make_sure_of(directory / "via" / ".." / "c")

    def test_of_somebody_else_is_not_followed(self, directory: Path) -> None:
        need_root()
        link = directory / "link"
        link.symlink_to("a")
        os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
        with pytest.raises(UnsafePlaceError, match=f"/link is a link of the user with id {SOMEBODY}"):
            places.make_sure_of(link / "b")

    def test_in_a_circle_ends(self, directory: Path) -> None:
        (directory / "link").symlink_to("link")
        with pytest.raises(OSError, match="Too many levels"):
            places.make_sure_of(directory / "link")

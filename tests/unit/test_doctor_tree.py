"""Paths as who has his root somewhere walks them."""

import os
from pathlib import Path

from pysaslauthd.commands.doctor.tree import Tree

MUX = Path("/var/run/saslauthd/mux")


def names(root: Path, path: Path) -> list[str]:
    return [str(place.path) for place in Tree(root).way(path).directories]


def test_every_directory_on_the_way_is_passed(tmp_path: Path) -> None:
    (tmp_path / "var/run/saslauthd").mkdir(parents=True)
    (tmp_path / "var/run/saslauthd/mux").touch()
    way = Tree(tmp_path).way(MUX)
    assert [str(place.path) for place in way.directories] == ["/", "/var", "/var/run", "/var/run/saslauthd"]
    assert way.end is not None
    assert way.end.path == MUX


def test_a_link_leads_to_where_it_leads_from_that_root(tmp_path: Path) -> None:
    (tmp_path / "run/saslauthd").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    assert names(tmp_path, MUX) == ["/", "/var", "/run", "/run/saslauthd"]
    assert Tree(tmp_path).real(MUX) == tmp_path / "run/saslauthd/mux"


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/up").symlink_to("../../../..")
    assert Tree(tmp_path / "in").real(Path("/up/x")) == tmp_path / "in/x"
    (tmp_path / "in/relative").symlink_to("up/y/../z")
    (tmp_path / "in/y").mkdir()
    assert Tree(tmp_path / "in").real(Path("/relative")) == tmp_path / "in/z"


def test_links_that_turn_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    way = Tree(tmp_path).way(Path("/a/c"))
    assert (way.end, way.missing is None) == (None, False)


def test_the_first_name_that_is_missing_is_known(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    assert Tree(tmp_path).way(MUX).missing == MUX
    (tmp_path / "var/run").touch()
    assert Tree(tmp_path).way(MUX).end is None


def test_a_chroot_has_its_own_root_and_the_names_of_outside(tmp_path: Path) -> None:
    (tmp_path / "spool/var/run/saslauthd").mkdir(parents=True)
    jail = Tree(tmp_path).below(Path("/spool"))
    (*_, last) = jail.way(Path("/var/run/saslauthd/x")).directories
    assert last.path == Path("/spool/var/run/saslauthd")
    assert jail.way(MUX).directories[0].path == Path("/spool")
    assert jail.shown_as(MUX) == Path("/spool/var/run/saslauthd/mux")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Tree(tmp_path).read(Path("/pipe")) is None
    assert Tree(tmp_path).read(Path("/")) is None

"""What starts the daemon, and what the kernel's further rules may forbid."""

from pathlib import Path

import pytest

from pysaslauthd.commands.doctor.accounts import accounts_of
from pysaslauthd.commands.doctor.check_system import check_guards, check_start, guards_of
from pysaslauthd.commands.doctor.own import own_of
from pysaslauthd.commands.doctor.tree import Tree

DEFAULT = Path("/etc/default/saslauthd")
PROGRAMS = {"slapd": ("slapd", "/run/saslauthd/mux")}


@pytest.mark.parametrize(
    ("text", "is_ours", "expected"),
    [
        ("START=yes\n", False, "start"),
        ("MECHANISMS=pam\n", False, "start-missing"),
        ("MECHANISMS=pam\n", True, "start"),
        ("START=no\n", True, "start-missing"),
        ("START=no\nSTART=yes\n", False, "start"),
        ("START=YES\n", False, "start-missing"),
        ("#START=yes\n", False, "start-missing"),
    ],
)
def test_start_is_said(text: str, expected: str, *, is_ours: bool) -> None:
    (found,) = check_start(DEFAULT, text, is_ours=is_ours)
    assert found.id == expected


def guarded(root: Path, **files: str) -> list[str]:
    """What is said of a machine whose kernel shows these files."""
    names = {
        "enforce": "sys/fs/selinux/enforce",
        "profiles": "sys/kernel/security/apparmor/profiles",
        "slapd": "etc/apparmor.d/usr.sbin.slapd",
        "local": "etc/apparmor.d/local/usr.sbin.slapd",
    }
    for name, text in files.items():
        path = root / names[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "run/saslauthd").mkdir(parents=True)
    tree = Tree(root)
    own, _ = own_of(tree, accounts_of(tree), ["-a", "pam"])
    return [each.id for each in check_guards(guards_of(tree, own.run_path), own, PROGRAMS)]


class TestSelinux:
    def test_that_enforces_and_has_not_labelled_the_run_path_is_named(self, tmp_path: Path) -> None:
        assert guarded(tmp_path, enforce="1") == ["selinux"]

    def test_has_nothing_to_label_where_no_run_path_is(self, tmp_path: Path) -> None:
        (tmp_path / "sys/fs/selinux").mkdir(parents=True)
        (tmp_path / "sys/fs/selinux/enforce").write_text("1")
        guards = guards_of(Tree(tmp_path), Path("/run/saslauthd"))
        assert (guards.selinux_enforces, guards.label) == (True, None)

    def test_that_only_watches_is_not(self, tmp_path: Path) -> None:
        assert guarded(tmp_path, enforce="0") == []


class TestApparmor:
    PROFILES = "/usr/sbin/slapd (enforce)\n/usr/bin/man (enforce)\n"

    def test_that_confines_a_program_without_a_word_of_saslauthd_is_named(self, tmp_path: Path) -> None:
        assert guarded(tmp_path, profiles=self.PROFILES, slapd="/usr/sbin/slapd {}\n") == ["apparmor"]

    def test_that_allows_it_is_not(self, tmp_path: Path) -> None:
        allowing = "/{,var/}run/saslauthd/mux rw,\n"
        assert guarded(tmp_path, profiles=self.PROFILES, slapd="x {}\n", local=allowing) == []

    def test_that_only_complains_is_not(self, tmp_path: Path) -> None:
        assert guarded(tmp_path, profiles="/usr/sbin/slapd (complain)\n") == []

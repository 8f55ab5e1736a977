"""What is told of PAM's files: no argument of a module, and an end to whatever includes itself."""

from pathlib import Path

import pytest

from pysaslauthd.mechanisms import pam_stack
from pysaslauthd.mechanisms.pam_stack import LARGEST_FILE, MOST_FILES, MOST_LINES, describe


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    first, second = tmp_path / "etc", tmp_path / "lib"
    first.mkdir()
    second.mkdir()
    monkeypatch.setattr(pam_stack, "PLACES", (first, second))
    return first, second


def lines(service: bytes) -> list[str]:
    return list(describe(service))


def test_the_first_place_counts_and_small_letters(places: tuple[Path, Path]) -> None:
    first, second = places
    (second / "imap").write_text("auth required pam_b.so\n")
    assert lines(b"IMAP") == [f"service imap: {second}/imap", "auth required pam_b.so"]
    (first / "imap").write_text("auth required pam_a.so\n")
    assert lines(b"imap") == [f"service imap: {first}/imap", "auth required pam_a.so"]


def test_no_other_file_can_be_looked_at(places: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "roots").write_text("auth required secret\n")
    for service in (b"../roots", bytes(tmp_path / "roots"), b"x/../../roots"):
        assert lines(service) == ["service roots: there is no file of that name, and no other"]
    (places[0] / "imap").write_text("auth required pam_a.so\n")
    assert lines(b"../imap")[1:] == ["auth required pam_a.so"]
    for service in (b"..", b"x/", b"x" * 256):
        assert lines(service)[0].endswith("there is no file of that name, and no other")


def test_other_stands_for_who_has_no_file(places: tuple[Path, Path]) -> None:
    assert lines(b"imap") == ["service imap: there is no file of that name, and no other"]
    (places[1] / "other").write_text("account required pam_deny.so\n")
    assert lines(b"imap") == [
        f"service imap: there is no file of that name, so {places[1]}/other counts",
        "account required pam_deny.so",
    ]


def test_only_what_a_login_goes_through_is_shown_and_no_argument(places: tuple[Path, Path]) -> None:
    (places[0] / "x").write_text(
        "# auth required pam_comment.so\n"
        "auth [success=1 default=ignore] pam_unix.so passwd=secret\n"
        "-account  sufficient \\\n  /lib/pam_ldap.so secret\n"
        "password required pam_unix.so\nsession optional pam_x.so\nnonsense\nauth\n"
    )
    assert lines(b"x")[1:] == [
        "auth [success=1 default=ignore] pam_unix.so",
        "account sufficient /lib/pam_ldap.so",
    ]


def test_included_files_are_followed_to_an_end(places: tuple[Path, Path]) -> None:
    (places[0] / "common").write_text("auth required pam_a.so\naccount required pam_b.so\n")
    (places[0] / "x").write_text("@include common\nauth substack common\n@include gone\n@include x\n")
    told = lines(b"x")
    assert told[1:4] == ["auth required pam_a.so", "account required pam_b.so", "auth required pam_a.so"]
    assert len(told) == 2 + MOST_LINES
    assert told[-1].startswith("and ")


def test_a_file_has_a_limit_and_so_have_files(places: tuple[Path, Path]) -> None:
    text = "auth required pam_a.so\n"
    (places[0] / "x").write_text(text * 10_000)
    assert lines(b"x")[-1] == f"and {LARGEST_FILE // len(text) - MOST_LINES} modules more"
    (places[0] / "y").write_text("auth required pam_a.so\n" + "@include y\n" * 5_000)
    assert lines(b"y")[-1] == f"and {MOST_FILES - MOST_LINES} modules more"

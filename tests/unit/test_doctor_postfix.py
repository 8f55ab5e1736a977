"""What main.cf and master.cf say, as Postfix reads them."""

import itertools
from pathlib import Path

import pytest

from pysaslauthd.commands.doctor.postfix import Postfix, postfix_of
from pysaslauthd.commands.doctor.tree import Tree

SMTP = "smtp inet n - {chroot} - - smtpd"


def read(tmp_path: Path, main: str, master: str = SMTP.format(chroot="y")) -> Postfix:
    directory = tmp_path / "etc/postfix"
    directory.mkdir(parents=True)
    (directory / "main.cf").write_text(main)
    (directory / "master.cf").write_text(master)
    found = postfix_of(Tree(tmp_path))
    assert found is not None
    return found


def test_no_postfix_is_none(tmp_path: Path) -> None:
    assert postfix_of(Tree(tmp_path)) is None


def test_says_nothing_that_it_does_not_say(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    (service,) = found.services
    assert (found.queue_directory, found.owner) == (Path("/var/spool/postfix"), "postfix")
    assert (service.name, service.asks, service.is_by_libsasl) == ("smtp/inet", False, True)


def test_lines_that_begin_with_a_blank_continue(tmp_path: Path) -> None:
    main = "smtpd_sasl_path =\n# a comment\n\n    own\nqueue_directory=/srv/queue\nmail_owner = mailer\n"
    found = read(tmp_path, main)
    assert found.services[0].parameters["smtpd_sasl_path"] == "own"
    assert (found.queue_directory, found.owner) == (Path("/srv/queue"), "mailer")


@pytest.mark.parametrize("written", ["$mine", "${mine}", "$(mine)"])
def test_references_are_followed(tmp_path: Path, written: str) -> None:
    found = read(tmp_path, f"mine = $inner.org\ninner = example\nsmtpd_sasl_local_domain = {written}\n")
    assert found.services[0].parameters["smtpd_sasl_local_domain"] == "example.org"


def test_a_reference_to_itself_ends(tmp_path: Path) -> None:
    found = read(tmp_path, "smtpd_sasl_local_domain = a$smtpd_sasl_local_domain\n")
    assert found.services[0].parameters["smtpd_sasl_local_domain"].startswith("a")


@pytest.mark.parametrize(
    ("chroot", "level", "expected"),
    [("y", "3.6", True), ("n", "3.6", False), ("-", "3.6", False), ("-", "", True), ("-", "0", True)],
)
def test_a_service_is_in_a_chroot_as_its_column_or_the_default_says(
    tmp_path: Path, chroot: str, level: str, *, expected: bool
) -> None:
    main = f"compatibility_level = {level}\n" if level else ""
    found = read(tmp_path, main, SMTP.format(chroot=chroot))
    assert found.services[0].is_chrooted is expected


def test_each_service_has_its_own_parameters(tmp_path: Path) -> None:
    master = f"""\
{SMTP.format(chroot="y")}
submission inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
#  -o smtpd_sasl_auth_enable=no
  -o syslog_name=postfix/submission -osmtpd_sasl_local_domain=$mydomain
cleanup unix n - y - 0 cleanup
"""
    found = read(tmp_path, "mydomain = example.org\n", master)
    smtp, submission = found.services
    assert (smtp.asks, submission.asks) == (False, True)
    assert submission.parameters["smtpd_sasl_local_domain"] == "example.org"
    assert not submission.is_chrooted


def test_dovecots_is_no_affair_of_ours(tmp_path: Path) -> None:
    found = read(tmp_path, "smtpd_sasl_type = dovecot\nsmtpd_sasl_auth_enable = yes\n")
    assert not found.services[0].is_by_libsasl


@pytest.mark.timeout(20)
def test_values_that_multiply_each_other_fill_no_memory(tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(25)]
    lines = [f"{name} = {'$' + following} {'$' + following}" for name, following in itertools.pairwise(names)]
    found = read(tmp_path, "\n".join([*lines, "v24 = x" * 1000, "mail_owner = $v0", ""]))
    assert len(found.owner) < 100_000

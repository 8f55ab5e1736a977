"""The library that mail servers are linked with, told ``pwcheck_method: saslauthd``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.fake_daemon import FakeDaemon
from support.sasl_clients import SASL_BADAUTH, SASL_FAIL, SASL_OK, checkpass

EXPECTED = {
    (LOGIN, PASSWORD): SASL_OK,
    (LOGIN, WRONG): SASL_BADAUTH,
    (b"nobody-at-all", PASSWORD): SASL_BADAUTH,
}


def complaints(mux: Path) -> list[str]:
    answers = {asked: checkpass(mux, *asked) for asked in EXPECTED}
    return [f"{asked}: {answer}" for asked, answer in answers.items() if answer.code != EXPECTED[asked]]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as running:
        yield running


def test_it_gets_the_right_verdicts(daemon: Daemon) -> None:
    assert complaints(daemon.mux) == []


def test_it_splits_the_realm_off_at_the_last_at_sign(daemon: Daemon) -> None:
    assert checkpass(daemon.mux, LOGIN + b"@example.test", PASSWORD, service="imap").code == SASL_OK
    assert "auth success: [user=alice] [service=imap] [realm=example.test]" in daemon.log
    assert checkpass(daemon.mux, LOGIN + b"@a@b", PASSWORD).code == SASL_BADAUTH
    assert "auth failure: [user=alice@a] [service=smtp] [realm=b]" in daemon.log


def test_a_virtual_domains_user_logs_in_with_the_realm_appended() -> None:
    with Daemon("-r", users={"alice@example.test": PASSWORD}) as daemon:
        assert checkpass(daemon.mux, LOGIN + b"@example.test", PASSWORD).code == SASL_OK
        assert checkpass(daemon.mux, LOGIN + b"@elsewhere.test", PASSWORD).code == SASL_BADAUTH
        assert checkpass(daemon.mux, LOGIN, PASSWORD).code == SASL_BADAUTH


def test_a_login_that_cannot_be_checked_is_no_wrong_password() -> None:
    with Daemon() as daemon:
        daemon.shadow_file.unlink()
        assert checkpass(daemon.mux, LOGIN, PASSWORD).code == SASL_FAIL
        assert checkpass(daemon.mux, LOGIN, WRONG).code == SASL_FAIL


def test_no_daemon_is_no_wrong_password(tmp_path: Path) -> None:
    assert checkpass(tmp_path / "mux", LOGIN, PASSWORD).code == SASL_FAIL


@pytest.mark.parametrize(("reply", "wrong"), [(b"OK", 2), (b"NO", 1), (b"", 3)])
def test_a_daemon_that_knows_one_answer_only_is_noticed(reply: bytes, wrong: int) -> None:
    with FakeDaemon(reply) as fake:
        assert len(complaints(fake.mux)) == wrong

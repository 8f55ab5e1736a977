"""The original's own test client, the first thing an administrator tries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.fake_daemon import FakeDaemon
from support.sasl_clients import Printed, testsaslauthd

EXPECTED = {
    PASSWORD: Printed('0: OK "Success."\n', 0),
    WRONG: Printed('0: NO "authentication failed"\n', 255),
}


def complaints(mux: Path) -> list[str]:
    answers = {password: testsaslauthd(mux, LOGIN, password) for password in EXPECTED}
    return [f"{p!r}: {answer}" for p, answer in answers.items() if answer != EXPECTED[p]]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as running:
        yield running


def test_it_accepts_the_right_password_and_refuses_a_wrong_one(daemon: Daemon) -> None:
    assert complaints(daemon.mux) == []


def test_its_service_and_realm_arrive(daemon: Daemon) -> None:
    assert testsaslauthd(daemon.mux, LOGIN, PASSWORD, "-s", "sieve", "-r", "example.test").status == 0
    assert "auth success: [user=alice] [service=sieve] [realm=example.test]" in daemon.log


def test_it_repeats(daemon: Daemon) -> None:
    answer = testsaslauthd(daemon.mux, LOGIN, PASSWORD, "-R", "3")
    assert answer == Printed("".join(f'{n}: OK "Success."\n' for n in range(3)), 0)


@pytest.mark.parametrize("reply", [b"OK", b"NO"])
def test_a_daemon_that_knows_one_answer_only_is_noticed(reply: bytes) -> None:
    with FakeDaemon(reply) as fake:
        assert len(complaints(fake.mux)) == 1

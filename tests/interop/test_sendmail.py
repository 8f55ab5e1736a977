"""Debian's sendmail asks us for every AUTH."""

from pathlib import Path

import pytest

from support import smtp
from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.fake_daemon import FakeDaemon
from support.sendmail import Sendmail
from support.smtp import Codes

ACCEPTED = Codes(auth=235, mail=250)
REFUSED = Codes(auth=535, mail=530)


def complaints(mux: Path) -> list[str]:
    with Sendmail(mux) as sendmail:
        expected = {(way, PASSWORD): ACCEPTED for way in smtp.WAYS}
        expected |= {(way, WRONG): REFUSED for way in smtp.WAYS}
        answers = {(way, word): smtp.session(sendmail.port, way, LOGIN, word) for way, word in expected}
        found = [f"{asked}: {answer}" for asked, answer in answers.items() if answer != expected[asked]]
        without = smtp.session(sendmail.port)
        return found + ([] if without == Codes(0, 530) else [f"without AUTH: {without}"])


def test_the_right_password_opens_it_and_a_wrong_one_does_not() -> None:
    with Daemon() as daemon:
        assert complaints(daemon.mux) == []
        assert "auth success: [user=alice] [service=smtp] [realm=]" in daemon.log


@pytest.mark.parametrize("reply", [b"OK", b"NO"])
def test_a_daemon_that_knows_one_answer_only_is_noticed(reply: bytes) -> None:
    with FakeDaemon(reply) as fake:
        assert len(complaints(fake.mux)) == len(smtp.WAYS)

"""What is written of one login, at which level, with which answer."""

import pytest

from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.front.journal import Journal
from pysaslauthd.front.outcome import Outcome, Way
from support.asker import PlayedAsker
from support.log_readers import json_on_standard_error, read_json

WRONG = rejected(Cause.WRONG_PASSWORD, "Incorrect password")
DETAILED = WRONG._replace(details=("bind as cn=alice: 49", "no second server"))


def written(
    capfd: pytest.CaptureFixture[str],
    answer: Answer,
    *,
    successes: bool = False,
    verbose: bool = False,
) -> list[dict[str, object]]:
    identity = Identity(b"alice", b"imap", b"", None)
    outcome = Outcome(identity, answer, "ldap", Way.MECHANISM, PlayedAsker(), 0.25)
    with json_on_standard_error(verbose=verbose):
        Journal(successes=successes).note(outcome)
    return [read_json(line) for line in capfd.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("answer", "successes", "verbose", "expected"),
    [
        (ACCEPTED, False, False, []),
        (ACCEPTED, False, True, [("debug", "auth success")]),
        (ACCEPTED, True, False, [("info", "auth success")]),
        (ACCEPTED, True, True, [("info", "auth success")]),
        (WRONG, False, False, [("info", "auth failure")]),
        (unavailable(Cause.BACKEND, "no server answers"), False, False, [("error", "auth unavailable")]),
        (unavailable(Cause.GONE, "client has gone"), True, True, []),
        (DETAILED, True, False, [("info", "auth failure")]),
        (
            DETAILED,
            False,
            True,
            [("info", "auth failure"), *(("debug", line) for line in DETAILED.details)],
        ),
    ],
)
def test_each_verdict_has_its_line_and_details_are_for_debugging(
    capfd: pytest.CaptureFixture[str],
    answer: Answer,
    *,
    successes: bool,
    verbose: bool,
    expected: list[tuple[str, str]],
) -> None:
    lines = written(capfd, answer, successes=successes, verbose=verbose)
    assert [(line["level"], line["event"]) for line in lines] == expected
    mark = {"request": "9f3c01-1a", "pid": 4711, "uid": 105}
    assert all(mark.items() <= line.items() for line in lines)


def test_a_detail_has_no_bracket_by_which_it_would_be_taken_for_a_value(
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = WRONG._replace(details=("ldap: alice [remote=192.0.2.1]: no entry",))
    _, detail = written(capfd, answer, verbose=True)
    assert "remote=192.0.2.1" in str(detail["event"])
    assert "[" not in str(detail["event"])
    assert "]" not in str(detail["event"])


def test_a_failure_says_why_in_one_word_and_how_long_it_waited(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = written(capfd, WRONG)
    assert (line["cause"], line["wait"], line["way"]) == ("wrong_password", 0.25, "mechanism")
    assert line["reason"] == "Incorrect password"

"""Which mechanism is asked after which, and whose word counts."""

import pytest
import uvloop

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.chain import REJECT, UNAVAILABLE, UNKNOWN, Chain, Link, Question
from pysaslauthd.front.ticket import Ticket

WRONG = rejected(Cause.WRONG_PASSWORD, "wrong")._replace(delay_ms=2000)
NOBODY = rejected(Cause.UNKNOWN_USER, "nobody")
LOCKED = rejected(Cause.ACCOUNT, "locked")
DOWN = unavailable(Cause.BACKEND, "down")
SHED = unavailable(Cause.SHED, "full")
GONE = unavailable(Cause.GONE, "gone")
ALWAYS = frozenset({REJECT, UNKNOWN, UNAVAILABLE})


class Room:
    """Answers at once, and remembers who asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Ticket] = []

    def submit(self, ticket: Ticket) -> None:
        self.asked.append(ticket)
        assert ticket.password == Secret(b"pw")
        ticket.end(self.answer)


def course(
    *answers: Answer, next_on: frozenset[str] = ALWAYS, limit: float = 10.0
) -> tuple[str, Answer, list[int]]:
    """Who said what counts, and how often each was asked."""
    rows = (MECHANISMS["pam"], MECHANISMS["ldap"], MECHANISMS["shadow"])
    rooms = [Room(answer) for answer in answers]
    links = [Link(row, room) for row, room in zip(rows, rooms, strict=False)]  # type: ignore[arg-type]
    loop = uvloop.new_event_loop()
    heard: list[tuple[str, Answer]] = []
    question = Question(Identity(b"u", b"s", b"r", None), b"digest")
    Chain(loop, links, next_on, limit).ask(
        question, Secret(b"pw"), [], lambda ticket, answer: heard.append((ticket.mechanism, answer))
    )
    loop.close()
    ((mechanism, answer),) = heard
    return mechanism, answer, [len(room.asked) for room in rooms]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((ACCEPTED, WRONG), ("pam", ACCEPTED, [1, 0])),
        ((WRONG, ACCEPTED), ("ldap", ACCEPTED, [1, 1])),
        ((NOBODY, ACCEPTED), ("ldap", ACCEPTED, [1, 1])),
        ((DOWN, ACCEPTED), ("ldap", ACCEPTED, [1, 1])),
        ((LOCKED, ACCEPTED), ("pam", LOCKED, [1, 0])),
        ((NOBODY, LOCKED, ACCEPTED), ("ldap", LOCKED, [1, 1, 0])),
        ((DOWN, LOCKED), ("ldap", LOCKED, [1, 1])),
        ((SHED, ACCEPTED), ("pam", SHED, [1, 0])),
        ((GONE, ACCEPTED), ("pam", GONE, [1, 0])),
        ((DOWN, WRONG), ("pam", DOWN, [1, 1])),
        ((WRONG, DOWN), ("ldap", DOWN, [1, 1])),
        ((WRONG, NOBODY), ("pam", WRONG, [1, 1])),
        ((NOBODY, NOBODY), ("ldap", NOBODY, [1, 1])),
        (
            (WRONG, WRONG._replace(reason="again", delay_ms=0)),
            ("ldap", WRONG._replace(reason="again"), [1, 1]),
        ),
        ((NOBODY, DOWN, ACCEPTED), ("shadow", ACCEPTED, [1, 1, 1])),
        ((WRONG,), ("pam", WRONG, [1])),
    ],
)
def test_the_next_is_asked_until_one_accepts(
    answers: tuple[Answer, ...], expected: tuple[str, Answer, list[int]]
) -> None:
    assert course(*answers) == expected


@pytest.mark.parametrize(
    ("next_on", "going_on"),
    [({REJECT}, [WRONG]), ({UNKNOWN}, [NOBODY]), ({UNAVAILABLE}, [DOWN]), (set[str](), [])],
)
def test_the_next_is_asked_for_the_reasons_that_are_named_alone(
    next_on: set[str], going_on: list[Answer]
) -> None:
    for answer in (WRONG, NOBODY, DOWN):
        asked = course(answer, ACCEPTED, next_on=frozenset(next_on))[2]
        assert asked == [1, int(answer in going_on)]


def test_nobody_else_is_asked_when_the_time_is_over() -> None:
    assert course(DOWN, ACCEPTED, limit=-1.0) == ("pam", DOWN, [1, 0])


def test_who_joins_on_the_way_is_there_at_the_end() -> None:
    class Slow(Room):
        def submit(self, ticket: Ticket) -> None:
            self.asked.append(ticket)

    first, second = Slow(WRONG), Slow(ACCEPTED)
    links = [Link(MECHANISMS["pam"], first), Link(MECHANISMS["ldap"], second)]  # type: ignore[arg-type]
    loop = uvloop.new_event_loop()
    askers: list[object] = ["one"]
    heard: list[object] = []
    Chain(loop, links, ALWAYS, 10).ask(
        Question(Identity(b"u", b"", b"r", None), b"digest"),
        Secret(b"pw"),
        askers,  # type: ignore[arg-type]
        lambda ticket, _: heard.extend(ticket.askers),
    )
    first.asked[0].end(WRONG)
    askers.append("two")
    second.asked[0].end(ACCEPTED)
    loop.close()
    assert heard == ["one", "two"]
    assert [ticket.name for ticket in (first.asked[0], second.asked[0])] == [b"u", (b"u", b"r")]

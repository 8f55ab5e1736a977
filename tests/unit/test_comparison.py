"""What is compared, what is not, and what is said of it; the mechanisms and the other daemon are played."""

import sys
from collections.abc import Iterator

import pytest
import uvloop
from structlog.testing import capture_logs

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
from pysaslauthd.core.identity import Identity, RealmPolicy
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request
from pysaslauthd.front.chain import Chain, Link, Routes
from pysaslauthd.front.comparison import MOST_WAITING, Comparison, waiting_options
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Ticket
from pysaslauthd.front.waiting_room import WaitingRoom
from support.asker import PlayedAsker

WRONG = rejected(Cause.WRONG_PASSWORD, "Incorrect password")
LOCKED = rejected(Cause.ACCOUNT, "Account expired")
DOWN = unavailable(Cause.BACKEND, "down")
LATE = unavailable(Cause.DEADLINE, "late")
SHED = unavailable(Cause.SHED, "too many")
GONE = unavailable(Cause.GONE, "gone")
PASSWORD = b"correct horse"
ADDRESS = b"192.0.2.7;4567"


class Room:
    """Where tickets wait for the test."""

    def __init__(self) -> None:
        self.asked: list[Ticket] = []

    def submit(self, ticket: Ticket) -> None:
        self.asked.append(ticket)


class Client(PlayedAsker):
    """Notes also how many the other daemon had been asked when it heard something."""

    def __init__(self, other: Room) -> None:
        super().__init__()
        self._other = other
        self.asked_before: list[int] = []

    def hear(self, answer: Answer) -> None:
        super().hear(answer)
        self.asked_before.append(len(self._other.asked))


class Stage:
    """A gate, with a mechanism and another daemon behind it."""

    def __init__(
        self, loop: uvloop.Loop, *, is_cached: bool = False, mechanism: str = "shadow", **settings: object
    ) -> None:
        self.ours, self.theirs = Room(), Room()
        self.statistics = Statistics()
        given = Settings(**settings)  # type: ignore[arg-type]
        options = Options((MECHANISMS[mechanism],), cache=is_cached, settings=given)
        chain = Chain(loop, [Link(MECHANISMS[mechanism], self.ours)], given.next_on, 10)  # type: ignore[arg-type]
        self.comparison = Comparison(
            loop,
            self.theirs,  # type: ignore[arg-type]
            options.run_path / "old",
            self.statistics,
            rejected=given.compare_rejected,
        )
        self.gate = Gate(loop, Routes((), chain), options, self.statistics, self.comparison)

    def login(self, login: bytes = b"igor", service: bytes = b"imap", realm: bytes = b"") -> Client:
        client = Client(self.theirs)
        self.gate.login(Request(login, Secret(PASSWORD), service, realm, ADDRESS), client)
        return client

    def answered(self, ours: Answer, theirs: Answer | None = None) -> None:
        """A login with its answer, and what the other daemon says if it is asked."""
        self.login()
        self.ours.asked[-1].end(ours)
        if theirs is not None:
            self.theirs.asked[-1].end(theirs)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Equal, different, unavailable, dropped."""
        counts = self.statistics
        return (
            counts.compared_equal,
            counts.compared_different,
            counts.compared_unavailable,
            counts.compared_dropped,
        )


@pytest.fixture
def loop() -> Iterator[uvloop.Loop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


class TestIsAsked:
    @pytest.mark.parametrize(
        ("answer", "usually", "with_rejected"),
        [
            (ACCEPTED, True, True),
            (WRONG, False, True),
            (LOCKED, False, True),
            (DOWN, False, False),
            (LATE, False, False),
            (SHED, False, False),
            (GONE, False, False),
        ],
    )
    def test_what_was_accepted_and_if_that_is_wanted_what_was_refused(
        self, loop: uvloop.Loop, answer: Answer, *, usually: bool, with_rejected: bool
    ) -> None:
        for wanted, is_asked in ((False, usually), (True, with_rejected)):
            stage = Stage(loop, compare_rejected=wanted)
            stage.answered(answer)
            assert bool(stage.theirs.asked) is is_asked

    def test_when_the_client_has_its_answer(self, loop: uvloop.Loop) -> None:
        stage = Stage(loop)
        client = stage.login()
        assert stage.theirs.asked == []
        stage.ours.asked[0].end(ACCEPTED)
        assert (client.heard, client.asked_before) == ([ACCEPTED], [0])
        assert len(stage.theirs.asked) == 1

    def test_what_the_client_sent_whatever_our_realm_policy_is(self, loop: uvloop.Loop) -> None:
        for policy in RealmPolicy:
            stage = Stage(loop, realm_policy=policy)
            stage.login(b"igor@a", b"imap", b"b")
            stage.ours.asked[0].end(ACCEPTED)
            (ticket,) = stage.theirs.asked
            assert ticket.identity == Identity(b"igor@a", b"imap", b"b", ADDRESS)
            assert ticket.password == Secret(PASSWORD)

    def test_once_for_all_who_ask_the_same_and_not_for_what_is_remembered(self, loop: uvloop.Loop) -> None:
        stage = Stage(loop, is_cached=True)
        for _ in range(3):
            stage.login()
        stage.ours.asked[0].end(ACCEPTED)
        stage.login()
        assert (len(stage.ours.asked), len(stage.theirs.asked)) == (1, 1)

    @pytest.mark.parametrize(("service", "is_asked"), [(b"imap", True), (b"otp", False), (b"OTP", False)])
    @pytest.mark.parametrize("answer", [ACCEPTED, WRONG])
    def test_nothing_of_a_service_that_is_left_out(
        self, loop: uvloop.Loop, answer: Answer, service: bytes, *, is_asked: bool
    ) -> None:
        for is_cached in (False, True):
            stage = Stage(
                loop, is_cached=is_cached, compare_rejected=True, uncached_services=frozenset({"Otp"})
            )
            stage.login(service=service)
            stage.ours.asked[0].end(answer)
            assert bool(stage.theirs.asked) is is_asked

    @pytest.mark.parametrize("wanted", [False, True])
    def test_what_nobody_of_ours_was_asked_if_refused_is_compared(
        self, loop: uvloop.Loop, *, wanted: bool
    ) -> None:
        stage = Stage(loop, mechanism="pam", compare_rejected=wanted, realms=frozenset({"ex.org"}))
        clients = [stage.login(realm=b"other.org"), stage.login(service=b"../x", realm=b"ex.org")]
        assert [client.asked_before for client in clients] == [[0], [int(wanted)]]
        assert (len(stage.ours.asked), len(stage.theirs.asked)) == (0, 2 * wanted)


class TestIsCounted:
    @pytest.mark.parametrize(
        ("ours", "theirs", "counts"),
        [
            (ACCEPTED, ACCEPTED, (1, 0, 0, 0)),
            (WRONG, WRONG, (1, 0, 0, 0)),
            (LOCKED, WRONG, (1, 0, 0, 0)),
            (ACCEPTED, WRONG, (0, 1, 0, 0)),
            (WRONG, ACCEPTED, (0, 1, 0, 0)),
            (ACCEPTED, DOWN, (0, 0, 1, 0)),
            (WRONG, LATE, (0, 0, 1, 0)),
            (DOWN, None, (0, 0, 1, 0)),
            (LATE, None, (0, 0, 1, 0)),
            (ACCEPTED, SHED, (0, 0, 0, 1)),
            (SHED, None, (0, 0, 0, 0)),
            (GONE, None, (0, 0, 0, 0)),
        ],
    )
    def test_by_what_both_say(
        self, loop: uvloop.Loop, ours: Answer, theirs: Answer | None, counts: tuple[int, int, int, int]
    ) -> None:
        stage = Stage(loop, compare_rejected=True)
        with capture_logs() as lines:
            stage.answered(ours, theirs)
        assert stage.counts == counts
        told = [line for line in lines if line["event"] == "compared and different"]
        assert len(told) == counts[1]

    @pytest.mark.parametrize(
        ("ours", "theirs", "words"),
        [
            (ACCEPTED, rejected(Cause.WRONG_PASSWORD, "PAM auth error"), ("OK", "NO", "PAM auth error")),
            (ACCEPTED, rejected(Cause.WRONG_PASSWORD, ""), ("OK", "NO", "Unknown")),
            (LOCKED, ACCEPTED, ("NO", "OK", "Account expired")),
        ],
    )
    def test_and_a_difference_has_a_line(
        self, loop: uvloop.Loop, ours: Answer, theirs: Answer, words: tuple[str, str, str]
    ) -> None:
        stage = Stage(loop, compare_rejected=True)
        with capture_logs() as lines:
            stage.answered(ours, theirs)
        (line,) = [line for line in lines if line["log_level"] == "warning"]
        assert line == {
            "event": "compared and different",
            "user": b"igor",
            "service": b"imap",
            "realm": b"",
            "ours": words[0],
            "theirs": words[1],
            "reason": words[2],
            "extra": PlayedAsker.caller.mark,
            "log_level": "warning",
        }


class TestTheSummary:
    def test_comes_with_the_first_and_then_when_it_is_asked_for_and_there_is_more(
        self, loop: uvloop.Loop
    ) -> None:
        stage = Stage(loop)
        with capture_logs() as lines:
            for theirs in (ACCEPTED, WRONG, DOWN, SHED):
                stage.answered(ACCEPTED, theirs)
            stage.comparison.sum_up()
            stage.comparison.sum_up()
        told = [line["event"] for line in lines if line["event"].startswith("compared with ")]
        assert [line.partition(": ")[2] for line in told] == [
            "1 equal, 0 different, 0 unavailable, 0 dropped",
            "1 equal, 1 different, 1 unavailable, 1 dropped",
        ]

    def test_at_the_end_counts_as_dropped_what_was_not_heard(self, loop: uvloop.Loop) -> None:
        stage = Stage(loop)
        with capture_logs() as lines:
            stage.answered(ACCEPTED, ACCEPTED)
            stage.answered(ACCEPTED)
            stage.answered(ACCEPTED)
            stage.comparison.end()
            stage.comparison.end()
        assert stage.counts == (1, 0, 0, 2)
        assert lines[-1]["event"].endswith(": 1 equal, 0 different, 0 unavailable, 2 dropped")
        assert len(lines) == 2


class TestThePassword:
    def test_is_held_no_longer_than_it_is_needed(self, loop: uvloop.Loop) -> None:
        """Until the answer, if there is nothing to compare; else until the other daemon has it."""
        stage = Stage(loop)
        for answer, is_held in ((WRONG, False), (DOWN, False), (ACCEPTED, True)):
            password = Secret(PASSWORD)
            alone = sys.getrefcount(password)
            stage.gate.login(Request(b"igor", password, b"imap", b""), Client(stage.theirs))
            stage.ours.asked.pop().end(answer)
            assert (sys.getrefcount(password) > alone) is is_held
        stage.theirs.asked.pop().end(ACCEPTED)
        assert sys.getrefcount(password) == alone


class TestTheQueue:
    def test_takes_so_many_and_drops_the_others(self, loop: uvloop.Loop) -> None:
        """Whether they are of one name or of many."""
        for number_of_names in (1, 1000):
            room = WaitingRoom(loop, waiting_options(Options((MECHANISMS["shadow"],))))
            room.open(Busy())
            statistics = Statistics()
            path = Options((MECHANISMS["shadow"],)).run_path
            comparison = Comparison(loop, room, path, statistics, rejected=False)
            for number in range(MOST_WAITING + 10):
                login = b"u%d" % (number % number_of_names)
                comparison.compare(Request(login, Secret(PASSWORD), b"imap", b""), ACCEPTED, PlayedAsker())
            assert len(room) == MOST_WAITING
            assert statistics.compared_dropped == 10


class Busy:
    """Workers that have no time."""

    capacity = 5

    def has_room(self) -> bool:
        return False

    def give(self, ticket: Ticket) -> bool:
        raise AssertionError(ticket)

    def grow(self, waiting: int) -> None:
        raise AssertionError(waiting)

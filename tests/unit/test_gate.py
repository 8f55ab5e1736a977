"""The path of one login through the front, with the mechanisms played by the test."""

from collections.abc import Iterator

import pytest
import uvloop

from pysaslauthd import logs
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import ACCEPTED, Cause, Verdict, rejected, unavailable
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request
from pysaslauthd.front.chain import Chain, Link, Routes
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.known_names import Standing
from pysaslauthd.front.shedding import AT_ONCE, HOLD
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Ticket
from support import mux
from support.asker import PlayedAsker

WRONG = rejected(Cause.WRONG_PASSWORD, "Incorrect password")
BROKEN = unavailable(Cause.BACKEND, "no server answers")
FULL = unavailable(Cause.SHED, "too many logins are waiting")


class House:
    """A gate, and whoever is asked behind it."""

    def __init__(
        self, loop: uvloop.Loop, mechanism: str = "shadow", *, lifetime: float = 100.0, **settings: object
    ) -> None:
        self.asked: list[Ticket] = []
        row = MECHANISMS[mechanism]
        options = Options((row,), cache=True, cache_timeout=lifetime, settings=Settings(**settings))  # type: ignore[arg-type]
        chain = Chain(loop, [Link(row, self)], options.settings.next_on, 10)  # type: ignore[arg-type]
        self.statistics = Statistics()
        self.gate = Gate(loop, Routes((), chain), options, self.statistics)

    def submit(self, ticket: Ticket) -> None:
        self.asked.append(ticket)

    def login(self, password: bytes = b"pw", service: bytes = b"imap", login: bytes = b"u") -> PlayedAsker:
        client = PlayedAsker()
        self.gate.login(
            Request(login, Secret(password), service, b""), client, whole(password, service, login)
        )
        return client

    def counted(self) -> dict[tuple[str, str, str, str], int]:
        return {kind[:4]: tally.count for kind, tally in self.statistics.logins.items() if tally.count}

    def remembers(self, password: bytes = b"pw", service: bytes = b"imap") -> bool:
        return self.gate.remembers(whole(password, service))


def whole(password: bytes = b"pw", service: bytes = b"imap", login: bytes = b"u") -> bytes:
    return mux.request(login, password, service)


@pytest.fixture
def loop() -> Iterator[uvloop.Loop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def house(loop: uvloop.Loop) -> House:
    return House(loop)


class TestWhatIsRemembered:
    def test_is_answered_with_a_line_while_each_is_to_have_one(self, house: House) -> None:
        house.login()
        house.asked[0].end(ACCEPTED)
        try:
            for level, is_short_way in (("info", True), ("debug", False), ("warning", True)):
                logs.set_level(level)
                assert house.remembers() is is_short_way
        finally:
            logs.set_level("info")

    def test_is_always_so_with_log_successes(self, loop: uvloop.Loop) -> None:
        house = House(loop, log_successes=True)
        house.login()
        house.asked[0].end(ACCEPTED)
        assert not house.remembers()
        assert house.login().heard == [ACCEPTED]
        assert len(house.asked) == 1

    def test_is_the_same_request_and_no_other(self, house: House) -> None:
        house.login()
        house.asked[0].end(ACCEPTED)
        assert house.remembers()
        assert not house.remembers(b"another")
        assert not house.remembers(service=b"smtp")

    def test_is_no_old_password_whose_answer_came_after_the_change(self, house: House) -> None:
        house.login(b"old")
        house.gate.forget()
        house.login(b"new")
        for ticket in reversed(house.asked):
            ticket.end(ACCEPTED)
        assert house.remembers(b"new")
        assert not house.remembers(b"old")
        assert house.login(b"old").heard == []

    def test_is_nothing_of_a_service_that_is_not_to_be(self, loop: uvloop.Loop) -> None:
        house = House(loop, "pam", uncached_services=frozenset({"VPN"}), service="vpn")
        for service in (b"vpn", b"VPN", b""):
            house.login(service=service)
            house.asked[-1].end(ACCEPTED)
            assert not house.remembers(service=service)
            house.login(service=service)
        assert len(house.asked) == 6

    def test_is_what_is_spelled_alone_where_services_are_no_files(self, loop: uvloop.Loop) -> None:
        house = House(loop, uncached_services=frozenset({"saslauthd"}))
        house.login(service=b"")
        house.asked[0].end(ACCEPTED)
        assert house.remembers(service=b"")


class TestTheSameAskedTwice:
    def test_is_asked_once(self, house: House) -> None:
        clients = [house.login() for _ in range(3)]
        assert len(house.asked) == 1
        house.asked[0].end(WRONG)
        assert [client.heard for client in clients] == [[WRONG]] * 3

    def test_is_asked_anew_after_a_change(self, house: House) -> None:
        before = house.login()
        house.gate.forget()
        after = [house.login(), house.login()]
        assert len(house.asked) == 2
        house.asked[0].end(ACCEPTED)
        assert [client.heard for client in (before, *after)] == [[ACCEPTED], [], []]
        house.asked[1].end(WRONG)
        assert [client.heard for client in after] == [[WRONG]] * 2
        assert not house.remembers()


class TestWhoIsTurnedAway:
    def turned_away(self, house: House, number: int) -> list[float]:
        clients = []
        for each in range(number):
            clients.append(house.login(login=b"u%d" % each))
            house.asked[-1].end(FULL)
        return [answer.delay for client in clients for answer in client.heard]

    def test_hears_of_it_at_once_unless_there_are_hundreds(self, house: House) -> None:
        held = self.turned_away(house, AT_ONCE + 10)
        assert held == [0.0] * AT_ONCE + [HOLD] * 10

    def test_hears_of_it_at_once_if_something_speaks_for_him(self, house: House) -> None:
        self.turned_away(house, AT_ONCE)
        client = house.login()
        house.asked[-1].standing = Standing.VOUCHED
        house.asked[-1].end(FULL)
        assert [(answer.verdict, answer.delay) for answer in client.heard] == [(Verdict.UNAVAILABLE, 0.0)]


class TestWhatIsCounted:
    def test_is_each_login_by_verdict_and_way(self, house: House) -> None:
        house.login()
        house.login()
        house.asked[0].end(ACCEPTED)
        assert house.remembers()
        assert house.remembers()
        house.gate.login(Request(b"u", Secret(b"pw"), b"imap", b""), PlayedAsker())  # in pieces
        house.login(b"wrong")
        house.asked[1].end(WRONG)
        house.login(b"unlucky", b"smtp")
        house.asked[2].end(BROKEN)
        assert house.counted() == {
            ("shadow", "imap", "accepted", "mechanism"): 1,
            ("shadow", "imap", "accepted", "joined"): 1,
            ("shadow", "imap", "accepted", "cache"): 3,
            ("shadow", "imap", "rejected", "mechanism"): 1,
            ("shadow", "smtp", "unavailable", "mechanism"): 1,
        }
        assert house.statistics.joined == 1
        assert house.statistics.cache_misses == 4

    def test_is_who_was_answered_although_the_backend_could_not_be_asked(self, loop: uvloop.Loop) -> None:
        house = House(loop, cache_stale=100.0, lifetime=0.0)
        house.login()
        house.asked[0].end(ACCEPTED)
        house.login()
        house.asked[1].end(BROKEN)
        assert house.counted()["shadow", "imap", "accepted", "stale"] == 1

    def test_is_what_the_gate_refused_itself(self, loop: uvloop.Loop) -> None:
        house = House(loop, "pam")
        house.login(service=b"../x")
        assert house.counted() == {("pam", "../x", "rejected", "gate"): 1}

    def test_is_who_was_turned_away_and_who_left_and_neither_as_answered(self, house: House) -> None:
        house.login()
        house.asked[0].end(FULL)
        house.login(b"left")
        house.asked[1].end(unavailable(Cause.GONE, "gone"))
        assert house.counted() == {}
        assert house.statistics.shed == {FULL.reason: 1}
        assert house.statistics.gone == 1

    def test_is_told_to_the_log_as_totals(self, house: House) -> None:
        house.login()
        house.asked[0].end(ACCEPTED)
        house.remembers()
        house.login(b"wrong")
        house.asked[1].end(FULL)
        summary = house.statistics.summary()
        wanted = {
            "accepted": 2,
            "rejected": 0,
            "unavailable": 1,
            "shed": 1,
            "cache_hits": 1,
            "cache_misses": 2,
        }
        assert wanted.items() <= summary.items()

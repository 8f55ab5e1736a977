"""The same error again and again is counted; a login never is."""

import pytest

from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.repeats import INTERVAL, MOST_LINES, Repeats
from support.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made.time)
    return made


@pytest.fixture
def written() -> list[Entry]:
    return []


@pytest.fixture
def repeats(clock: Clock, written: list[Entry]) -> Repeats:
    return Repeats(written.append, clock.call_later)


def error(text: str = "no room", **extra: object) -> Entry:
    return Entry("error", text, {}, extra)


class TestWithALoop:
    def test_the_first_is_written_at_once_and_the_rest_as_a_number(
        self, clock: Clock, written: list[Entry], repeats: Repeats
    ) -> None:
        for number in range(38):
            repeats.take(error(request=f"1-{number}", pid=number))
        assert written == [error(request="1-0", pid=0)]
        clock.turn(INTERVAL)
        assert written[1:] == [error("no room (37 times in the last 10 s)", count=37)]

    def test_as_long_as_it_comes_there_is_a_number_in_each_interval(
        self, clock: Clock, written: list[Entry], repeats: Repeats
    ) -> None:
        for _ in range(25):
            repeats.take(error())
            clock.turn(1)
        repeats.finish()
        texts = ["no room", *["no room (9 times in the last 10 s)", "no room (10 times in the last 10 s)"]]
        assert [entry.text for entry in written] == [*texts, "no room (5 times in the last 5 s)"]

    def test_what_has_been_quiet_is_written_anew_and_no_timer_stays(
        self, clock: Clock, written: list[Entry], repeats: Repeats
    ) -> None:
        repeats.take(error())
        clock.turn(2 * INTERVAL)
        assert clock.is_idle
        repeats.take(error())
        assert written == [error(), error()]

    def test_other_texts_and_fields_are_other_lines(self, written: list[Entry], repeats: Repeats) -> None:
        sent = [
            error(),
            error("no air"),
            Entry("error", "no room", {"worker": 1}),
            Entry("error", "no room", {"worker": 2}),
        ]
        for entry in [*sent, *sent]:
            repeats.take(entry)
        assert written == sent

    @pytest.mark.parametrize(
        "entry",
        [
            Entry("info", "auth failure", {"user": b"alice", "reason": "Incorrect password"}),
            Entry("error", "auth unavailable", {"user": b"alice", "reason": "no server answers"}),
            Entry("error", "a line that there may be one day", {"user": b"alice"}),
            Entry("error", "3 logins turned away: no room", {}, {"count": 3}),
            Entry("warning", "ldap server is left aside: it refuses"),
            Entry("info", "reloaded"),
            Entry("debug", "a detail"),
            Entry("critical", "internal error"),
        ],
    )
    def test_a_login_and_what_is_no_error_is_never_held_back(
        self, written: list[Entry], repeats: Repeats, entry: Entry
    ) -> None:
        for _ in range(100):
            repeats.take(entry)
        assert written == [entry] * 100

    def test_more_kinds_than_are_counted_are_written(self, written: list[Entry], repeats: Repeats) -> None:
        sent = [error(f"trouble {number}") for number in range(MOST_LINES + 3)]
        for entry in [*sent, *sent]:
            repeats.take(entry)
        assert written == [*sent, *sent[MOST_LINES:]]


class TestWithoutALoop:
    def test_a_number_is_written_before_the_next_line_or_at_the_end(
        self, clock: Clock, written: list[Entry]
    ) -> None:
        repeats = Repeats(written.append, None)
        for _ in range(3):
            repeats.take(error())
        clock.turn(60)
        repeats.take(Entry("info", "news"))
        for _ in range(2):
            repeats.take(error())
        clock.turn(1)
        repeats.finish()
        assert [entry.text for entry in written] == [
            "no room",
            "no room (2 times in the last 60 s)",
            "news",
            "no room (2 times in the last 1 s)",
        ]

"""What the front counts, and that strangers cannot make it count without end."""

from pysaslauthd.core.answer import Verdict
from pysaslauthd.front.histogram import BOUNDS, Histogram
from pysaslauthd.front.outcome import Way
from pysaslauthd.front.statistics import (
    LONGEST_SERVICE,
    MOST_ACCEPTED_SERVICES,
    MOST_SERVICES,
    OTHER,
    Statistics,
)


def count(statistics: Statistics, service: bytes, verdict: Verdict = Verdict.REJECT) -> str:
    """Count a login; the name that its service has then."""
    before = {kind: tally.count for kind, tally in statistics.logins.items()}
    statistics.tally("pam", service, verdict, Way.MECHANISM).count += 1
    (name,) = (
        kind.service for kind, tally in statistics.logins.items() if tally.count != before.get(kind, 0)
    )
    return name


class TestServices:
    def test_are_counted_by_their_names_while_there_are_few(self) -> None:
        statistics = Statistics()
        names = [b"s%d" % number for number in range(MOST_SERVICES)]
        for _ in range(2):
            assert [count(statistics, name) for name in names] == [name.decode() for name in names]
        assert count(statistics, b"one more") == OTHER
        assert count(statistics, names[0]) == "s0"
        assert statistics.total() == 2 * MOST_SERVICES + 2

    def test_that_somebody_logs_in_by_are_not_hidden_behind_invented_ones(self) -> None:
        statistics = Statistics()
        for number in range(1000):
            count(statistics, b"invented %d" % number)
        assert count(statistics, b"imap", Verdict.ACCEPT) == "imap"
        assert count(statistics, b"imap") == "imap"

    def test_are_no_more_than_so_many_whoever_logs_in(self) -> None:
        statistics = Statistics()
        names = {count(statistics, b"s%d" % number, Verdict.ACCEPT) for number in range(1000)}
        assert len(names) == MOST_ACCEPTED_SERVICES + 1

    def test_may_be_shown_whatever_they_are(self) -> None:
        statistics = Statistics()
        assert count(statistics, b'a\n"b"\\\x1b[2J\xff') == r'a\x0a"b"\\x1b[2J\xff'
        assert count(statistics, b"x" * 4096) == "x" * LONGEST_SERVICE
        assert count(statistics, b"") == ""

    def test_without_a_name_are_one_also_when_there_are_many(self) -> None:
        statistics = Statistics()
        count(statistics, b"")
        for number in range(1000):
            count(statistics, b"%d" % number)
        assert count(statistics, b"") == ""


class TestAHistogram:
    def test_counts_up_to_each_bound_that_bound_included(self) -> None:
        histogram = Histogram()
        for seconds in (0.0, BOUNDS[0], BOUNDS[1], 0.3, BOUNDS[-1], 31.0):
            histogram.observe(seconds)
        counts = dict(zip(BOUNDS, histogram.cumulative(), strict=False))
        assert counts[BOUNDS[0]] == 2
        assert counts[BOUNDS[1]] == counts[0.25] == 3
        assert counts[0.5] == 4
        assert counts[BOUNDS[-1]] == 5
        assert histogram.cumulative()[-1] == 6
        assert histogram.sum == sum((0.0, BOUNDS[0], BOUNDS[1], 0.3, BOUNDS[-1], 31.0))

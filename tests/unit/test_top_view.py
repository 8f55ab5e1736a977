"""What top shows of two readings, and that it fits."""

import pytest

from pysaslauthd.commands.readings import Between, Reading
from pysaslauthd.commands.top_view import moment_in_words, sample, screen, seconds_in_words
from pysaslauthd.front import metrics
from pysaslauthd.front.metrics import Distribution, Family, Metric, Sample

BOUNDS = (0.001, 0.01, 1.0)


def reading(
    time: float,
    logins: int = 0,
    *,
    front: float = 1000.0,
    took: tuple[int, ...] = (0, 0, 0, 0),
    sum_: float = 0,
) -> Reading:
    """A daemon with two mechanisms, to which so many logins have come in four kinds."""
    values: dict[Metric, list[Sample]] = {
        metrics.BUILD: [Sample(("1.2.3",), 1)],
        metrics.FRONT_STARTED: [Sample((), front)],
        metrics.FRONT_RESTARTS: [Sample((), 4)],
        metrics.WORKER_RESTARTS: [Sample((), 5)],
        metrics.LOGINS: [
            Sample(("shadow", "imap", "accepted", "cache"), 3 * logins),
            Sample(("shadow", "imap", "accepted", "mechanism"), logins),
            Sample(("shadow", "", "rejected", "mechanism"), 2 * logins),
            Sample(("ldap", "smtp", "unavailable", "mechanism"), logins),
        ],
        metrics.SHED: [Sample(("too many logins are waiting",), 20)],
        metrics.CACHE_HITS: [Sample((), 3 * logins)],
        metrics.CACHE_MISSES: [Sample((), logins)],
        metrics.CACHE_ENTRIES: [Sample((), 17)],
        metrics.CACHE_CAPACITY: [Sample((), 6000)],
        metrics.CLIENTS: [Sample((), 9)],
        metrics.QUEUED: [Sample(("ldap",), 2), Sample(("shadow",), 6)],
        metrics.WORKERS: [Sample(("shadow", "busy"), 3), Sample(("shadow", "idle"), 1)],
    }
    histograms = [Distribution(("shadow",), BOUNDS, took, sum_)]
    families = [Family(metric, tuple(samples)) for metric, samples in values.items()]
    return Reading([*families, Family(metrics.TOOK, tuple(histograms))], time)


BEFORE = reading(100.0, 10, took=(5, 5, 5, 5), sum_=1.0)
AFTER = reading(110.0, 60, took=(5, 104, 105, 105), sum_=1.5)


def columns(between: Between, title: str, name: str) -> list[str]:
    """What stands behind ``name`` in the part of the screen with this title."""
    lines = list(screen(between))
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    return next(line for line in lines[start:] if line.startswith(name)).split()[len(name.split()) :]


class TestTwoReadings:
    BETWEEN = Between.of(BEFORE, AFTER)

    def test_give_logins_a_second_by_mechanism_and_verdict(self) -> None:
        assert columns(self.BETWEEN, "LOGINS/S", "shadow") == ["20.0", "10.0", "0.0", "30.0", "15.0"]
        assert columns(self.BETWEEN, "LOGINS/S", "ldap") == ["0.0", "0.0", "5.0", "5.0", "0.0"]

    def test_give_those_of_each_service_the_busiest_first(self) -> None:
        assert columns(self.BETWEEN, "SERVICE", "imap") == ["20.0", "0.0", "0.0", "20.0", "240"]
        assert columns(self.BETWEEN, "SERVICE", "(none)") == ["0.0", "10.0", "0.0", "10.0", "120"]
        assert [line.split()[0] for line in list(screen(self.BETWEEN))[-3:]] == ["imap", "(none)", "smtp"]

    def test_give_the_workers_and_the_times_of_the_logins_between(self) -> None:
        # 99 of the 100 that came between took no more than 10 ms, and all of them 0.5 s.
        expected = ["1", "3", "0", "0", "6", "-", "5", "ms", "10", "ms"]
        assert columns(self.BETWEEN, "WORKERS", "shadow") == expected
        assert columns(self.BETWEEN, "WORKERS", "ldap") == ["0", "0", "0", "0", "2", "-", "-", "-"]

    def test_give_the_rest(self) -> None:
        text = "\n".join(screen(self.BETWEEN))
        assert f"pysaslauthd 1.2.3   front since {moment_in_words(1000)}" in text
        assert "restarts: 4 of fronts, 5 of workers   clients 9   turned away 0.0/s" in text
        assert "cache: 17 of 6000 entries, 75.0% hits" in text

    def test_give_a_line(self) -> None:
        assert sample(self.BETWEEN) == (
            "accepted/s=20.0 rejected/s=10.0 unavailable/s=5.0 shed/s=0.0 hits=75.0%"
            " waiting=8 clients=9 cached=17 busy=3"
        )


@pytest.mark.parametrize(
    "between",
    [Between.of(None, AFTER), Between.of(reading(100.0, 1000, front=900.0), AFTER)],
    ids=["of which one is missing", "of another front"],
)
def test_readings_that_cannot_be_compared_give_no_rates(between: Between) -> None:
    assert columns(between, "LOGINS/S", "shadow") == ["0.0"] * 5
    assert columns(between, "SERVICE", "imap") == ["0.0"] * 4 + ["240"]
    assert columns(between, "WORKERS", "shadow")[-1] == "-"


def test_a_daemon_of_another_version_that_has_nothing_to_say_is_shown() -> None:
    assert sample(Between.of(None, Reading([], 1.0))).startswith("accepted/s=0.0")
    assert "cache: off" in "\n".join(screen(Between.of(None, Reading([], 1.0))))


def test_all_fits_into_eighty_columns_and_the_important_into_24_lines() -> None:
    lines = list(screen(Between.of(BEFORE, AFTER)))
    assert max(map(len, lines)) <= 80
    assert next(number for number, line in enumerate(lines) if line.startswith("SERVICE")) < 20


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0005, "0.5 ms"), (0.0123456, "12.3 ms"), (1.0, "1 s"), (12.3, "12.3 s"), (float("inf"), "longer")],
)
def test_times_are_short(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words

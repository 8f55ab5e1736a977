"""What ``pysaslauthctl top`` shows: lines of text, of two readings."""

import time
from collections.abc import Iterator

from pysaslauthd.commands.readings import Between, Reading
from pysaslauthd.front import metrics
from pysaslauthd.front.metrics import Distribution
from pysaslauthd.front.outcome import Way
from pysaslauthd.front.statistics import VERDICTS

_VERDICTS = tuple(VERDICTS.values())
_STATES = ("idle", "busy", "starting", "leaving")
_WIDTH = 80
"""Columns of all that stands in columns."""


def seconds_in_words(seconds: float) -> str:
    """A time that something took, with three digits at the most."""
    if seconds == float("inf"):
        return "longer"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def moment_in_words(moment: float) -> str:
    """Seconds since 1970 as the local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def screen(between: Between) -> Iterator[str]:
    """All that there is to see, the most important first."""
    yield from _head(between)
    yield ""
    yield from _logins(between)
    yield ""
    yield from _mechanisms(between)
    yield ""
    yield from _services(between)


def sample(between: Between) -> str:
    """The same in one line, for who keeps it."""
    logins = between.growth(metrics.LOGINS, "verdict")
    rates = (f"{verdict}/s={logins[(verdict,)] / between.seconds:.1f}" for verdict in _VERDICTS)
    now = between.after
    return " ".join(
        (
            *rates,
            f"shed/s={_rate(between, metrics.SHED):.1f}",
            f"hits={_hit_rate(between)}",
            f"waiting={now.total(metrics.QUEUED):.0f}",
            f"clients={now.total(metrics.CLIENTS):.0f}",
            f"cached={now.total(metrics.CACHE_ENTRIES):.0f}",
            f"busy={now.totals(metrics.WORKERS, 'state')['busy',]}",
        )
    )


def _head(between: Between) -> Iterator[str]:
    now = between.after
    version = next((labels["version"] for labels, _ in now.samples(metrics.BUILD)), "")
    yield (
        f"pysaslauthd {version}   front since {moment_in_words(now.total(metrics.FRONT_STARTED))}"
        f"   now {time.strftime('%H:%M:%S')}"
    )
    yield (
        f"restarts: {now.total(metrics.FRONT_RESTARTS):.0f} of fronts, {now.total(metrics.WORKER_RESTARTS):.0f} of workers"
        f"   clients {now.total(metrics.CLIENTS):.0f}   turned away {_rate(between, metrics.SHED):.1f}/s"
    )
    if capacity := now.total(metrics.CACHE_CAPACITY):
        entries = now.total(metrics.CACHE_ENTRIES)
        yield f"cache: {entries:.0f} of {capacity:.0f} entries, {_hit_rate(between)} hits"
    else:
        yield "cache: off"


def _rate(between: Between, metric: metrics.Metric) -> float:
    return between.growth(metric).total() / between.seconds


def _hit_rate(between: Between) -> str:
    hits = between.growth(metrics.CACHE_HITS).total()
    asked = hits + between.growth(metrics.CACHE_MISSES).total()
    return f"{100 * hits / asked:.1f}%" if asked else "-"


def _logins(between: Between) -> Iterator[str]:
    logins = between.growth(metrics.LOGINS, "mechanism", "verdict")
    ways = between.growth(metrics.LOGINS, "mechanism", "way")
    yield _row("LOGINS/S", [*_VERDICTS, "all", "cached"], 13)
    for mechanism in sorted({mechanism for mechanism, _ in logins} | set(_names(between.after))):
        counts = [logins[mechanism, verdict] for verdict in _VERDICTS]
        counts += [sum(counts), ways[mechanism, Way.CACHE]]
        yield _row(mechanism, [f"{count / between.seconds:.1f}" for count in counts], 13)


def _mechanisms(between: Between) -> Iterator[str]:
    now = between.after
    states = now.totals(metrics.WORKERS, "mechanism", "state")
    queued = now.totals(metrics.QUEUED, "mechanism")
    yield _row("WORKERS", [*_STATES, "waiting", "wait", "mean", "99% in"], 9)
    for mechanism in _names(now):
        counts = [str(states[mechanism, state]) for state in _STATES]
        waited = between.distribution(metrics.WAITED, mechanism)
        took = between.distribution(metrics.TOOK, mechanism)
        times = [_mean(waited), _mean(took), seconds_in_words(took.within(0.99)) if took else "-"]
        yield _row(mechanism, [*counts, str(queued[mechanism,]), *times], 9)


def _services(between: Between) -> Iterator[str]:
    """The busiest first."""
    logins = between.growth(metrics.LOGINS, "service", "verdict")
    totals = between.after.totals(metrics.LOGINS, "service")
    rates = between.growth(metrics.LOGINS, "service")
    yield _row("SERVICE", [*_VERDICTS, "all", "since start"], 13)
    for (service,) in sorted(totals, key=lambda each: (-rates[each], -totals[each], each)):
        counts = [*(logins[service, verdict] for verdict in _VERDICTS), rates[(service,)]]
        shown = [f"{count / between.seconds:.1f}" for count in counts]
        yield _row(service or "(none)", [*shown, str(totals[(service,)])], 13)


def _names(reading: Reading) -> list[str]:
    return [name for (name,) in reading.totals(metrics.QUEUED, "mechanism")]


def _mean(times: Distribution | None) -> str:
    return seconds_in_words(times.sum / times.total) if times else "-"


def _row(name: str, columns: list[str], width: int) -> str:
    room = _WIDTH - width * len(columns)
    cut = name if len(name) < room else f"{name[: room - 2]}~"
    return f"{cut:<{room}}" + "".join(f"{column:>{width}}" for column in columns)

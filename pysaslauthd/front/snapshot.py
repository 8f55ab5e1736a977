"""The numbers of one moment, from all who have some."""

from collections.abc import AsyncGenerator, Iterable

from pysaslauthd import __version__
from pysaslauthd.core.control import Line
from pysaslauthd.front import exposition, metrics
from pysaslauthd.front.histogram import BOUNDS, Histogram
from pysaslauthd.front.metrics import Distribution, Family, Metric, Sample
from pysaslauthd.front.outcome import Way
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.status import Parts, Status

Labelled = tuple[tuple[str, ...], float]


class Observatory:
    """Sees all that can be counted; ``status`` knows what the master has told, as a front cannot count its own end."""

    def __init__(self, statistics: Statistics, parts: Parts, status: Status) -> None:
        self._statistics = statistics
        self._parts = parts
        self._status = status

    async def command(self, _order: Line) -> AsyncGenerator[Line, None]:
        """What administrators ask for as ``stats``: a line for each metric."""
        for family in self.families():
            yield exposition.as_json(family)

    def text(self) -> str:
        """All for Prometheus."""
        return exposition.as_text(self.families())

    def families(self) -> list[Family]:
        """All metrics with their values, in the order of :data:`~metrics.METRICS`."""
        values = {**self._of_logins(), **self._of_cache(), **self._of_workers(), **self._of_the_daemon()}
        return [Family(metric, values[metric]) for metric in metrics.METRICS]

    def _of_the_daemon(self) -> dict[Metric, tuple[Sample, ...]]:
        daemon = self._status.daemon
        return {
            metrics.BUILD: (Sample((__version__,), 1),),
            metrics.DAEMON_STARTED: _single(daemon.started),
            metrics.FRONT_STARTED: _single(self._status.began),
            metrics.FRONT_RESTARTS: _single(daemon.fronts_lost),
            metrics.WORKER_RESTARTS: _single(daemon.workers_lost),
            metrics.CLIENTS: _single(len(self._parts.house)),
        }

    def _of_logins(self) -> dict[Metric, tuple[Sample, ...]]:
        statistics = self._statistics
        logins = ((tuple(map(str, kind)), tally.count) for kind, tally in statistics.logins.items())
        return {
            metrics.LOGINS: _samples(logins),
            metrics.SHED: _samples(((reason,), count) for reason, count in statistics.shed.items()),
            **{metric: _single(getattr(statistics, metric.name)) for metric in metrics.PLAIN},
        }

    def _of_cache(self) -> dict[Metric, tuple[Sample, ...]]:
        gate = self._parts.gate
        return {
            metrics.CACHE_HITS: _single(self._statistics.total(way=Way.CACHE)),
            metrics.CACHE_ENTRIES: _single(gate.cache_size or 0),
            metrics.CACHE_CAPACITY: _single(gate.cache_capacity),
        }

    def _of_workers(self) -> dict[Metric, tuple[Sample, ...] | tuple[Distribution, ...]]:
        parts = self._parts
        counts = self._statistics.workers
        pools = zip(parts.names, parts.pools, strict=True)
        states = (((name, state), count) for name, pool in pools for state, count in pool.census().items())
        lost = (((name, cause), count) for name in parts.names for cause, count in counts[name].lost.items())
        return {
            metrics.QUEUED: self._each(map(len, parts.rooms)),
            metrics.WAITED: self._histograms(room.waited for room in parts.rooms),
            metrics.TOOK: self._histograms(room.took for room in parts.rooms),
            metrics.WORKERS: _samples(states),
            metrics.WORKERS_STARTED: self._each(counts[name].started for name in parts.names),
            metrics.WORKERS_RETIRED: self._each(counts[name].retired for name in parts.names),
            metrics.WORKERS_LOST: _samples(lost),
        }

    def _each(self, values: Iterable[float]) -> tuple[Sample, ...]:
        """One for each mechanism, in the order of the front's parts."""
        return _samples(((name,), value) for name, value in zip(self._parts.names, values, strict=True))

    def _histograms(self, histograms: Iterable[Histogram]) -> tuple[Distribution, ...]:
        named = zip(self._parts.names, histograms, strict=True)
        return tuple(
            Distribution((name,), BOUNDS, each.cumulative(), each.sum)
            for name, each in sorted(named, key=_name)
        )


def _name(named: tuple[str, Histogram]) -> str:
    return named[0]


def _single(value: float) -> tuple[Sample, ...]:
    return (Sample((), value),)


def _samples(values: Iterable[Labelled]) -> tuple[Sample, ...]:
    return tuple(sorted(Sample(labels, value) for labels, value in values))

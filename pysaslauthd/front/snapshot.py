"""The numbers of one moment, from all who have some."""

from collections.abc import AsyncGenerator, Callable, Iterable

from pysaslauthd import __version__
from pysaslauthd.core.control import Line
from pysaslauthd.front import exposition, metrics
from pysaslauthd.front.histogram import BOUNDS, Histogram
from pysaslauthd.front.metrics import Distribution, Family, Metric, Sample
from pysaslauthd.front.outcome import Way
from pysaslauthd.front.pool import Pool
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
        pools = self._parts.pools
        counts = self._statistics.workers
        states = (((each.name, state), count) for each in pools for state, count in each.census().items())
        lost = (
            ((each.name, cause), count) for each in pools for cause, count in counts[each.name].lost.items()
        )
        return {
            metrics.QUEUED: self._each(lambda pool: pool.waiting),
            metrics.WAITED: self._histograms(lambda pool: pool.waited),
            metrics.TOOK: self._histograms(lambda pool: pool.took),
            metrics.WORKERS: _samples(states),
            metrics.WORKERS_STARTED: self._each(lambda pool: counts[pool.name].started),
            metrics.WORKERS_RETIRED: self._each(lambda pool: counts[pool.name].retired),
            metrics.WORKERS_LOST: _samples(lost),
        }

    def _each(self, value: Callable[[Pool], float]) -> tuple[Sample, ...]:
        """One for each mechanism."""
        return _samples(((pool.name,), value(pool)) for pool in self._parts.pools)

    def _histograms(self, which: Callable[[Pool], Histogram]) -> tuple[Distribution, ...]:
        histograms = sorted((pool.name, which(pool)) for pool in self._parts.pools)
        return tuple(Distribution((name,), BOUNDS, each.cumulative(), each.sum) for name, each in histograms)


def _single(value: float) -> tuple[Sample, ...]:
    return (Sample((), value),)


def _samples(values: Iterable[Labelled]) -> tuple[Sample, ...]:
    return tuple(sorted(Sample(labels, value) for labels, value in values))

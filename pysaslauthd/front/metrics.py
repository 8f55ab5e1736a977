"""The numbers that the daemon tells of itself: each is declared here once, with what it means.

Table, live view, Prometheus text and JSON are made of these declarations, and a test compares the
manual page with them.
"""

import enum
from typing import NamedTuple

from pysaslauthd.front import statistics

PREFIX = "pysaslauthd_"


class Kind(enum.StrEnum):
    """What may be done with a number, in Prometheus' words."""

    COUNTER = "counter"
    """Only grows, from zero when the front starts."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One number, or one for each set of values of its labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> str:
        """Its name in Prometheus, which wants to be told whose it is, and a counter by its ending."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


class Sample(NamedTuple):
    """A value; ``labels`` are in the order of the metric's."""

    labels: tuple[str, ...]
    value: float


class Distribution(NamedTuple):
    """What a histogram holds: ``counts`` of those up to each of ``bounds``, the smaller ones included, and of all."""

    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """One more than there are bounds: the last is of all."""
    sum: float

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts[-1]

    def within(self, share: float) -> float:
        """The smallest bound up to which there are ``share`` of all; infinite if that is none of them."""
        wanted = share * self.total
        reached = (bound for bound, count in zip(self.bounds, self.counts, strict=False) if count >= wanted)
        return next(reached, float("inf"))


class Family(NamedTuple):
    """A metric with its values of one moment."""

    metric: Metric
    samples: tuple[Sample, ...] | tuple[Distribution, ...]


LOGINS = Metric(
    "logins",
    Kind.COUNTER,
    "Logins that got an answer, by who gave it, for which service, the verdict and how it was found.",
    ("mechanism", "service", "verdict", "way"),
)
SHED = Metric("shed", Kind.COUNTER, "Logins and clients turned away as there was no room.", ("reason",))
CACHE_HITS = Metric("cache_hits", Kind.COUNTER, "Logins answered from an entry of the cache.")
CACHE_ENTRIES = Metric("cache_entries", Kind.GAUGE, "Right passwords that the cache remembers.")
CACHE_CAPACITY = Metric("cache_capacity", Kind.GAUGE, "Entries that the cache has room for; 0 without one.")
CLIENTS = Metric("clients", Kind.GAUGE, "Clients that have a seat.")
QUEUED = Metric("queued", Kind.GAUGE, "Logins that wait for a worker.", ("mechanism",))
WAITED = Metric(
    "wait_seconds", Kind.HISTOGRAM, "Time that a login waited until a worker took it.", ("mechanism",)
)
TOOK = Metric(
    "mechanism_seconds",
    Kind.HISTOGRAM,
    "Time that a worker had a login, also one it was lost with.",
    ("mechanism",),
)
WORKERS = Metric("workers", Kind.GAUGE, "Workers by what they are doing.", ("mechanism", "state"))
WORKERS_STARTED = Metric("workers_started", Kind.COUNTER, "Workers that were started.", ("mechanism",))
WORKERS_RETIRED = Metric(
    "workers_retired",
    Kind.COUNTER,
    "Workers that did their share or were too many, and were sent away.",
    ("mechanism",),
)
WORKERS_LOST = Metric(
    "workers_lost",
    Kind.COUNTER,
    "Workers that died, or were killed for a deadline or a fault.",
    ("mechanism", "cause"),
)
FRONT_RESTARTS = Metric(
    "front_restarts", Kind.COUNTER, "Fronts that ended otherwise than they should, since the daemon's start."
)
WORKER_RESTARTS = Metric(
    "worker_restarts",
    Kind.COUNTER,
    "Workers that were lost since the daemon's start, those of earlier fronts too.",
)
FRONT_STARTED = Metric(
    "start_time_seconds", Kind.GAUGE, "When this front started, and its counters with it; seconds since 1970."
)
DAEMON_STARTED = Metric(
    "daemon_start_time_seconds", Kind.GAUGE, "When the daemon started; seconds since 1970."
)
BUILD = Metric("build_info", Kind.GAUGE, "Always 1; the label is what counts.", ("version",))

PLAIN = tuple(Metric(name, Kind.COUNTER, text) for name, text in statistics.PLAIN.items())
"""Those of :class:`Statistics` that have a number and nothing else."""

CACHE_MISSES = next(metric for metric in PLAIN if metric.name == "cache_misses")

METRICS = (
    BUILD,
    DAEMON_STARTED,
    FRONT_STARTED,
    FRONT_RESTARTS,
    WORKER_RESTARTS,
    LOGINS,
    SHED,
    *PLAIN,
    CACHE_HITS,
    CACHE_ENTRIES,
    CACHE_CAPACITY,
    CLIENTS,
    QUEUED,
    WAITED,
    TOOK,
    WORKERS,
    WORKERS_STARTED,
    WORKERS_RETIRED,
    WORKERS_LOST,
)
"""All, in the order in which they are shown."""

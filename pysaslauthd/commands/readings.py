"""The daemon's metrics as pysaslauthctl reads them, and what has happened between two readings."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pysaslauthd.front.metrics import FRONT_STARTED, Distribution, Family, Metric, Sample


class Reading:
    """All metrics of one moment. ``time``: of the reader's monotonic clock, in seconds."""

    def __init__(self, families: Iterable[Family], time: float) -> None:
        self._families = {family.metric.name: family for family in families}
        self.time = time

    def samples(self, metric: Metric) -> list[tuple[dict[str, str], float]]:
        """The values of a metric, each with its labels by their names."""
        family = self._families.get(metric.name)
        if family is None:
            return []  # of a daemon of another version
        return [
            (dict(zip(family.metric.labels, sample.labels, strict=True)), sample.value)
            for sample in family.samples
            if isinstance(sample, Sample)
        ]

    def total(self, metric: Metric) -> float:
        """All of its values together."""
        return sum(value for _, value in self.samples(metric))

    def totals(self, metric: Metric, *labels: str) -> Counter[tuple[str, ...]]:
        """Its values by some of its labels, those together that differ only in others."""
        totals: Counter[tuple[str, ...]] = Counter()
        for named, value in self.samples(metric):
            totals[tuple(named.get(label, "") for label in labels)] += int(value)
        return totals

    def distribution(self, metric: Metric, label: str) -> Distribution | None:
        """The histogram of the only label's value ``label``, if there is one."""
        family = self._families.get(metric.name)
        found = (
            sample
            for sample in (family.samples if family else ())
            if isinstance(sample, Distribution) and sample.labels == (label,)
        )
        return next(found, None)


class Between(NamedTuple):
    """Two readings of the same front, or of none before ``after``."""

    before: Reading | None
    after: Reading

    @classmethod
    def of(cls, before: Reading | None, after: Reading) -> "Between":
        """What may be compared: a front that has started anew counts from zero."""
        is_same = before is not None and before.total(FRONT_STARTED) == after.total(FRONT_STARTED)
        return cls(before if is_same else None, after)

    @property
    def seconds(self) -> float:
        """From one to the other; infinite if there is only one, so that nothing has a rate."""
        return self.after.time - self.before.time if self.before else float("inf")

    def growth(self, metric: Metric, *labels: str) -> Counter[tuple[str, ...]]:
        """By how much the values have grown, by some labels."""
        growth = self.after.totals(metric, *labels)
        growth.subtract(self.before.totals(metric, *labels) if self.before else growth)
        return growth

    def distribution(self, metric: Metric, label: str) -> Distribution | None:
        """The part of a histogram that has come since; None if nothing has."""
        before = self.before.distribution(metric, label) if self.before else None
        after = self.after.distribution(metric, label)
        if before is None or after is None or after.total == before.total or before.bounds != after.bounds:
            return None
        counts = tuple(a - b for a, b in zip(after.counts, before.counts, strict=True))
        return after._replace(counts=counts, sum=after.sum - before.sum)

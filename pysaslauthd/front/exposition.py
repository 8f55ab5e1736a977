"""Metrics as others read them: Prometheus' text and JSON, which is also how pysaslauthctl hears them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pysaslauthd.front.metrics import PREFIX, Distribution, Family, Kind, Metric, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ALL = "+Inf"
"""The bound of the bucket that has them all."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPES_OF_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def as_text(families: Iterable[Family]) -> str:
    """Prometheus' text format, version 0.0.4."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    metric = family.metric
    yield f"# HELP {metric.exposed} {metric.help.translate(_ESCAPES_OF_HELP)}"
    yield f"# TYPE {metric.exposed} {metric.kind}"
    for sample in family.samples:
        labels = dict(zip(metric.labels, sample.labels, strict=True))
        if isinstance(sample, Sample):
            yield _line(metric.exposed, labels, sample.value)
            continue
        for bound, count in buckets(sample):
            yield _line(f"{metric.exposed}_bucket", {**labels, "le": bound}, count)
        yield _line(f"{metric.exposed}_sum", labels, sample.sum)
        yield _line(f"{metric.exposed}_count", labels, sample.total)


def buckets(sample: Distribution) -> Iterator[tuple[str, int]]:
    """The bounds of a histogram as Prometheus writes them, each with how many there were up to it."""
    yield from zip(map(_number, (*sample.bounds, math.inf)), sample.counts, strict=True)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return _ALL
    return repr(value) if value != int(value) else str(int(value))


def as_json(family: Family) -> dict[str, Any]:
    """A family as an object of JSON, which says all that is to be known of it."""
    metric = family.metric
    return {
        "name": metric.exposed,
        "kind": str(metric.kind),
        "help": metric.help,
        "labels": list(metric.labels),
        "samples": [
            {"labels": dict(zip(metric.labels, sample.labels, strict=True)), **_values(sample)}
            for sample in family.samples
        ],
    }


def _values(sample: Sample | Distribution) -> dict[str, Any]:
    if isinstance(sample, Sample):
        return {"value": sample.value}
    return {"buckets": dict(buckets(sample)), "sum": sample.sum, "count": sample.total}


def from_json(line: Mapping[str, Any]) -> Family:
    """What :func:`as_json` made the object of, by a daemon that may be of another version.

    :raises ValueError: it made no such object.
    """
    try:
        name, kind = str(line["name"]), Kind(line["kind"])
        metric = Metric(
            name.removeprefix(PREFIX).removesuffix("_total" if kind is Kind.COUNTER else ""),
            kind,
            str(line["help"]),
            tuple(map(str, line["labels"])),
        )
        read = _distribution if kind is Kind.HISTOGRAM else _sample
        return Family(metric, tuple(read(metric, each) for each in line["samples"]))  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no metric: {type(error).__name__}") from None


def _sample(metric: Metric, sample: Mapping[str, Any]) -> Sample:
    return Sample(_label_values(metric, sample), float(sample["value"]))


def _distribution(metric: Metric, sample: Mapping[str, Any]) -> Distribution:
    buckets = sample["buckets"]
    bounds = tuple(float(bound) for bound in buckets if bound != _ALL)
    counts = tuple(int(count) for count in buckets.values())
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"no metric: buckets without {_ALL}")
    return Distribution(_label_values(metric, sample), bounds, counts, float(sample["sum"]))


def _label_values(metric: Metric, sample: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(sample["labels"][label]) for label in metric.labels)

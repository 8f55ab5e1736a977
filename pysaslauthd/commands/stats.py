"""``pysaslauthctl stats``: the daemon's metrics, once."""

import argparse
import json
from collections.abc import Iterator

from pysaslauthd.commands.control_client import ControlError, show, told
from pysaslauthd.commands.top_view import moment_in_words, seconds_in_words
from pysaslauthd.front import exposition
from pysaslauthd.front.metrics import DAEMON_STARTED, FRONT_STARTED, Distribution, Family, Metric, Sample

_MOMENTS = {DAEMON_STARTED.name, FRONT_STARTED.name}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The forms other than the table."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="as a list in JSON")
    forms.add_argument("--prometheus", action="store_true", help="as text for Prometheus")


def run(given: argparse.Namespace) -> None:
    """Print them."""
    families = ask(given)
    if given.prometheus:
        for line in exposition.as_text(families).removesuffix("\n").split("\n"):
            show(line)
    elif given.json:
        print(json.dumps([exposition.as_json(family) for family in families], indent=1))
    else:
        for line in _table(families):
            show(line)


def ask(given: argparse.Namespace, timeout: float | None = None) -> list[Family]:
    """All metrics, as the daemon tells them; ``timeout`` in seconds, if not the usual one.

    :raises ControlError: it does not.
    """
    try:
        return [exposition.from_json(line) for line in told(given, {"do": "stats"}, timeout)]
    except ValueError as error:
        raise ControlError(f"not understood, the daemon may be of another version: {error}") from None


def _table(families: list[Family]) -> Iterator[str]:
    rows = [row for family in families for row in _rows(family)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, labels, value in rows:
        yield f"{name:<{widths[0]}}  {labels:<{widths[1]}}  {value}"


def _rows(family: Family) -> Iterator[tuple[str, str, str]]:
    metric = family.metric
    if not family.samples:
        yield metric.name, "", "none"
    for sample in family.samples:
        pairs = zip(metric.labels, sample.labels, strict=True)
        yield metric.name, " ".join(f"{label}={text}" for label, text in pairs), _shown(metric, sample)


def _shown(metric: Metric, sample: Sample | Distribution) -> str:
    if isinstance(sample, Sample):
        return moment_in_words(sample.value) if metric.name in _MOMENTS else f"{sample.value:.0f}"
    if not sample.total:
        return "0"
    mean = seconds_in_words(sample.sum / sample.total)
    shares = (f"{share:.0%} within {seconds_in_words(sample.within(share))}" for share in (0.5, 0.99))
    return f"{sample.total}: mean {mean}, {', '.join(shares)}"

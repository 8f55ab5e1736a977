"""Metrics as others read them: Prometheus' text by its own parser, and JSON read back."""

import json
import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pysaslauthd.front import exposition
from pysaslauthd.front.metrics import METRICS, PREFIX, Distribution, Family, Kind, Metric, Sample

COUNTER = Metric("logins", Kind.COUNTER, "Logins,\nwith a \\ in it.", ("service", "way"))
GAUGE = Metric("clients", Kind.GAUGE, "Clients.")
HISTOGRAM = Metric("wait_seconds", Kind.HISTOGRAM, "Waits.", ("mechanism",))

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, 1 << 53) | st.floats(0, 1e12)


def families(texts: Iterable[str] = ("imap",), value: float = 3) -> list[Family]:
    services = sorted(set(texts))
    bounds, counts = (0.0005, 1.0, 30.0), (1, 2, 2, 5)
    return [
        Family(COUNTER, tuple(Sample((text, "cache"), value) for text in services)),
        Family(GAUGE, (Sample((), value),)),
        Family(HISTOGRAM, tuple(Distribution((text,), bounds, counts, 99.25) for text in services)),
    ]


@given(st.lists(TEXTS), NUMBERS)
def test_prometheus_parser_reads_what_was_meant(texts: list[str], value: float) -> None:
    given_families = families(texts, value)
    text = exposition.as_text(given_families)
    logins, clients, waits = text_string_to_metric_families(text)
    assert (logins.name, logins.type) == (f"{PREFIX}logins", "counter")
    assert logins.documentation == COUNTER.help
    read = {(sample.labels["service"], sample.labels["way"]): sample.value for sample in logins.samples}
    assert read == {(service, "cache"): value for service in set(texts)}
    assert {sample.name for sample in logins.samples} <= {f"{PREFIX}logins_total"}
    assert [sample.value for sample in clients.samples] == [value]
    assert (waits.name, waits.type) == (f"{PREFIX}wait_seconds", "histogram")
    for service in set(texts):
        mine = [sample for sample in waits.samples if sample.labels["mechanism"] == service]
        buckets = {
            float(sample.labels["le"]): sample.value for sample in mine if sample.name.endswith("_bucket")
        }
        assert buckets == {0.0005: 1, 1.0: 2, 30.0: 2, math.inf: 5}
        rest = {sample.name.rpartition("_")[2]: sample.value for sample in mine if "le" not in sample.labels}
        assert rest == {"sum": 99.25, "count": 5}


def test_every_line_ends_and_none_is_empty() -> None:
    text = exposition.as_text(families())
    assert text.endswith("\n")
    assert all(text.splitlines())


@given(st.lists(TEXTS, min_size=1), NUMBERS)
def test_json_is_read_back(texts: list[str], value: float) -> None:
    for family in families(texts, value):
        assert exposition.from_json(json.loads(json.dumps(exposition.as_json(family)))) == family


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"name": 1, "kind": "counter", "help": "", "labels": [], "samples": 7},
        {"name": "x", "kind": "summary", "help": "", "labels": [], "samples": []},
        {"name": "x", "kind": "gauge", "help": "", "labels": ["a"], "samples": [{"labels": {}, "value": 1}]},
        {"name": "x", "kind": "gauge", "help": "", "labels": [], "samples": [{"labels": {}, "value": "one"}]},
        {"name": "x", "kind": "gauge", "help": "", "labels": [], "samples": [3]},
        {
            "name": "x",
            "kind": "histogram",
            "help": "",
            "labels": [],
            "samples": [{"labels": {}, "sum": 1, "buckets": {"0.5": 1}}],
        },
    ],
)
def test_what_is_no_metric_is_an_error_of_one_kind(line: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no metric|valid|could not convert"):
        exposition.from_json(line)


class TestADistribution:
    def test_knows_within_what_most_are(self) -> None:
        waits = Distribution((), (0.1, 1.0, 10.0), (90, 98, 99, 100), 50.0)
        assert waits.within(0.5) == waits.within(0.9) == 0.1
        assert waits.within(0.98) == 1.0
        assert waits.within(0.99) == 10.0
        assert waits.within(1.0) == math.inf


class TestWhatIsDeclared:
    def test_is_named_once(self) -> None:
        names = [metric.exposed for metric in METRICS]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_is_explained_in_a_sentence(self, metric: Metric) -> None:
        assert metric.help.endswith(".")
        assert metric.help[0].isupper()
        assert "\n" not in metric.help

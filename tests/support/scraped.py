"""Metrics as Prometheus reads them."""

import urllib.request
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from support import mux
from support.controlled import ctl
from support.daemon import Daemon
from support.tcp_ports import HOST


class Metrics(NamedTuple):
    """The samples of a text, by name and labels. Names are given without ``pysaslauthd_``."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    @classmethod
    def of(cls, text: str) -> "Metrics":
        families = text_string_to_metric_families(text)
        return cls(
            tuple((sample.name, sample.labels, sample.value) for each in families for sample in each.samples)
        )

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(
            value
            for each, named, value in self.samples
            if each == f"pysaslauthd_{name}" and labels.items() <= named.items()
        )

    def values(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {named[label] for each, named, _ in self.samples if each == f"pysaslauthd_{name}"}

    def since(self, before: "Metrics", name: str, **labels: str) -> float:
        """By how much it has grown."""
        return self(name, **labels) - before(name, **labels)


def metrics(daemon: Daemon) -> Metrics:
    """What ``pysaslauthctl stats --prometheus`` prints."""
    told = ctl(daemon.run_path, "stats", "--prometheus")
    assert (told.status, told.error) == (0, "")
    return Metrics.of(told.out)


def in_file(path: Path) -> Metrics:
    return Metrics.of(path.read_text())


def by_http(port: int, path: str = "/metrics", accept: str = "") -> str:
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=mux.TIMEOUT) as response:
        text: bytes = response.read()
        return text.decode()

"""The benchmarks start what they need and count what they should. No figure is judged: the machine is not ours alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.directory import need_slapd
from support import processes
from support.namespaces import need_namespaces
from support.packages import need_program
from support.waiting import wait_until

TESTS = Path(__file__).parents[1]


@pytest.fixture
def place() -> Iterator[Path]:
    """The directory for temporary files of a benchmark; all that it starts knows its name."""
    need_program("saslauthd", "sasl2-bin")
    need_program("gcc", "gcc")
    need_namespaces()
    # Not tmp_path: a socket's path has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="psb-test-"))
    yield directory
    for process in family(directory):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    shutil.rmtree(directory)


def test_a_case_on_a_small_scale(place: Path) -> None:
    case, table = measured_case(place, "shadow-md5-5")

    (comparison,) = case["comparisons"]
    medians = [case["runs"][name]["medians"]["rate"] for name in ("ours", "saslauthd")]
    assert [comparison["subject"]["median"], comparison["base"]["median"]] == medians
    assert comparison["ratio"] == medians[0] / medians[1]
    assert "ours / saslauthd" in table


def test_a_directory_far_away(place: Path) -> None:
    need_slapd()

    case, _ = measured_case(place, "ldap-far-64")

    runs = {name: run["rounds"][0] for name, run in case["runs"].items()}
    # Two round trips of 20 ms each, and one more as the original binds its account each time.
    assert runs["ours"]["p50"] >= 40_000
    assert runs["saslauthd"]["p50"] >= 60_000
    programs = {name: {key for key in run if key.startswith("cpu_")} for name, run in runs.items()}
    assert programs["saslauthd"] == {"cpu_saslauthd", "cpu_slapd", "cpu_far"}
    assert programs["ours"] > {"cpu_pysasl-ldap", "cpu_pysasl-front", "cpu_slapd", "cpu_far"}
    assert min(run["cpu_slapd"] for run in runs.values()) > 0


def test_who_is_told_to_end_leaves_nothing_behind(place: Path) -> None:
    need_slapd()
    bench = started(place, "--case", "ldap-far-64", "--seconds", "600")
    try:
        wait_until(lambda: {"slapd", "far", "saslauthd"} <= {p.name for p in family(place)}, "all is there")
        wait_until(lambda: any(p.name.startswith("loadgen") for p in family(place)), "the load begins")
    finally:
        bench.terminate()
        bench.communicate(timeout=30)

    assert bench.returncode == 1
    assert not family(place)
    assert not list(place.iterdir())


def measured_case(place: Path, name: str) -> tuple[Any, str]:
    """What one short round of the case found, and the table. Everybody heard what is to be heard."""
    figures = place / "figures.json"
    bench = started(place, "--case", name, "--rounds", "1", "--seconds", "0.3", "--json", str(figures))
    table, complaint = bench.communicate(timeout=60)

    assert bench.returncode == 0, complaint
    (case,) = json.loads(figures.read_text())["cases"]
    assert list(case["runs"]) == ["saslauthd", "ours"]
    for run in case["runs"].values():
        (measured,) = run["rounds"]
        assert measured["ok"] > 0
        assert {measured[kind] for kind in ("no", "closed", "other", "errors")} == {0}
        assert 0 < measured["p50"] <= measured["p99"] <= measured["max"]
        assert measured["start"] > 0
    assert not family(place)
    assert list(place.iterdir()) == [figures]
    return case, table


def started(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(place: Path) -> list[processes.Process]:
    """The processes that a benchmark with its files in ``place`` has started, by their command or environment."""
    word = str(place).encode()
    return [process for process in processes.all_processes() if word in _words(process.pid)]


def _words(pid: int) -> bytes:
    words = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            words += Path(f"/proc/{pid}/{name}").read_bytes()
    return words

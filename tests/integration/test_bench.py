"""The benchmarks start what they need and count what they should. No figure is judged: the machine is not ours alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.namespaces import need_namespaces
from support.packages import need_program

TESTS = Path(__file__).parents[1]


def test_a_case_on_a_small_scale(tmp_path: Path) -> None:
    need_program("saslauthd", "sasl2-bin")
    need_program("gcc", "gcc")
    need_namespaces()
    figures = tmp_path / "figures.json"

    chosen = ["--case", "shadow-md5-5", "--rounds", "1", "--seconds", "0.3", "--json", str(figures)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *chosen],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    (case,) = json.loads(figures.read_text())["cases"]
    assert list(case["runs"]) == ["saslauthd", "ours"]
    for run in case["runs"].values():
        (measured,) = run["rounds"]
        assert measured["ok"] > 0
        assert {measured[kind] for kind in ("no", "closed", "other", "errors")} == {0}
        assert 0 < measured["p50"] <= measured["p99"] <= measured["max"]
        assert measured["start"] > 0
    (comparison,) = case["comparisons"]
    medians = [case["runs"][name]["medians"]["rate"] for name in ("ours", "saslauthd")]
    assert [comparison["subject"]["median"], comparison["base"]["median"]] == medians
    assert comparison["ratio"] == medians[0] / medians[1]
    assert "ours / saslauthd" in done.stdout

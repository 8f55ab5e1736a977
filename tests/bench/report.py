"""The table for a reader and the JSON for a program."""

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pysaslauthd
from bench.model import UNITS
from bench.runner import ATTACK, CPU, Measurement, Outcome, Verdict
from support.packages import need_program

_LATENCIES = {"p50": "p50 us", "p99": "p99 us", "p999": "p99.9 us", "max": "longest"}
_ANSWERS = ("ok", "no", "closed", "other", "errors")


def tables(outcomes: Sequence[Outcome]) -> str:
    """What was measured, then what that means."""
    runs = [_run_row(outcome, name) for outcome in outcomes for name in outcome.case.runs]
    ratios = [_ratio_row(outcome, verdict) for outcome in outcomes for verdict in outcome.verdicts()]
    errors = [
        f"{outcome.case.name} could not be measured: {outcome.error}" for outcome in outcomes if outcome.error
    ]
    return "\n".join(
        [
            *_aligned(
                [
                    "case",
                    "run",
                    "logins/s, median (each round)",
                    *_LATENCIES.values(),
                    "start s",
                    "MB",
                    "CPU us a login",
                    "attackers heard",
                    "not as expected",
                ],
                runs,
            ),
            "",
            *_aligned(["case", "compared", "medians", "ratio", "target", ""], ratios),
            *errors,
        ]
    )


def document(outcomes: Sequence[Outcome], rounds: int) -> dict[str, Any]:
    """All figures, each round's too. A ratio to nothing is null."""
    return {
        "machine": _machine(),
        "rounds": rounds,
        "cases": [
            {
                "name": outcome.case.name,
                "shows": outcome.case.shows,
                "error": outcome.error or None,
                "runs": {
                    name: {"medians": _medians(outcome, name, rows), "rounds": rows}
                    for name, rows in outcome.rounds.items()
                },
                "comparisons": [_comparison(verdict) for verdict in outcome.verdicts()],
            }
            for outcome in outcomes
        ],
    }


def _comparison(verdict: Verdict) -> dict[str, Any]:
    comparison = verdict.comparison
    ratio = verdict.ratio
    _, of_base = comparison.figures
    return {
        "figure": comparison.figure.value,
        "unit": UNITS[comparison.figure],
        "subject": {"run": comparison.subject, "median": verdict.subject},
        "base": {"run": comparison.base, "figure": of_base.value, "median": verdict.base}
        if comparison.base
        else None,
        "ratio": ratio if ratio is not None and math.isfinite(ratio) else None,
        "target": comparison.target,
        "target_is": "most" if comparison.is_limit else "least",
        "reached": verdict.is_reached,
    }


def _medians(outcome: Outcome, name: str, rows: Iterable[Measurement]) -> dict[str, float | None]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: outcome.median(name, key) for key in keys}


def _run_row(outcome: Outcome, name: str) -> list[str]:
    rows = outcome.rounds[name]
    rates = ", ".join(_number(row["rate"]) for row in rows if "rate" in row)
    rate = outcome.median(name, "rate")
    return [
        outcome.case.name,
        name,
        "" if rate is None else f"{_number(rate)} ({rates})",
        *(_number(outcome.median(name, key)) for key in (*_LATENCIES, "start", "memory")),
        _processors(outcome, name),
        _attackers(outcome, name),
        _surprises(outcome, name),
    ]


def _processors(outcome: Outcome, name: str) -> str:
    """What a login took of each program's time, the most first; less than a microsecond is nothing."""
    keys = dict.fromkeys(key for row in outcome.rounds[name] for key in row if key.startswith(CPU))
    taken = {key: outcome.median(name, key) or 0 for key in keys}
    shown = sorted((key for key in keys if taken[key] >= 1), key=lambda key: -taken[key])
    return ", ".join(f"{key.removeprefix(CPU)} {taken[key]:.0f}" for key in shown)


def _attackers(outcome: Outcome, name: str) -> str:
    """What they were told, in all rounds; a close alone is an answer too."""
    totals = {kind: sum(row.get(f"{ATTACK}{kind}", 0) for row in outcome.rounds[name]) for kind in _ANSWERS}
    return ", ".join(f"{total:,.0f} {kind}" for kind, total in totals.items() if total)


def _surprises(outcome: Outcome, name: str) -> str:
    """Answers that were not what the clients, or the attackers, have to expect."""
    run = outcome.case.runs[name]
    totals = {
        f"{prefix}{kind}": sum(row.get(f"{prefix}{kind}", 0) for row in outcome.rounds[name])
        for prefix, load in (("", run.load), (ATTACK, run.attack))
        for kind in _ANSWERS
        if load is not None and kind not in load.expect
    }
    return ", ".join(f"{total:.0f} {kind}" for kind, total in totals.items() if total)


def _ratio_row(outcome: Outcome, verdict: Verdict) -> list[str]:
    comparison = verdict.comparison
    sign = "at most" if comparison.is_limit else "at least"
    return [
        outcome.case.name,
        " / ".join(filter(None, (comparison.subject, comparison.base))),
        _medians_compared(verdict),
        _number(verdict.ratio),
        "" if comparison.target is None else f"{sign} {comparison.target:g}",
        {True: "reached", False: "missed", None: ""}[verdict.is_reached],
    ]


def _medians_compared(verdict: Verdict) -> str:
    """With the unit once, if it is one."""
    of_subject, of_base = (UNITS[figure] for figure in verdict.comparison.figures)
    subject = _number(verdict.subject)
    if verdict.base is None:
        return f"{subject} {of_subject}"
    if of_subject == of_base:
        return f"{subject} / {_number(verdict.base)} {of_base}"
    return f"{subject} {of_subject} / {_number(verdict.base)} {of_base}"


def _number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "infinite"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pysaslauthd": pysaslauthd.__version__,
        "saslauthd": _original_version(),
    }


def _original_version() -> str:
    done = subprocess.run(
        [need_program("saslauthd", "sasl2-bin"), "-v"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=30,
    )
    lines = done.stdout.decode(errors="replace").splitlines()
    return lines[0] if lines else ""

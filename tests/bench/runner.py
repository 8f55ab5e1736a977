"""Runs in turn, and what came out."""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.daemons import Daemon, is_worker
from bench.errors import BenchError
from bench.generator import Generator
from bench.laps import run_laps
from bench.model import Case, Comparison, Figure, Load, Program, Run
from bench.surroundings import Surroundings, prepared
from bench.trouble import trouble_ahead
from bench.usage import Usage

WARMUP = 0.5
"""Seconds before logins count: caches of the kernel and of the daemon's processes are warm by then."""

ATTACK_LEAD = 2.5
"""Seconds between the begin of an attack and of what it disturbs: longer than the delay of a wrong password, so that
the attackers come as they will come from then on."""

WHOLE_LIMIT = 60.0
"""Seconds for a load that is so many logins."""

ATTACK = "attack_"

CPU = "cpu_"

UNKNOWN = "nobody-at-all"

Measurement = Mapping[str, float]
"""One run in one round: what the generator counted, ``start`` (s) and ``memory`` (MB). What the generator of the attack
counted stands beside it, under names with :data:`ATTACK` in front. Names with :data:`CPU` in front of a process's name
are the microseconds of CPU that it took for each login answered; a slapd is among them, and they are missing under
attack, as nobody knows whom they were for. ``checking`` is the CPU of all workers, in seconds, for all logins. What runs
with laps add is said in :mod:`bench.laps`."""


class Verdict(NamedTuple):
    """How a comparison came out. ``ratio`` is infinite where the base is 0."""

    comparison: Comparison
    subject: float
    base: float | None
    ratio: float | None

    @property
    def is_reached(self) -> bool | None:
        """None where nothing was to be reached."""
        target = self.comparison.target
        value = self.subject if self.ratio is None else self.ratio
        if target is None:
            return None
        return value <= target if self.comparison.is_limit else value >= target


class Outcome(NamedTuple):
    """A case: each run's measurements, a round after the other, or what kept them from being made."""

    case: Case
    rounds: Mapping[str, list[Measurement]]
    error: str = ""

    def median(self, run: str, key: str) -> float | None:
        """Of the rounds that have this figure."""
        values = [measured[key] for measured in self.rounds[run] if key in measured]
        return statistics.median(values) if values else None

    def verdicts(self) -> Iterator[Verdict]:
        """One for each comparison whose figures are there."""
        for comparison in self.case.comparisons:
            of_subject, of_base = (figure.value for figure in comparison.figures)
            subject = self.median(comparison.subject, of_subject)
            base = self.median(comparison.base, of_base) if comparison.base else None
            if subject is None or (comparison.base and base is None):
                continue
            yield Verdict(comparison, subject, base, None if base is None else _ratio(subject, base))


def measure(case: Case, rounds: int, seconds: float | None) -> Outcome:
    """All runs of a case, ``rounds`` times in turn. What goes wrong ends this case, not the others."""
    measured: dict[str, list[Measurement]] = {name: [] for name in case.runs}
    turns = 1 if any(run.laps for run in case.runs.values()) else rounds
    try:
        with ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="psb-files-"))
            surroundings = stack.enter_context(prepared(case, Path(directory)))
            for number in range(turns):
                for name, run in case.runs.items():
                    _say(f"{case.name}, round {number + 1} of {turns}: {name}")
                    measured[name].append(_measure_run(case, run, surroundings, seconds or case.seconds))
    except (BenchError, TimeoutError) as error:
        return Outcome(case, measured, str(error))
    return Outcome(case, measured)


def _measure_run(case: Case, run: Run, surroundings: Surroundings, seconds: float) -> Measurement:
    login = case.users[0].logins[0] if case.users else UNKNOWN
    with (
        trouble_ahead(run.trouble, surroundings) as (found, begin_trouble),
        Daemon(run, found, login) as daemon,
    ):
        measured = {"start": daemon.start_seconds}
        memory = daemon.memory()
        if memory:
            measured["memory"] = sum(memory.values())
        begin_trouble()
        if run.load is None:
            return measured
        if run.laps:
            return {**measured, **run_laps(daemon, run.load, run.laps)}
        if run.attack is not None:
            # The original may answer nobody as long as it is attacked.
            is_patient = run.program is Program.OURS
            counted = _load_under_attack(daemon, run.load, run.attack, seconds, is_patient=is_patient)
            return {**measured, **counted}
        if run.load.logins:
            return {**measured, **_whole_load(daemon, run.load, seconds)}
        return {**measured, **_load(daemon, run.load, seconds)}


def _load_under_attack(
    daemon: Daemon, load: Load, attack: Load, seconds: float, *, is_patient: bool
) -> Measurement:
    longer = ATTACK_LEAD + WARMUP + seconds + 60
    with Generator(daemon.mux, attack, longer, ATTACK_LEAD) as attackers:
        time.sleep(ATTACK_LEAD)
        with Generator(daemon.mux, load, seconds, WARMUP, is_patient=is_patient) as generator:
            measured = generator.result()
        return measured | {f"{ATTACK}{key}": value for key, value in attackers.end().items()}


def _load(daemon: Daemon, load: Load, seconds: float) -> Measurement:
    with Generator(daemon.mux, load, seconds, WARMUP, is_patient=True) as generator:
        time.sleep(WARMUP)
        usage = Usage(besides=generator.pid)
        counted = generator.result()
        return {**counted, **_spent(usage, counted)}


def _whole_load(daemon: Daemon, load: Load, seconds: float) -> Measurement:
    """Without a warm-up, as each login counts."""
    usage = Usage()
    with Generator(daemon.mux, load, max(seconds, WHOLE_LIMIT), 0) as generator:
        counted = generator.result()
        return {**counted, **_spent(usage, counted)}


def _spent(usage: Usage, counted: Measurement) -> Measurement:
    spent = usage.spent()
    answered = counted["ok"] + counted["no"]
    figures = {f"{CPU}{name}": s * 1e6 / answered for name, s in spent.items() if answered}
    workers = [seconds for name, seconds in spent.items() if is_worker(name)]
    return {**figures, Figure.CHECKING.value: sum(workers)} if workers else figures


def _ratio(subject: float, base: float) -> float:
    return subject / base if base else float("inf")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")

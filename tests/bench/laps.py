"""The same users again and again, and the memory of the daemon all the while."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from bench.daemons import FRONT, Daemon
from bench.errors import BenchError
from bench.generator import Generator
from bench.model import Figure, Load

_LIMIT = 3600.0
_INTERVAL = 1.0
"""Seconds from one look at the memory to the next."""

_COUNTS = ("seconds", "ok", "no", "closed", "other", "errors", "unfinished")

MEMORY_OF_LAP, FRONT_OF_LAP = "memory_", "front_"


class _Lap(NamedTuple):
    counted: Mapping[str, float]
    memory: float
    front: float


def run_laps(daemon: Daemon, load: Load, laps: int) -> dict[str, float]:
    """What the generator counted in all of them, without latencies; under :data:`MEMORY_OF_LAP` and the number of
    a lap, the megabytes (PSS) of all processes in it, and under :data:`FRONT_OF_LAP` those of our front. Each is a
    median, as a worker and its successor are there at the same time for a moment.

    ``growth`` and ``front_growth`` are the most of the second half of the laps over the most of the first half, in
    which each user has logged in and a cache has become as full as it can.

    :raises BenchError: nobody tells us about memory.
    """
    done = [_run_lap(daemon, load) for _ in range(laps)]
    memory, front = [lap.memory for lap in done], [lap.front for lap in done]
    total = {name: sum(lap.counted[name] for lap in done) for name in _COUNTS}
    return {
        **total,
        "rate": total["ok"] / total["seconds"],
        **{f"{MEMORY_OF_LAP}{number}": megabytes for number, megabytes in enumerate(memory, start=1)},
        **{f"{FRONT_OF_LAP}{number}": megabytes for number, megabytes in enumerate(front, start=1)},
        Figure.GROWTH.value: _growth(memory),
        Figure.FRONT_GROWTH.value: _growth(front),
    }


def _run_lap(daemon: Daemon, load: Load) -> _Lap:
    looks = []
    with Generator(daemon.mux, load, _LIMIT, 0) as generator:
        is_over = False
        while not is_over:
            is_over = generator.is_over(_INTERVAL)
            looks.append(daemon.memory())
        counted = generator.result()
    if not all(looks):
        raise BenchError("the kernel does not tell us about the daemon's memory")
    return _Lap(
        counted,
        statistics.median(sum(look.values()) for look in looks),
        statistics.median(look.get(FRONT, 0.0) for look in looks),
    )


def _growth(laps: list[float]) -> float:
    middle = len(laps) // 2
    return max(laps[middle:]) / max(laps[:middle])

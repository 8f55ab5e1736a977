"""The load generator as a process of its own."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.compiler import compiled
from bench.errors import BenchError
from bench.model import Load

_PATIENCE = 60.0
"""Seconds that a generator may take beyond its time, on a machine that has no time for it."""


class Generator:
    """``load`` on the socket ``mux``, ``seconds`` long after a warm-up. It runs from here on.

    ``is_patient``: it goes on after that until a login is answered, without which there is nothing to measure.
    """

    def __init__(
        self, mux: Path, load: Load, seconds: float, warmup: float, *, is_patient: bool = False
    ) -> None:
        words = {
            "socket": mux,
            "clients": load.clients,
            "seconds": seconds,
            "warmup": warmup,
            "login": load.users.login,
            "users": load.users.number,
            "password": load.password,
            "service": load.service,
            "realm": load.realm,
            "pause": load.pause,
            **({"logins": load.logins} if load.logins else {}),
        }
        flags = {"silent": load.is_silent, "patient": is_patient}
        options = [f"--{name}={value}" for name, value in words.items()]
        options += [f"--{flag}" for flag, is_set in flags.items() if is_set]
        self._expected = load.expect
        self._limit = warmup + seconds + _PATIENCE
        self._process = subprocess.Popen(
            [compiled("loadgen"), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def is_over(self, seconds: float) -> bool:
        """Whether it ends within so many."""
        try:
            self._process.wait(seconds)  # its line of JSON fits into the pipe
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self) -> dict[str, float]:
        """What it counted, when its time is over. Latencies are in microseconds, and missing without answers."""
        try:
            output, complaint = self._process.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            raise BenchError(f"the load generator did not end within {self._limit:.0f} s") from None
        if self._process.returncode != 0:
            raise BenchError(complaint.decode(errors="replace").strip() or "the load generator was killed")
        counted: dict[str, float] = json.loads(output)
        expected = sum(counted[outcome] for outcome in self._expected)
        seconds = counted["seconds"]
        return {**counted, "rate": expected / seconds if seconds > 0 else 0.0}

    def end(self) -> dict[str, float]:
        """The same, now."""
        self._process.terminate()
        return self.result()

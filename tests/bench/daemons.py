"""A daemon, ours or another, from its start to its certain end."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.compiler import compiled
from bench.errors import BenchError
from bench.model import RIGHT, Program, Run
from bench.surroundings import Surroundings
from support import mux
from support.namespaces import inside
from support.packages import need_program
from support.processes import Process, all_processes, descendants
from support.waiting import wait_until

_PR_SET_CHILD_SUBREAPER = 36
_START_LIMIT = 20.0
FRONT = "pysasl-front"
_OTHERS = {"pysasl-master", FRONT}
_SETTLED = 0.3
"""Seconds without a new process: then all of them are there."""


def adopt_orphans() -> None:
    """Have this process be the parent of what its children leave behind: how else find a daemon that detached."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise BenchError(f"cannot adopt orphans: {os.strerror(ctypes.get_errno())}")


class Daemon:
    """Runs from ``__enter__``, which returns at the first answer. One at a time, as its end is the end of all children
    that were not there before it.

    The original is left to detach, as it does on a server: in the foreground it prints a line for each login.
    Ours detached would be the same as in the foreground. Both say on syslog what they have to say there.

    :param login: asked for the first answer, with the right password.
    """

    def __init__(self, run: Run, surroundings: Surroundings, login: str) -> None:
        # A socket's path has 107 bytes, so it is in none of the deeper directories that there are.
        self.directory = Path(tempfile.mkdtemp(prefix="psb-"))
        self.mux = self.directory / "mux"
        self.start_seconds = 0.0
        command = _command(run.program, self.directory, (*run.arguments, *surroundings.arguments))
        self._command = inside(command, binds=surroundings.binds) if surroundings.binds else command
        self._login = login.encode()
        self._first = run.first
        self._others = {process.pid for process in descendants(os.getpid())}
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
            wait_until(self._is_settled, "all processes are there")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def memory(self) -> Mapping[str, float]:
        """Megabytes (PSS) of the processes of each name; none at all if the kernel does not tell us.

        What they share with a process of another program, such as this one, is not theirs alone: up to a
        megabyte less than on a machine where no other Python runs.
        """
        total: defaultdict[str, float] = defaultdict(float)
        for process in self._family():
            try:
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            except PermissionError:
                return {}
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended, as a worker does that has done its share
            kib = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
            total[process.name] += kib * 1024 / 1e6
        return total

    def _start(self) -> None:
        with self._log.open("wb") as log:
            begin = time.monotonic()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the original signals its process group
            )
        while (verdict := self._ask()) is None:
            if self._process.poll():
                self._fail(f"it ended with status {self._process.returncode}")
            if time.monotonic() > begin + _START_LIMIT:
                self._fail(f"no answer within {_START_LIMIT:.0f} s")
            time.sleep(0.001)
        self.start_seconds = time.monotonic() - begin
        if self._first and verdict != self._first:
            self._fail(f"its first answer was {verdict}, not {self._first}")

    def _ask(self) -> str | None:
        try:
            return mux.ask(self.mux, self._login, RIGHT.encode(), b"bench")
        except OSError:
            return None

    def _fail(self, reason: str) -> None:
        log = self._log.read_text(errors="replace").splitlines()
        raise BenchError("\n".join([f"{' '.join(self._command)}: {reason}", *log[-10:]]))

    def _is_settled(self) -> bool:
        before = self._family()
        time.sleep(_SETTLED)
        return {process.pid for process in self._family()} == {process.pid for process in before}

    def _family(self) -> list[Process]:
        return [process for process in descendants(os.getpid()) if process.pid not in self._others]

    def _end(self) -> None:
        """KILL to all. The original may wait for itself for ever when it is asked to end; none is to write results."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            wait_until(self._kill_family, "the daemon's processes ended")
        shutil.rmtree(self.directory)

    def _kill_family(self) -> bool:
        """Whether all have ended and been reaped: who lost its parent is ours, so none is left when we have no child.

        A child stays in ``/proc`` until it is reaped, so none is overlooked.
        """
        for process in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        here = os.getpid()
        children = [p.pid for p in all_processes() if p.parent == here and p.pid not in self._others]
        for child in children:
            os.waitpid(child, os.WNOHANG)
        return not children


def is_worker(name: str) -> bool:
    """Whether a process of this name checks passwords. Any of the original's does."""
    return name == "saslauthd" or (name.startswith("pysasl-") and name not in _OTHERS)


def _command(program: Program, directory: Path, arguments: tuple[str, ...]) -> list[str]:
    if program is Program.FLOOR:
        return [str(compiled("floor")), str(directory / "mux"), *arguments]
    if program is Program.ORIGINAL:
        return [str(need_program("saslauthd", "sasl2-bin")), *arguments, "-m", str(directory)]
    words = [sys.executable, "-m", "pysaslauthd.commands.daemon", "-f", "-o", "syslog_socket="]
    return [*words, *arguments, "-m", str(directory)]

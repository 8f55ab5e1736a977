"""Processes as ``/proc`` shows them."""

import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One is another's equal if it is the same process, whatever its name and state have become.

    A number alone does not say that: on a busy machine it is soon another's.
    """

    pid: int
    start: int
    """When, in clock ticks since the system's start."""
    parent: int = field(compare=False)
    name: str = field(compare=False)
    state: str = field(compare=False)

    @property
    def is_alive(self) -> bool:
        """Whether it runs; one that only waits to be reaped does not."""
        now = read_process(self.pid)
        return now == self and now.state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Signal it, unless it has gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if read_process(self.pid) == self:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    process = read_process(pid)
    return process is not None and process.state not in "ZX"


def read_process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return Process(pid, int(rest[19]), int(rest[1]), name, rest[0])


def all_processes() -> list[Process]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for pid in pids if (process := read_process(pid)) is not None]


def descendants(pid: int) -> list[Process]:
    """The living children of ``pid``, and theirs."""
    processes = all_processes()
    found: list[Process] = []
    parents = {pid}
    while children := [
        p for p in processes if p.parent in parents and p not in found and p.state not in "ZX"
    ]:
        found += children
        parents = {child.pid for child in children}
    return found


def status(pid: int) -> dict[str, str]:
    """``/proc/PID/status`` as a table."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

"""Files are copied by root and looked into by nobody: a process without rights says whether they will do."""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pysaslauthd import logs
from pysaslauthd.master import process
from pysaslauthd.master.privileges import Rights
from pysaslauthd.master.process import Role
from pysaslauthd.sealed import Inspection, SealedFiles

LIMIT = 5.0
"""Seconds that an inspection may take; it takes some milliseconds."""

MOST_ROUNDS = 3
"""A configuration names further files, of which one may name others."""

MOST_FILES = 16
"""That may be asked for at a time."""

_LARGEST_REPORT = 1 << 20

Inspect = Callable[[SealedFiles], Inspection]


def asked(
    files: SealedFiles, question: Callable[[SealedFiles], object], rights: Rights, limit: float
) -> Any | None:
    """What ``question`` answers in a process of its own with these rights, as JSON has it.

    None if that process died or took longer than ``limit`` seconds, or said too much.

    :raises OSError: no process to be had.
    """
    read, write = os.pipe()
    try:
        try:
            role = Role(
                "pysasl-check", rights, (write, *files.descriptors), lambda: _tell(write, question(files))
            )
            pid = process.start(role)
        finally:
            os.close(write)
        try:
            said = _read_all(read, limit)
        finally:
            os.kill(pid, signal.SIGKILL)  # which a process that has ended does not mind
            os.waitpid(pid, 0)
    finally:
        os.close(read)
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return None


def _tell(pipe: int, said: object) -> None:
    with os.fdopen(pipe, "wb") as stream:
        stream.write(json.dumps(said).encode())


def inspected(files: SealedFiles, inspect: Inspect, rights: Rights) -> Inspection:
    """Copy the further files that ``inspect`` asks for, until it asks for none; what it said in the end."""
    for _ in range(MOST_ROUNDS):
        report = _ask(files, inspect, rights)
        missing = [path for path in report.further[:MOST_FILES] if not files.has(path)]
        if not missing:
            break
        for path in missing:
            files.add(path)
    return report


def _ask(files: SealedFiles, inspect: Inspect, rights: Rights) -> Inspection:
    try:
        return _decoded(asked(files, lambda copies: _report(copies, inspect), rights, LIMIT))
    except OSError as error:
        return Inspection(errors=(f"the configuration cannot be inspected: {error.strerror}",))


def _report(files: SealedFiles, inspect: Inspect) -> object:
    try:
        found = inspect(files)
    except Exception as error:  # noqa: BLE001  (a bug must not pass for a good configuration)
        found = Inspection(errors=(f"internal error: {logs.describe(error)}",))
    return [found.errors, found.warnings, [os.fspath(path) for path in found.further]]


def _read_all(pipe: int, limit: float) -> bytes:
    """All until the end of file, a limit of bytes or the limit of time."""
    ends = time.monotonic() + limit
    report = b""
    while len(report) < _LARGEST_REPORT:
        if not select.select([pipe], [], [], max(0.0, ends - time.monotonic()))[0]:
            return b""
        data = os.read(pipe, 65_536)
        if not data:
            break
        report += data
    return report


def _decoded(report: Any | None) -> Inspection:
    try:
        errors, warnings, further = report  # type: ignore[misc]  # which None is an error of, too
        return Inspection(_texts(errors), _texts(warnings), tuple(map(Path, _texts(further))))
    except (ValueError, TypeError):
        return Inspection(errors=(f"the process that inspects the configuration died, or took {LIMIT:g} s",))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError
    return tuple(value)

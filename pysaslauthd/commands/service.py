"""``pysaslauthd --status``, ``--stop`` and ``--reload``: for who starts and stops services, such as an init script.

Which process it is, the kernel says: the one that holds the lock on the pid file or, in the
foreground, on the start-up lock. A number that a killed daemon left, and that is another's by now,
misleads nobody, and neither does a file that somebody else wrote. What is signalled is held by a
descriptor, so it cannot become another between question and signal.
"""

import errno
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.master.pidfile import (
    MASTER_NAME,
    PID_FILE,
    START_LOCK,
    LockedByAnotherError,
    LockFile,
    locked_by,
)

STOP_LIMIT = 60.0
"""Seconds that a daemon has to end. It takes 10 at most, or as long as a login may on a service manager's socket."""

KILL_LIMIT = 5.0
"""Seconds that the kernel has to end a killed one."""

_MOST_SUCCESSORS = 3
"""Daemons that are ended in turn, where each was starting while another ended."""

# The LSB's, for init scripts: the first four are those of "status".
EXIT_RUNNING = 0
EXIT_DEAD = 1
EXIT_NOT_RUNNING = 3
EXIT_UNKNOWN = 4
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_NOT_PERMITTED = 4
EXIT_NOTHING_TO_RELOAD = 7


class _CannotError(Exception):
    """What was asked for cannot be done or told; the message says why, a line for each thing."""

    def __init__(self, text: str, status: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.status = status


class _Owner(NamedTuple):
    """Who holds a lock of a daemon's."""

    pid: int
    name: str

    @property
    def is_ours(self) -> bool:
        return self.name == MASTER_NAME


class _Master:
    """A running daemon, which stays this one as long as we hold it."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it has ended.

        :raises _CannotError: it is another user's.
        """
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise _CannotError(f"process {self.pid} is another user's", EXIT_NOT_PERMITTED) from None

    def ends_within(self, seconds: float) -> bool:
        """Whether it does."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))


def status(configuration: Configuration) -> int:
    """Say whether a daemon runs on the run path."""
    run_path, errors = configuration.run_path()
    try:
        owner = _owner(run_path, errors)
    except _CannotError as error:
        _complain(str(error))
        return EXIT_UNKNOWN
    if owner is not None and owner.is_ours:
        print(f"pysaslauthd is running on {run_path}, process {owner.pid}")
        return EXIT_RUNNING
    if owner is not None:
        print(f"pysaslauthd is not running on {run_path}; {_described(owner)} is")
    elif (run_path / PID_FILE).exists():
        print(f"pysaslauthd is dead; {run_path / PID_FILE} is left")
        return EXIT_DEAD
    else:
        print(f"pysaslauthd is not running on {run_path}")
    return EXIT_NOT_RUNNING


def stop(configuration: Configuration, limit: float = STOP_LIMIT) -> int:
    """End the daemon on the run path, and what a killed one left of itself there.

    After ``limit`` seconds it is killed, and its children with it. That it was not running is no failure.
    """
    run_path, errors = configuration.run_path()
    try:
        for _ in range(_MOST_SUCCESSORS):
            master = _master(run_path, errors)
            if master is None:
                _tidy(run_path / PID_FILE)
                return EXIT_DONE
            with master:
                if not _ended(master, limit):
                    _complain(f"process {master.pid} cannot be killed")
                    return EXIT_FAILED
    except _CannotError as error:
        _complain(str(error))
        return error.status
    _complain(f"somebody starts it again and again on {run_path}")
    return EXIT_FAILED


def reload(configuration: Configuration) -> int:
    """Have the daemon on the run path read its files anew. What became of that is in the log."""
    run_path, errors = configuration.run_path()
    try:
        master = _master(run_path, errors)
        if master is None:
            _complain(f"not running on {run_path}")
            return EXIT_NOTHING_TO_RELOAD
        with master:
            master.tell(signal.SIGHUP)
    except _CannotError as error:
        _complain(str(error))
        return error.status
    return EXIT_DONE


def _ended(master: _Master, limit: float) -> bool:
    master.tell(signal.SIGTERM)
    if master.ends_within(limit):
        return True
    _complain(f"process {master.pid} did not end within {limit:.0f} s, and is killed")
    master.tell(signal.SIGKILL)
    return master.ends_within(KILL_LIMIT)


def _master(run_path: Path, errors: list[str]) -> _Master | None:
    """The daemon, held; None if there is none, or none of ours.

    :raises _CannotError: nobody can tell.
    """
    deadline = time.monotonic() + KILL_LIMIT
    while (owner := _owner(run_path, errors)) is not None and owner.is_ours:
        try:
            descriptor = os.pidfd_open(owner.pid)
        except ProcessLookupError:
            descriptor = -1
        if descriptor >= 0 and _owner(run_path, errors) == owner:
            return _Master(owner.pid, descriptor)
        if descriptor >= 0:
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise _CannotError(f"daemons come and go on {run_path}")
    return None


def _owner(run_path: Path, errors: list[str]) -> _Owner | None:
    """Who holds a daemon's lock on the run path. ``errors`` are what is wrong in the files that name it.

    :raises _CannotError: the files there cannot be opened, or nobody is there and it may be the wrong place.
    """
    for path in (run_path / PID_FILE, run_path / START_LOCK):
        try:
            pid = locked_by(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            status = EXIT_NOT_PERMITTED if isinstance(error, PermissionError) else EXIT_FAILED
            raise _CannotError("\n".join([*errors, f"{path}: {error.strerror}"]), status) from None
        if pid is not None:
            return _Owner(pid, _name(pid))
    if errors:
        raise _CannotError("\n".join(errors))
    return None


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _described(owner: _Owner) -> str:
    return (
        f"process {owner.pid}, {owner.name!r},"
        if owner.pid > 0
        else "a process that cannot be seen from here"
    )


def _tidy(pid_file: Path) -> None:
    """Remove what a killed daemon left, unless somebody has it by now."""
    if not pid_file.exists():
        return
    try:
        LockFile(pid_file).remove()
    except LockedByAnotherError:
        return
    except OSError as error:
        if error.errno != errno.ENOENT:
            _complain(f"{pid_file} is left: {error.strerror}")


def _complain(text: str) -> None:
    for line in text.splitlines():
        print(f"pysaslauthd: {line}", file=sys.stderr)

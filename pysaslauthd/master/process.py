"""How a child of the master comes to be: forked, stripped of what is not its own, then run."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import logs
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.logs import log
from pysaslauthd.master import kernel, privileges

EXIT_LEFT = 3
"""The child's code came to its end. Not 0: a library that calls exit(0) has not."""

EXIT_CRASHED = 70
"""EX_SOFTWARE: the child's code ended with an exception."""

_STANDARD_DESCRIPTORS = (0, 1, 2)
_HANDLED = (
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGUSR1,
)
# A terminal sends INT and HUP to its whole process group, systemd TERM to all of a service: only the
# master decides on a stop.
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)


FIRST = -3
"""Niceness of what goes before the others: twice the weight of an ordinary process. At -10, which is nine times that weight,
a client that was on the same processor waited for its turn: of 64 at once on two processors, one of a thousand more than 10 ms, at -3 4 ms."""


class Role(NamedTuple):
    """What a child is: its name in ``ps``, its rights, the descriptors it keeps and its code.

    One with ``runs_programs`` is in a session of its own, so that what it leaves behind is known by it. One with
    ``goes_first`` gets the processor before the others: what it does is short, and all wait for it.
    """

    name: str
    rights: privileges.Rights
    descriptors: tuple[int, ...]
    main: Callable[[], None]
    runs_programs: bool = False
    goes_first: bool = False


def start(role: Role) -> int:
    """Fork a child that becomes ``role``; its pid.

    All signals are blocked across the fork, so that none reaches the child's Python while it still
    has the master's handlers and wake-up descriptor.

    :raises OSError: no process to be had.
    """
    master = os.getpid()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _run(role, master)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _run(role: Role, master: int) -> None:
    """Never returns: the master's frames below hold objects that own closed descriptors."""
    status = EXIT_CRASHED
    try:
        signal.set_wakeup_fd(-1)
        # A program inherits what is ignored, but not a handler: one that does nothing is for us alone.
        ignore = _do_nothing if role.runs_programs else signal.SIG_IGN
        for number in _HANDLED:
            signal.signal(number, ignore if number in _IGNORED else signal.SIG_DFL)
        if role.runs_programs or role.goes_first:
            os.setsid()
        if role.goes_first:
            _go_first()
        close_all_but({*_STANDARD_DESCRIPTORS, *role.descriptors})
        logs.reopen()
        privileges.forbid_cores()
        privileges.give_up(role.rights)
        # Not before: who sees the name may count on what the process is not allowed.
        kernel.set_name(role.name)
        kernel.die_with(master)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        role.main()
        status = EXIT_LEFT
    except BaseException as error:  # noqa: BLE001  (whatever it was, it must not unwind into the master's code)
        with contextlib.suppress(Exception):
            log.critical(f"{role.name} failed: {logs.describe(error)}")
    finally:
        os._exit(status)


def _go_first() -> None:
    """Get the processor before the rest of the daemon, if that is allowed.

    To be called in a session of its own: many kernels share the processor among sessions first and among the
    processes of each then, so that each of 32 workers with a session would get as much as the front, the master and all others together.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(FIRST))


def _do_nothing(*_: object) -> None:
    pass


def children() -> list[int]:
    """The processes whose parent this one is, those that it adopted included."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        return list(map(int, path.read_text().split()))
    return []


def members(session: int) -> list[int]:
    """The living processes of a session."""
    return [pid for pid in _all_processes() if _session(pid) == session]


def _all_processes() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdigit())


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor of this process that is not ``kept``.

    Close-on-exec does nothing without exec, and a limit of descriptors may have been lowered since
    some were opened, so the system is asked which there are.
    """
    keep = set(kept)
    for number in open_descriptors():
        if number not in keep:
            os.close(number)

"""What befalls a daemon while it is measured."""

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import BenchError
from bench.model import Trouble
from bench.surroundings import Surroundings
from support.devlog import DevLog

_DEV = Path("/dev")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_MOST_LINES = 100_000
"""A log socket takes a few hundred, as the system is set up; one that takes so many is being read."""


@contextlib.contextmanager
def trouble_ahead(
    trouble: Trouble | None, surroundings: Surroundings
) -> Iterator[tuple[Surroundings, Callable[[], None]]]:
    """The surroundings with what ``trouble`` needs, and the function that begins it. It is over with this."""
    match trouble:
        case None:
            yield surroundings, lambda: None
        case Trouble.DIRECTORY_HANGS:
            assert surroundings.slapd is not None
            try:
                yield surroundings, surroundings.slapd.pause
            finally:
                surroundings.slapd.resume()
        case Trouble.LOG_FULL:
            with DevLog(stuck=True) as log, tempfile.TemporaryDirectory(prefix="psb-dev-") as directory:
                binds = {**surroundings.binds, **_devices(Path(directory), log.path)}
                yield surroundings._replace(binds=binds), lambda: _fill(log.path)


def _devices(directory: Path, log: Path) -> dict[Path, Path]:
    """A ``/dev`` with ``log`` in it. Where the machine has none, there is no place to which one could be bound."""
    directory.chmod(0o755)
    log.parent.chmod(0o755)
    (directory / "log").symlink_to(log)
    for name in _DEVICES:
        (directory / name).touch()
    return {**{directory / name: _DEV / name for name in _DEVICES}, _DEV: directory}


def _fill(log: Path) -> None:
    """Until it takes no line of anybody: a sender comes to a limit of its own before."""
    line, lines = b"<38>bench: nobody reads this", 0
    while lines < _MOST_LINES:
        before = lines
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while lines < _MOST_LINES:
                    sender.sendto(line, str(log))
                    lines += 1
        if lines == before:
            return
    raise BenchError(f"the log socket has taken {lines} lines and is not full")

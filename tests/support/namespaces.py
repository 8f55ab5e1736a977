"""A program on a machine that looks different to it alone: other files in some places, another host name."""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.packages import cannot_run

_PROGRAM = Path(__file__).with_name("enter_namespace.py")

_CLONE_NEWNET = 0x40000000  # from sched.h


def inside(
    command: Sequence[str | Path], *, binds: Mapping[Path, Path] | None = None, hostname: str = ""
) -> list[str]:
    """The command line that runs ``command`` so. ``binds`` maps a place to the file that is to be there.

    The process keeps its id when it becomes ``command``, and gets TERM when its parent dies.
    """
    words: list[str | Path] = [sys.executable, "-I", _PROGRAM]
    if hostname:
        words += ["--hostname", hostname]
    for place, file in (binds or {}).items():
        words += ["--bind", file, place]
    return [str(word) for word in [*words, "--", *command]]


def need_namespaces() -> None:
    """Private mounts and a private host name; some containers and hardened kernels allow neither."""
    trial = subprocess.run(
        inside(["true"], binds={Path("/etc/passwd"): Path("/etc/passwd")}, hostname="trial"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if trial.returncode != 0:
        cannot_run(f"needs namespaces of its own, and gets: {trial.stderr.decode(errors='replace').strip()}")


@contextlib.contextmanager
def in_network_of(pid: int) -> Iterator[None]:
    """Within it, the sockets that this thread makes are in the network of that process; others' stay where they are."""
    network = "ns/net"
    with Path("/proc/thread-self", network).open() as ours, Path(f"/proc/{pid}", network).open() as theirs:
        _enter_network(theirs.fileno())
        try:
            yield
        finally:
            _enter_network(ours.fileno())


def _enter_network(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

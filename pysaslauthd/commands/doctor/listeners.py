"""Who listens on a socket. That is found out by connecting, which no saslauthd minds: nothing is sent."""

import contextlib
import errno
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

OUR_NAME = "pysasl-master"
"""What the master calls itself in ``/proc``."""

SERVICE_MANAGER = "systemd"
"""What process 1 calls itself where it may listen for a daemon that is not started yet."""

_CREDENTIALS = struct.Struct("iII")


class Listener(NamedTuple):
    """The process that called listen(); ``pid`` 0 for one that cannot be seen from here."""

    pid: int
    uid: int
    program: str
    is_ours: bool

    @property
    def is_service_manager(self) -> bool:
        """Whether it listens for whoever it is told to start."""
        return self.pid == 1 and Path(self.program).name == SERVICE_MANAGER


def listener_on(path: Path) -> Listener | None:
    """Who answers on the socket ``path``, a real name of this machine; None if nobody does.

    :raises PermissionError: this process may not ask.
    """
    if _is_held_by_service_manager(path):
        return Listener(1, 0, SERVICE_MANAGER, is_ours=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except PermissionError:
            raise
        except OSError as error:
            # EAGAIN: somebody listens whose backlog is full.
            return Listener(0, 0, "a program", is_ours=False) if error.errno == errno.EAGAIN else None
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Listener(pid, uid, _program(pid), is_ours=_read(pid, "comm").strip() == OUR_NAME)


def _is_held_by_service_manager(path: Path) -> bool:
    """Whether to connect would start a daemon. Only root can see that."""
    if _read(1, "comm").strip() != SERVICE_MANAGER:
        return False
    with contextlib.suppress(OSError):
        held = {os.readlink(each) for each in Path("/proc/1/fd").iterdir()}  # noqa: PTH115  (no path but a name)
        for line in Path("/proc/net/unix").read_text(errors="replace").splitlines():
            words = line.split(None, 7)
            if len(words) > 7 and os.path.realpath(words[7]) == str(path) and f"socket:[{words[6]}]" in held:
                return True
    return False


def words_of(listener: Listener) -> tuple[str, ...]:
    """The command line of a daemon of ours without what starts it; nothing if it is not to be trusted or not to be seen."""
    if not listener.is_ours or listener.uid not in {0, os.geteuid()}:
        return ()
    words = _read(listener.pid, "cmdline").rstrip("\0").split("\0")
    for number, word in enumerate(words[:4]):
        if Path(word).name in {"pysaslauthd", "saslauthd"} or word == "pysaslauthd.commands.daemon":
            return tuple(words[number + 1 :])
    return ()


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  (a text for people, who see " (deleted)" too)
    return _read(pid, "comm").strip() or "a program that cannot be seen from here"


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""

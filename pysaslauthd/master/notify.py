"""What the service manager (systemd, or who speaks as it does) is told: sd_notify's protocol, without its library.

A datagram of ``NAME=value`` lines to the socket that the environment names. Nothing here waits and
nothing here fails: a manager that does not listen must not cost a login.
"""

import errno
import os
import socket
import time
from collections import deque
from collections.abc import MutableMapping

from pysaslauthd.logs import escaped, log

RETRY_PAUSE = 0.5
"""Seconds until what a busy manager did not take is offered again."""

_MOST_UNSENT = 32
_LONGEST_STATUS = 300  # characters; one line on an administrator's screen
_BUSY = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Tells it how the daemon is. Without a ``NOTIFY_SOCKET`` there is nobody to tell."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take its variables out of ``environment``, so that no module and no program of a module speaks for us."""
        given = {name: environment.pop(name, "") for name in _VARIABLES}
        self._address = _address(given["NOTIFY_SOCKET"])
        self.watchdog = _watchdog(given["WATCHDOG_USEC"], given["WATCHDOG_PID"]) if self._address else None
        """Seconds within which :meth:`alive` has to be said again and again; None for never."""
        self._started_as = os.getpid()
        self._unsent: deque[bytes] = deque()
        self._status = ""

    def moved(self, pid: int) -> None:
        """The daemon is ``pid`` from now on. To be said by the process that was started, which alone is believed."""
        self._say(f"MAINPID={pid}")

    def ready(self) -> None:
        """Logins are answered: after the start, or by what a reload put in force or left so."""
        pid = os.getpid()
        self._say("READY=1", *([] if pid == self._started_as else [f"MAINPID={pid}"]))

    def reloading(self) -> None:
        """A reload was asked for; :meth:`ready` ends it, however it went."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, seconds: float) -> None:
        """The end has begun, and may take ``seconds``."""
        self._say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """How things are, in a line for ``systemctl status``; said when it is another than before."""
        if text != self._status:
            self._status = text
            self._say(f"STATUS={escaped(text, '')[:_LONGEST_STATUS]}")

    def alive(self) -> None:
        """The watchdog may go on sleeping."""
        if not self._unsent:  # one that comes late is worth nothing; the next comes soon
            self._say("WATCHDOG=1")

    def flush(self, now: float) -> float:
        """Offer again what was not taken; when to call again."""
        while self._unsent:
            if not self._is_sent(self._unsent[0]):
                return now + RETRY_PAUSE
            self._unsent.popleft()
        return float("inf")

    def _say(self, *lines: str) -> None:
        if self._address is not None and len(self._unsent) < _MOST_UNSENT:
            self._unsent.append("\n".join(lines).encode())
            self.flush(0.0)

    def _is_sent(self, message: bytes) -> bool:
        """Whether it need not be offered again. A socket each time: there is none to inherit or to lose."""
        assert self._address is not None
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.sendto(message, socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            return error.errno not in _BUSY  # else nobody is there, and nobody missed anything
        return True


def _address(name: str) -> bytes | None:
    if name[:1] == "@":
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name[:1] == "/" else None


def _watchdog(microseconds: str, pid: str) -> float | None:
    if not microseconds or (pid and pid != str(os.getpid())):
        return None
    if not microseconds.isascii() or not microseconds.isdecimal() or not int(microseconds):
        log.warning(f"WATCHDOG_USEC={microseconds}: expected a number of microseconds; there is no watchdog")
        return None
    return int(microseconds) / 1e6

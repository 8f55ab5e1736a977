"""Who waits for the daemon to be ready, and how he hears of it.

A daemon's parent waits on a pipe and reports success only when logins are answered; the original
does so before the socket even exists.
"""

import contextlib
import os
import struct
from typing import NamedTuple

CANNOT_START = "Cannot start saslauthd"
"""The original's first line, whatever the reason."""

_HEADER = struct.Struct("!B")
_LARGEST = 4096  # bytes; PIPE_BUF, so that a report is one write


class Outcome(NamedTuple):
    """What became of a start: the exit status of the parent, and what to print."""

    status: int
    text: str


class Readiness:
    """The daemon's side. The first report counts; without a parent there is nobody to tell."""

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    def ready(self, remark: str = "") -> None:
        """Logins are answered; ``remark`` is what whoever waits should know all the same."""
        self._report(Outcome(0, remark))

    def failed(self, status: int, text: str) -> None:
        """They will not be; ``text`` says why."""
        self._report(Outcome(status, text))

    def _report(self, outcome: Outcome) -> None:
        if self._pipe is None:
            return
        # An error means that the parent was killed; the daemon goes on.
        with contextlib.suppress(OSError):
            os.write(
                self._pipe, (_HEADER.pack(outcome.status) + outcome.text.encode(errors="replace"))[:_LARGEST]
            )
        os.close(self._pipe)
        self._pipe = None


def wait_for(pipe: int) -> Outcome | None:
    """The parent's side: the report, or None if the daemon died without one.

    Waits without a limit of its own: the daemon gives itself one, and ends at it.
    """
    with os.fdopen(pipe, "rb") as stream:
        report = stream.read(_LARGEST)
    if not report:
        return None
    return Outcome(report[0], report[_HEADER.size :].decode(errors="replace"))

"""How much of the processor a login gets: one that nothing speaks for yields to the rest of the machine.

A flood of guesses keeps all workers computing. The machine is the mail server's as well, whose other clients could be answered
meanwhile, if it came to ask: so a guess is checked with what of the processor nobody else wants. Who has logged in since the start
is checked as ever, and where the processor is idle, nobody feels a difference.
"""

import contextlib
import os
from pathlib import Path

_SESSION = Path("/proc/self/autogroup")
"""Many kernels share the processor among sessions first, so that each of our own has a niceness too. Without CAP_SYS_ADMIN, as
under a service manager's sandbox, all processes together may change one ten times a second."""

_CAP_SYS_NICE = 23


class Priority:
    """Of this process, from one login to the next. ``niceness``: of logins that yield.

    Who could not take back what he has given up gives nothing up: that takes a capability, which root may lack in a container.
    """

    def __init__(self, niceness: int) -> None:
        self._own = self._process = self._session = os.getpriority(os.PRIO_PROCESS, 0)
        self._low = max(self._own, niceness) if _may_take_back() else self._own

    def set(self, *, yields: bool) -> None:
        """For the login that comes now. What the kernel does not let us change is tried again at the next."""
        wanted = self._low if yields else self._own
        if wanted != self._process:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, wanted)
                self._process = wanted
        if self._process != self._session:
            with contextlib.suppress(OSError):
                _SESSION.write_text(str(self._process))
                self._session = self._process


def _may_take_back() -> bool:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> _CAP_SYS_NICE & 1)

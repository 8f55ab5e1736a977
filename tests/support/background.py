"""Programs that run beside a test, and certainly not after it."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from support import processes
from support.logged import whole_lines
from support.processes import Process
from support.waiting import LIMIT, wait_until


class Background:
    """A program in the foreground of a session of its own; what it prints goes to the file ``log``.

    A session, because the original daemon in the foreground signals all of its process group.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return whole_lines(self._log)

    def wait_ready(self, is_ready: Callable[[], bool], what: str) -> None:
        """Until ``is_ready``; if that does not come, the program is stopped and its output shown."""

        def ready_or_ended() -> bool:
            if self._process.poll() is not None:
                raise ChildProcessError(f"it ended with status {self._process.returncode}")
            return is_ready()

        try:
            wait_until(ready_or_ended, what)
        except (TimeoutError, ChildProcessError) as error:
            self.kill()
            raise AssertionError(f"{what}: {error}\n{self.log}") from None

    def wait_childless(self) -> None:
        """Until it has seen the end of all its children, so that none is left to the system's first process."""
        pid = self._process.pid
        wait_until(lambda: all(p.parent != pid for p in processes.all_processes()), "the children ended")

    def signal(self, number: signal.Signals) -> None:
        """To it and all that it started."""
        family = self._family()
        self._process.send_signal(number)
        for child in family:
            child.send(number)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        self._kill(self._family())

    def stop(self) -> None:
        """TERM to the program; all processes that it started have to end with it."""
        family = self._family()
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
            wait_until(lambda: not any(child.is_alive for child in family), "all processes ended")
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            self._kill(family)
            raise AssertionError(f"it did not stop: {error}\n{self.log}") from None

    def _family(self) -> list[Process]:
        return processes.descendants(self._process.pid)

    def _kill(self, family: list[Process]) -> None:
        self._process.kill()
        self._process.wait()
        for child in family:
            child.send(signal.SIGKILL)
        wait_until(lambda: not any(child.is_alive for child in family), "killed processes ended")

"""A daemon that is told by files what to do, and the commands that say what it would be told."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support import mux, processes, shadow
from support.background import Background
from support.daemon import COMMAND, FRONT, LOGIN, PASSWORD
from support.logged import Logged
from support.namespaces import inside
from support.processes import Process
from support.waiting import wait_until

RELOADED = ":reloaded\n"
NOT_RELOADED = ":not reloaded: what was in force stays so\n"


class Configured(Logged):
    """A directory with a configuration file, and ``with configured.running(...)`` a daemon that goes by it.

    The daemon is in the foreground. At the end it is stopped and must leave no process.
    """

    def __init__(self) -> None:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        # What the daemon's user has to reach lies in it.
        self.directory.chmod(0o755)
        self.file = self.directory / "pysaslauthd.toml"
        self.run_path = self.directory / "run"
        self.mux = self.run_path / "mux"
        self.shadow_file = shadow.write(self.directory / "shadow", {LOGIN.decode(): PASSWORD})
        self.basis = (
            f'mechanism = "shadow"\nrun_path = "{self.run_path}"\nshadow_file = "{self.shadow_file}"\n'
            'syslog_socket = ""\n'
        )
        """All that a daemon needs in its file; four lines."""
        self._log = self.directory / "log"
        self._background: Background | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._background is not None:
                self._background.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, text: str | bytes, name: str = "") -> Path:
        """Replace the configuration file, or write another one, in one step."""
        path = self.directory / name if name else self.file
        new = path.with_suffix(".new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.chmod(0o644)
        new.replace(path)
        return path

    def start(self, *arguments: str, own_run: bool = False) -> None:
        """Start the daemon in the directory, and wait until it takes logins.

        With ``own_run`` it finds the directory in the place of ``/run``.
        """
        words = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.directory), *COMMAND, *arguments]
        binds = {Path("/run"): self.directory}
        self._background = Background(inside(words, binds=binds) if own_run else words, self._log)
        try:
            self._background.wait_ready(self._takes_logins, "the daemon takes logins")
        except BaseException:
            self._background = None
            raise

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        return self.run([*COMMAND, *arguments])

    def run(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end."""
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.directory,
        )

    def children(self, name: str) -> list[Process]:
        return [child for child in processes.descendants(self.pid) if child.name == name]

    def ask(self, login: bytes = LOGIN, password: bytes = PASSWORD, realm: bytes = b"") -> str:
        return mux.ask(self.mux, login, password, realm=realm)

    def reload(self, outcome: str = RELOADED) -> str:
        """HUP, until its ``outcome`` is in the log and one front is left; what the log said meanwhile."""
        start = len(self.log)
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: outcome in self.log[start:], f"the log says {outcome!r}")
        # The one before takes logins until it hears of it.
        wait_until(lambda: len(self.children(FRONT)) == 1, "the generation before has ended")
        return self.log[start:]

    def _takes_logins(self) -> bool:
        try:
            mux.connect(self.mux).close()
        except OSError:
            return False
        return bool(self.children(FRONT))

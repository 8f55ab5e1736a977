"""A daemon, ours or the original, that checks system accounts of a test's own. The host's are not touched."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support import mux
from support.background import Background
from support.logged import Logged
from support.namespaces import inside
from support.packages import need_program

_OURS = (sys.executable, "-m", "pysaslauthd.commands.daemon", "-o", "syslog_socket=")


class SystemDaemon(Logged):
    """``with ours(databases) as daemon`` runs it in the foreground, mechanism shadow.

    ``databases`` maps places such as ``/etc/shadow`` to the files that are there for this daemon.
    """

    def __init__(
        self, command: Sequence[str], databases: Mapping[Path, Path], *options: str, is_orderly: bool
    ) -> None:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.mux = self.directory / "mux"
        self._log = self.directory / "log"
        words = [*command, "-d", "-a", "shadow", "-n", "3", "-m", str(self.directory), *options]
        self._command = inside(words, binds=databases)
        self._is_orderly = is_orderly
        self._background: Background | None = None

    def __enter__(self) -> Self:
        try:
            self._background = Background(self._command, self._log)
            self._background.wait_ready(self._answers, "the daemon answers")
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._background is not None
        try:
            if self._is_orderly:
                self._background.stop()
            else:
                self._background.kill()
        finally:
            shutil.rmtree(self.directory)

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes."""
        assert self._background is not None
        self._background.signal(number)

    def let_in(self) -> None:
        """Have its socket be found by everybody, and not by root alone."""
        self.directory.chmod(0o711)

    def _answers(self) -> bool:
        try:
            return mux.ask(self.mux, b"nobody-at-all", b"x") == "NO"
        except OSError:
            return False


def ours(databases: Mapping[Path, Path], *options: str) -> SystemDaemon:
    """Our daemon."""
    return SystemDaemon(_OURS, databases, *options, is_orderly=True)


def original(databases: Mapping[Path, Path], *options: str) -> SystemDaemon:
    """The C daemon. It is killed, as it logs in its signal handlers and may wait there for itself for ever."""
    program = need_program("saslauthd", "sasl2-bin")
    return SystemDaemon([str(program)], databases, *options, is_orderly=False)

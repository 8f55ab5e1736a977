"""A daemon, ours or the original, that asks PAM: the machine's own, with stacks and accounts of a test's own."""

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support import mux, processes
from support.background import Background
from support.daemon import COMMAND, FRONT
from support.logged import Logged
from support.mux import request
from support.namespaces import inside
from support.packages import need_program
from support.pam_files import PamFiles
from support.processes import Process
from support.waiting import wait_until

WORKER = "pysasl-pam"

PLAIN_USER = "daemon"
PLAIN_ID = 1
"""A user without rights whom every Debian has; of nobody, systemd makes an entry without a password."""

# All is imported first, as the code may be where only root can read it.
_AS_USER = (
    "import os, sys; from pysaslauthd.commands.daemon import main; import pysaslauthd.mechanisms.proxy, pysaslauthd.mechanisms.pam; "
    f"os.geteuid() or (os.setgroups([]), os.setgid({PLAIN_ID}), os.setuid({PLAIN_ID})); sys.exit(main())"
)
RUN_AS_USER = (sys.executable, "-c", _AS_USER)


class PamDaemon(Logged):
    """``with ours(files, ...) as daemon`` runs it in the foreground.

    Ours is stopped at the end and must leave no process; the original is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        files: PamFiles,
        *options: str,
        environment: Mapping[str, str] | None = None,
        is_orderly: bool,
    ) -> None:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.mux = self.directory / "mux"
        self._log = self.directory / "log"
        words = [*command, "-a", "pam", "-m", str(self.directory), *options]
        self._command = inside(words, binds=files.binds)
        self._environment = environment
        self._is_orderly = is_orderly
        self._background: Background | None = None

    def __enter__(self) -> Self:
        try:
            self._background = Background(self._command, self._log, self._environment)
            self._background.wait_ready(self._answers, "the daemon answers")
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """End it; what ours leaves behind is an error."""
        if self._background is not None and self._is_orderly:
            background, self._background = self._background, None
            background.stop()
        self.kill()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        background, self._background = self._background, None
        if background is not None:
            background.kill()

    def ask(
        self,
        login: bytes,
        password: bytes,
        service: bytes,
        realm: bytes = b"",
        address: bytes | None = None,
    ) -> str:
        """``OK``, ``NO``, or ``-`` for a close without an answer."""
        more = () if address is None else (address,)
        reply = mux.exchange(self.mux, request(login, password, service, realm, *more))
        return reply[2:4].decode() if reply else "-"

    def permits(self) -> str:
        """A login that the stack ``permit`` lets in whatever it is."""
        return self.ask(b"anybody", b"anything", b"permit")

    def children(self, name: str = "") -> list[Process]:
        """The processes below the master, or those of one name."""
        return [child for child in processes.descendants(self.pid) if name in {"", child.name}]

    def front(self) -> Process:
        (front,) = self.children(FRONT)
        return front

    def workers(self) -> list[int]:
        return [worker.pid for worker in self.children(WORKER)]

    def zombies(self) -> list[Process]:
        """Dead children of any process of ours, whose end nobody has noted."""
        pids = {self.pid, *(child.pid for child in self.children())}
        return [p for p in processes.all_processes() if p.parent in pids and p.state == "Z"]

    def descriptors(self) -> dict[str, str]:
        """How many are open in master and front, as they say on USR1, when the last client has gone."""

        def asked() -> dict[str, str]:
            offset = len(self.log)
            os.kill(self.pid, signal.SIGUSR1)

            def reported() -> str:
                said = self.log[offset:]
                return said if "[process=master]" in said and "[process=front]" in said else ""

            said = wait_until(reported, "master and front report their statistics")
            found = re.findall(r"\[process=(master|front)\] \[descriptors=(\d+)\]", said)
            return dict(found) if "[clients=0]" in said else {}

        return wait_until(asked, "nobody is connected")

    def settled(self, workers: int) -> dict[str, str]:
        """The descriptors, once there are a front and ``workers`` and nothing else, not even a zombie."""
        expected = sorted([FRONT, *[WORKER] * workers])

        def is_alone() -> bool:
            return sorted(child.name for child in self.children()) == expected and not self.zombies()

        try:
            wait_until(is_alone, f"a front, {workers} workers and nothing else")
        except TimeoutError as error:
            raise AssertionError(
                f"{error}: {self.children()}, {self.zombies()}\n{self.log[-2000:]}"
            ) from None
        return self.descriptors()

    def _answers(self) -> bool:
        try:
            return self.permits() == "OK"
        except OSError:
            return False


def ours(
    files: PamFiles,
    *options: str,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] | None = None,
    foreground: str = "-d",
) -> PamDaemon:
    """Our daemon. ``-d`` logs the details as well, ``-f`` does not."""
    words = [*command, foreground, "-o", "syslog_socket="]
    return PamDaemon(words, files, *options, environment=environment, is_orderly=True)


def original(files: PamFiles, *options: str) -> PamDaemon:
    """The C daemon. It is killed, as it logs in its signal handlers and may wait there for itself for ever."""
    program = need_program("saslauthd", "sasl2-bin")
    return PamDaemon([str(program), "-d"], files, *options, is_orderly=False)

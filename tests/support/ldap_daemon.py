"""A daemon, ours or the original, that asks a directory, with a ``saslauthd.conf`` of a test's own."""

import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support import mux, processes
from support.background import Background
from support.daemon import COMMAND, FRONT
from support.logged import Logged
from support.mux import request
from support.namespaces import inside
from support.packages import need_program
from support.processes import Process

WORKER = "pysasl-ldap"

CLIENT_DEFAULTS = Path("/etc/ldap/ldap.conf")


class LdapDaemon(Logged):
    """``with ours(text) as daemon`` runs it in the foreground; ``text`` is its ``saslauthd.conf``, ``None`` for none.

    ``client_defaults`` is what it finds in ``/etc/ldap/ldap.conf``, which needs namespaces; without, it finds the
    machine's. Ours is stopped at the end and must leave no process; the original is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        text: str | bytes | None,
        *options: str,
        client_defaults: str | None = None,
        is_orderly: bool,
    ) -> None:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.mux = self.directory / "mux"
        self.file = self.directory / "saslauthd.conf"
        self._log = self.directory / "log"
        if text is not None:
            self.configure(text)
        words = [*command, "-a", "ldap", "-O", str(self.file), "-m", str(self.directory), *options]
        self._command = words if client_defaults is None else self._with_defaults(words, client_defaults)
        self._is_orderly = is_orderly
        self._background: Background | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Begin to start; :meth:`wait_ready` is the other half."""
        self._background = Background(self._command, self._log)

    def wait_ready(self) -> None:
        """Until it takes clients. Nobody logs in for that, as a login may change what is being tested."""
        assert self._background is not None
        try:
            self._background.wait_ready(self._is_listening, "the daemon listens")
        except BaseException:
            self._background = None
            shutil.rmtree(self.directory)
            raise

    def stop(self) -> None:
        """End it; what ours leaves behind is an error."""
        background, self._background = self._background, None
        if background is not None:
            if self._is_orderly:
                background.stop()
            else:
                background.kill()

    def configure(self, text: str | bytes) -> None:
        """Replace the file in one step; what is running does not read it before :meth:`reload`."""
        new = self.file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(self.file)

    def reload(self) -> None:
        """Ours: HUP."""
        os.kill(self.pid, signal.SIGHUP)

    def ask(self, login: bytes, password: bytes, service: bytes = b"imap", realm: bytes = b"") -> str:
        """``OK``, ``NO``, or ``-`` for a close without an answer."""
        reply = mux.exchange(self.mux, request(login, password, service, realm))
        return reply[2:4].decode() if reply else "-"

    def children(self, name: str = "") -> list[Process]:
        """The processes below our master, or those of one name."""
        return [child for child in processes.descendants(self.pid) if name in {"", child.name}]

    def front(self) -> Process:
        (front,) = self.children(FRONT)
        return front

    def workers(self) -> list[int]:
        return [worker.pid for worker in self.children(WORKER)]

    def _with_defaults(self, words: Sequence[str], text: str) -> list[str]:
        defaults = self.directory / "ldap.conf"
        defaults.write_text(text)
        return inside(words, binds={CLIENT_DEFAULTS: defaults})

    def _is_listening(self) -> bool:
        try:
            mux.connect(self.mux).close()
        except OSError:
            return False
        return True


def ours(
    text: str | bytes | None,
    *options: str,
    client_defaults: str | None = None,
    command: Sequence[str] = COMMAND,
    foreground: str = "-d",
) -> LdapDaemon:
    """Our daemon. ``-d`` logs the details as well, ``-f`` does not."""
    words = [*command, foreground, "-o", "syslog_socket="]
    return LdapDaemon(words, text, *options, client_defaults=client_defaults, is_orderly=True)


def original(text: str | bytes | None, *options: str, client_defaults: str | None = None) -> LdapDaemon:
    """The C daemon. It is killed, as it logs in its signal handlers and may wait there for itself for ever."""
    program = need_program("saslauthd", "sasl2-bin")
    words = [str(program), "-d"]
    return LdapDaemon(words, text, *options, client_defaults=client_defaults, is_orderly=False)

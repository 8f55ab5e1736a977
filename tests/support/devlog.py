"""A log daemon of a test's own."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from support.waiting import wait_until


@contextlib.contextmanager
def log_socket() -> Iterator[tuple[Path, socket.socket]]:
    """A datagram socket in the place of a log daemon's, and its path, which the test reads itself."""
    with tempfile.TemporaryDirectory(prefix="psd-") as directory:
        path = Path(directory) / "log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(path))
            server.settimeout(10)
            yield path, server


class DevLog:
    """A datagram socket in the place of ``/dev/log``, and what came over it.

    It is at ``path``, or somewhere. It is read all the time, as by a log daemon, unless ``stuck``; then only
    :meth:`unstick` begins.
    """

    def __init__(self, path: Path | None = None, *, stuck: bool = False) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.path = path or self._directory / "log"
        self.datagrams: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        self._thread = threading.Thread(target=self._read)
        self._stuck = stuck

    def __enter__(self) -> Self:
        if not self._stuck:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.ident is not None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", str(self.path))
            self._thread.join()
        self._socket.close()
        shutil.rmtree(self._directory)

    def unstick(self) -> None:
        """Begin to read."""
        self._thread.start()

    def find(self, part: bytes) -> bytes:
        """The first datagram that holds ``part``, waited for."""
        return wait_until(
            lambda: next((datagram for datagram in self.datagrams if part in datagram), b""),
            f"the log holds {part!r}",
        )

    @property
    def text(self) -> str:
        """All that came so far, a datagram in a line."""
        return "\n".join(datagram.decode(errors="replace") for datagram in self.datagrams)

    def _read(self) -> None:
        # The socket may have room for ten lines; who logs does not wait, and a log daemon that came too late would miss some.
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        while datagram := self._socket.recv(65536):
            self.datagrams.append(datagram)

"""The metrics as a file, for the node exporter's textfile collector.

The front writes it, with the rights that it has: the directory has to be one in which the daemon's
user may make files. The master could write elsewhere, but then it would pass on as root what
strangers name. A thread does the writing, as a file system may keep a writer waiting for as long as
it likes, and no login may wait for it.
"""

import asyncio
import concurrent.futures
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from pysaslauthd import logs
from pysaslauthd.logs import log

INTERVAL = 15.0
"""Seconds between two writes; node exporters are asked every 15 to 60 s."""

REMOVAL_LIMIT = 1.0
"""Seconds that the front's end waits for the file to be removed."""

MODE = 0o644
"""The node exporter is another user."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class MetricsFile:
    """Keeps ``path`` up to date with ``text``, which is called in the loop, until the end.

    A reader finds all of one moment, or nothing: the file takes its name when it is whole.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path, text: Callable[[], str]) -> None:
        self._loop = loop
        self._path = path
        self._text = text
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "metrics")
        self._pending: concurrent.futures.Future[str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._trouble = ""
        """What the log has been told last."""
        self._identity: tuple[int, int] | None = None
        """Device and inode of what was written last; another front's file may have taken its place."""

    def begin(self) -> None:
        """Write it now, and from now on."""
        self._timer = self._loop.call_later(INTERVAL, self.begin)
        self.write()

    def write(self) -> None:
        """Write it, if the last time has come to its end."""
        if self._pending is not None:
            self._say(f"it has taken more than {INTERVAL:g} s")
            return
        try:
            data = self._text().encode()
        except Exception as error:  # noqa: BLE001  (a bug in it costs a file, and no login)
            self._say(f"internal error: {logs.describe(error)}")
            return
        self._pending = self._writer.submit(self._write, data)
        self._pending.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._written))

    def end(self) -> None:
        """Write it no more, and begin to remove it, if no other front has written it since. Once is enough."""
        if self._timer is not None and not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._pending = self._writer.submit(self._remove)

    def wait(self) -> None:
        """Give the removal its time."""
        if self._pending is not None:
            concurrent.futures.wait([self._pending], REMOVAL_LIMIT)

    def _written(self) -> None:
        if self._pending is not None and not self._is_over:
            trouble, self._pending = self._pending.result(), None
            self._say(trouble)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error(f"cannot write metrics_file {self._path}: {trouble}")
        elif self._trouble and not trouble:
            log.info(f"metrics_file {self._path} can be written again")
        self._trouble = trouble

    def _write(self, data: bytes) -> str:
        """In the thread; why it was in vain, or nothing."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()  # of a process that had our number before us
            try:
                with open(os.open(fresh, _FLAGS, MODE), "wb") as file:  # noqa: PTH123  (Path.open takes no flags)
                    os.fchmod(file.fileno(), MODE)  # whatever the umask is
                    file.write(data)
                    status = os.fstat(file.fileno())
                fresh.rename(self._path)
            except OSError:
                with contextlib.suppress(OSError):
                    fresh.unlink()
                raise
        except OSError as error:
            return error.strerror or type(error).__name__
        self._identity = status.st_dev, status.st_ino
        return ""

    def _remove(self) -> str:
        """In the thread."""
        try:
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self._path.unlink()
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

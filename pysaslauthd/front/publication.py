"""Where the metrics go besides the control socket: to a file, and by HTTP."""

import asyncio
import importlib
import socket
from typing import TYPE_CHECKING

from pysaslauthd.config.settings import Settings
from pysaslauthd.front.metrics_file import MetricsFile
from pysaslauthd.front.snapshot import Observatory

if TYPE_CHECKING:
    from pysaslauthd.front.metrics_http import MetricsServer


class Publication:
    """From the moment at which this front is the one that counts, until another is, or none.

    ``scrapes`` is a listening socket, which it owns; None if nobody asks by HTTP.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        observatory: Observatory,
        settings: Settings,
        scrapes: socket.socket | None,
    ) -> None:
        self._loop = loop
        self._observatory = observatory
        self._scrapes = scrapes
        path = settings.metrics_file
        self._file = None if path is None else MetricsFile(loop, path, observatory.text)
        self._server: MetricsServer | None = None
        self._has_begun = False

    def begin(self) -> None:
        """Publish from now on."""
        if self._has_begun:
            return
        self._has_begun = True
        if self._file is not None:
            self._file.begin()
        if self._scrapes is not None:
            # With a library that not everybody has. The master has imported it, so this reads nothing.
            module = importlib.import_module("pysaslauthd.front.metrics_http")
            self._server = module.MetricsServer(self._loop, self._scrapes, self._observatory.families)

    def end(self) -> None:
        """Publish no more, and take back what is out of date from now on."""
        self._has_begun = True
        if self._file is not None:
            self._file.end()
        if self._server is not None:
            self._server.close()
        elif self._scrapes is not None:
            self._scrapes.close()

    def wait(self) -> None:
        """Give the end its time, when the loop has ended."""
        if self._file is not None:
            self._file.wait()

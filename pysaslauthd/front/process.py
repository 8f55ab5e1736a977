"""The front as a process: its parts, put together around one loop."""

import asyncio
import contextlib
import dataclasses
import resource
import socket
from collections.abc import Sequence

import uvloop

from pysaslauthd import logs
from pysaslauthd.config.options import Options
from pysaslauthd.core.verbs import ForFront, ToFront
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.front.client import ClientOptions
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.listener import Listener
from pysaslauthd.front.master_link import MasterLink
from pysaslauthd.front.pool import Pool, PoolOptions
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.logs import log

SPARE_DESCRIPTORS = 64
"""For channels, log and loop, beside one for each client."""

FRESH_WORKERS = 5
"""Workers kept waiting under ``-n 0``, where each serves one login."""


def run(channel: socket.socket, listeners: Sequence[socket.socket], options: Options) -> None:
    """Serve until the master says drain and the last client has gone, or the master is gone."""
    _raise_descriptor_limit(options.settings.connections + SPARE_DESCRIPTORS)
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_log_exception)
    front = _Front(loop, channel, listeners, options)
    loop.run_forever()
    del front


class _Front:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        listeners: Sequence[socket.socket],
        options: Options,
    ) -> None:
        self._loop = loop
        self._statistics = Statistics()
        self._master = MasterLink(loop, channel, self._heard, loop.stop)
        self._pool = Pool(loop, 0, pool_options(options), self._master, self._statistics, self._master.ready)
        self._listeners = [
            Listener(
                loop,
                listening,
                Gate(loop, self._pool, options, self._statistics),
                ClientOptions.of(options.settings),
                options.settings.connections,
                self._statistics,
            )
            for listening in listeners
        ]
        self._draining = 0

    def _heard(self, message: ForFront, channel: socket.socket | None) -> None:
        match message.verb:
            case ToFront.WORKER if channel is not None:
                self._pool.adopt(message.number, channel)
            case ToFront.GONE:
                self._pool.gone(message.number)
            case ToFront.DRAIN:
                self._draining = len(self._listeners)
                for listener in self._listeners:
                    listener.drain(self._drained)
            case ToFront.REPORT:
                self._report()

    def _drained(self) -> None:
        self._draining -= 1
        if self._draining == 0:
            self._loop.stop()

    def _report(self) -> None:
        counts = dataclasses.asdict(self._statistics)
        log.info("statistics", process="front", descriptors=len(open_descriptors()), **counts)
        self._pool.probe()


def pool_options(options: Options) -> PoolOptions:
    """How many workers, and for how long each. ``-n 0`` is a share of one, not another code path."""
    settings, mechanism = options.settings, options.mechanism
    share = settings.worker_share or mechanism.share
    return PoolOptions(
        name=mechanism.name,
        size=options.processes or FRESH_WORKERS,
        share=share if options.processes else 1,
        concurrency=mechanism.concurrency,
        login_timeout=settings.login_timeout,
        queue_timeout=settings.queue_timeout,
        queue_length=settings.queue_length,
    )


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    what = logs.describe(error) if isinstance(error, BaseException) else context.get("message")
    log.error(f"internal error: {what}")

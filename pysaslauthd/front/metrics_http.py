"""The metrics by HTTP, for a Prometheus on this machine.

prometheus_client says what a scraper may ask for and how; only its server is not used. That starts
a thread for each connection, as many as come, and waits for each as long as it likes. Here it is
the front's loop that reads, and what can be asked of it is little: anybody on the machine can
connect, and no login may wait for him.
"""

import asyncio
import io
import socket
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pysaslauthd import logs
from pysaslauthd.front.exposition import buckets
from pysaslauthd.front.metrics import METRICS, Distribution, Family, Kind, Sample
from pysaslauthd.logs import log

MOST_CONNECTIONS = 8
"""At a time; of more, the one that is there longest is closed."""

PAUSE = 0.1
"""Seconds between two connections. An answer costs some milliseconds, so a flood of them takes a few in a hundred."""

LIMIT = 5.0
"""Seconds for a whole exchange."""

LARGEST_HEAD = 8192
"""Bytes of a request."""

MOST_DRAINED = 8
"""Reads of what is sent behind a request, which nobody wants."""

_NOT_UNDERSTOOD = b"HTTP/1.0 400 Bad Request\r\n\r\n"

Families = Callable[[], Iterable[Family]]
OfPrometheus = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class MetricsServer:
    """Answers on a listening socket, which it owns, with what ``families`` gives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listening: socket.socket, families: Families) -> None:
        self._loop = loop
        self._socket = listening
        self._socket.setblocking(False)
        self._numbers = _Numbers(families)
        registry = CollectorRegistry()
        registry.register(self._numbers)
        self._handler = MetricsHandler.factory(registry)
        self._exchanges: dict[asyncio.Task[None], socket.socket] = {}
        """In the order in which they began."""
        self._is_closed = False
        self._listen()

    def close(self) -> None:
        """Answer nobody any more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            for exchange in self._exchanges:
                exchange.cancel()

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(PAUSE, self._listen)
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # it has gone again, or there is no descriptor left: in either case later
        if len(self._exchanges) >= MOST_CONNECTIONS:
            next(iter(self._exchanges)).cancel()
        connection.setblocking(False)
        exchange = self._loop.create_task(self._serve(connection))
        self._exchanges[exchange] = connection
        exchange.add_done_callback(lambda exchange: self._exchanges.pop(exchange).close())

    async def _serve(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await self._answer(connection)
        except (OSError, TimeoutError):
            pass
        except Exception as error:  # noqa: BLE001  (a bug in it costs an answer, and no login)
            log.error(f"internal error: {logs.describe(error)}")

    async def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            data = await self._loop.sock_recv(connection, LARGEST_HEAD)
            head += data
            if not data or len(head) > LARGEST_HEAD:
                return
        await self._loop.sock_sendall(connection, self._answer_to(head, connection.getpeername()))
        connection.shutdown(socket.SHUT_WR)
        # Closing over what was not read would reset the connection, and destroy the answer.
        for _ in range(MOST_DRAINED):
            if not await self._loop.sock_recv(connection, LARGEST_HEAD):
                return

    def _answer_to(self, head: bytes, peer: object) -> bytes:
        self._numbers.look()
        exchange = _InMemory(head)
        try:
            self._handler(exchange, peer, self)
        except Exception:  # noqa: BLE001  (prometheus_client stumbles over versions that are none; that is no error of ours)
            return _NOT_UNDERSTOOD
        return exchange.answer


class _InMemory:
    """A connection as :mod:`http.server` wants it, of which all that is to be read is there."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.answer = b""

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._head)

    def sendall(self, data: bytes) -> None:
        self.answer += data


class _Numbers(Collector):
    """What prometheus_client asks."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._seen: list[Family] = []

    def look(self) -> None:
        """Have the numbers of this moment."""
        self._seen = list(self._families())

    def describe(self) -> Iterator[OfPrometheus]:
        """What there are, by which a part can be asked for."""
        return (_converted(Family(metric, ())) for metric in METRICS)

    def collect(self) -> Iterator[OfPrometheus]:
        """All of them, as they were when it was looked."""
        return map(_converted, self._seen)


def _converted(family: Family) -> OfPrometheus:
    metric = family.metric
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.exposed, metric.help, labels=metric.labels)
        for sample in family.samples:
            assert isinstance(sample, Distribution)
            histogram.add_metric(sample.labels, list(buckets(sample)), sample.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    numbers = kind(metric.exposed, metric.help, labels=metric.labels)
    for sample in family.samples:
        assert isinstance(sample, Sample)
        numbers.add_metric(sample.labels, sample.value)
    return numbers

"""A worker that has many logins in hand at a time, on one event loop.

For mechanisms that wait for others more than they compute. To the front it is a worker like any
other: it leaves when the front closes the channel, and it can say nothing but what it is asked.
"""

import asyncio
import socket
from collections import deque

import uvloop

from pysaslauthd import logs
from pysaslauthd.core import messages
from pysaslauthd.core.answer import Answer, Cause, unavailable
from pysaslauthd.core.messages import Login, Probe, Result
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.mechanisms.base import ConcurrentMechanism
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.workers.worker import failed, memory_kib, status

MARGIN = 1.0
"""Seconds before the front's own limit at which a login is given up here, so that only it is lost and not the worker."""


def run(channel: socket.socket, mechanism: ConcurrentMechanism, login_timeout: float) -> None:
    """Serve until the front closes its end. ``login_timeout`` is the front's, in seconds.

    :raises MessageError: the front said something that is no message; the worker must not go on.
    """
    loop = uvloop.new_event_loop()
    _Worker(loop, channel, mechanism, max(login_timeout - MARGIN, login_timeout / 2)).run()


class _Worker:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        mechanism: ConcurrentMechanism,
        limit: float,
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._mechanism = mechanism
        self._limit = limit
        self._tasks: Deadlines[asyncio.Task[None]] = Deadlines(loop, limit, _give_up)
        """Which keeps them, too: the loop itself would not."""
        self._outbox: deque[bytes] = deque()
        self._is_writing = False
        self._failure: BaseException | None = None
        channel.setblocking(False)
        loop.set_exception_handler(self._on_exception)

    def run(self) -> None:
        """Until the front closes its end."""
        self._loop.call_soon(self._begin)
        with logs.counting_repeats(self._loop.call_later):
            self._loop.run_forever()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        self._mechanism.begin()
        self._say(messages.encode_status(status()))
        self._loop.add_reader(self._channel.fileno(), self._receive)

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A bug: who starts anew is better off than who goes on with half a state."""
        error = context.get("exception")
        self._stop(error if isinstance(error, BaseException) else RuntimeError(context.get("message")))

    def _stop(self, failure: BaseException | None = None) -> None:
        self._failure = self._failure or failure
        self._loop.stop()

    def _receive(self) -> None:
        while True:
            try:
                packet = self._channel.recv(messages.LARGEST_PACKET)
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet = b""  # the front ended with something unread
            if not packet:
                self._stop()
                return
            message = messages.decode_for_worker(packet)
            if isinstance(message, Probe):
                self._say(messages.encode_status(status()))
            else:
                task = self._loop.create_task(self._serve(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, login: Login) -> None:
        answer = await self._answer(login)
        self._say(messages.encode_result(Result(login.id, answer, memory_kib(), self._mechanism.is_spent)))

    async def _answer(self, login: Login) -> Answer:
        steps = Steps()
        try:
            if login.is_to_explain:
                return steps.of(await self._mechanism.explain(login.identity, login.password, steps))
            return await self._mechanism.check(login.identity, login.password)
        except asyncio.CancelledError:
            return steps.of(unavailable(Cause.DEADLINE, f"no answer within {self._limit:g} s"))
        except Exception as error:  # noqa: BLE001  (a bug in a mechanism is one login's misfortune, not the worker's)
            return steps.of(failed(error, login))

    def _say(self, packet: bytes) -> None:
        # Bounded by the logins that the front may give us at a time.
        self._outbox.append(packet)
        if not self._is_writing:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                self._channel.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            if not self._is_writing:
                self._is_writing = True
                self._loop.add_writer(self._channel.fileno(), self._flush)
            return
        except (BrokenPipeError, ConnectionResetError):
            self._stop()
            return
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._channel.fileno())


def _give_up(task: "asyncio.Task[None]") -> None:
    task.cancel()

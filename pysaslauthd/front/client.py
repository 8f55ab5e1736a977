"""One connection: read a request, wait for its answer, send it, close without losing it."""

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from pysaslauthd import logs
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import ACCEPTED, Answer, Verdict
from pysaslauthd.core.wire import Limits, ProtocolError, Request, RequestReader, encode_reply, read_whole
from pysaslauthd.front import peers
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Caller
from pysaslauthd.logs import log

CHUNK = 16_384
"""Bytes of a read; libsasl's largest request is 8,192, so one read nearly always takes all."""

FIFTH_FIELD_WAIT = 0.2
"""Seconds for the rest of a client address of which a part came: after that it is no such thing."""

LINGER = 1.0
"""Seconds for which bytes after a request are drained, as closing over them would reset the peer."""

HURRY = 1.0
"""Seconds that a client which has not sent its request gets when the front is leaving."""

_CLOSE_WITHOUT_ANSWER = b""

DONT_WAIT = int(socket.MSG_DONTWAIT)
"""A plain number, as a member of an enumeration takes longer to pass than the system call takes."""

SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class ClientOptions(NamedTuple):
    """How clients are read and answered."""

    limits: Limits
    read_timeout: float
    reply_reason: bool
    answer_unavailable: bool
    """Whether UNAVAILABLE is answered with NO; else the connection is closed without an answer."""

    @classmethod
    def of(cls, settings: Settings) -> "ClientOptions":
        """The part of the settings that concerns clients."""
        return cls(
            settings.limits, settings.read_timeout, settings.reply_reason, settings.unavailable == "no"
        )

    def reply(self, answer: Answer) -> bytes:
        """The bytes that tell a client ``answer``; none at all for a close without an answer."""
        if answer.verdict is Verdict.UNAVAILABLE and not self.answer_unavailable:
            return _CLOSE_WITHOUT_ANSWER
        accepted = answer.verdict is Verdict.ACCEPT
        return encode_reply(accepted=accepted, reason=answer.reason if self.reply_reason else "")


def _closing_on_error(method: Callable[..., None]) -> Callable[..., None]:
    """An exception is a bug of ours: it costs this client its answer, and nobody else anything."""

    @functools.wraps(method)
    def call(self: "Client", *arguments: object) -> None:
        try:
            method(self, *arguments)
        except Exception as error:  # noqa: BLE001  (whatever it is, the client must not stay for ever)
            log.error(f"internal error: {logs.describe(error)}", extra=self.caller.mark)
            self.close()

    return call


class Host(Protocol):
    """Who has clients as guests: what they share, and what it is told of each."""

    loop: asyncio.AbstractEventLoop
    gate: Gate
    options: ClientOptions
    statistics: Statistics

    def waits_for(self, client: "Client") -> None:
        """Its request has not come whole; if it does not in time, :meth:`Client.lose_patience` is called."""

    def has_asked(self, client: "Client") -> None:
        """The request of one that was waited for has come."""

    def may_wait(self, client: "Client") -> bool:
        """Whether there is room for it to wait for its answer."""

    def is_refused(self, client: "Client") -> None:
        """Its password was wrong, and it hears so only when its delay is over."""

    def has_left(self, client: "Client") -> None:
        """It is closed."""


class Client:
    """A connected client. It owns its socket, and closes it once."""

    __slots__ = (
        "_expects_address",
        "_head",
        "_host",
        "_is_awaited",
        "_is_closed",
        "_is_watched",
        "_reader",
        "_socket",
        "_timer",
        "_whole",
        "asked_at",
        "caller",
        "uid",
    )

    def __init__(self, host: Host, connection: "socket.SocketType", caller: Caller) -> None:
        self._host = host
        self.caller = caller
        self.uid = caller.uid
        self.asked_at = 0.0
        """See :class:`Asker`."""
        self._socket = connection
        self._reader: RequestReader | None = None
        """None while nothing has come; and a request that comes in one piece, as nearly all do, needs none."""
        self._head: bytes | None = None
        """What was read before this client was one."""
        self._whole: bytes | None = None
        """The request as it came, if in one piece, until the gate has it."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_awaited = False
        self._expects_address = False
        self._is_watched = False
        self._is_closed = False

    def begin(self, head: bytes | None) -> None:
        """Take what was read already, nearly always all, and wait for the rest if it was not; None for nothing yet."""
        self._head = head
        self._read()

    @_closing_on_error
    def linger(self) -> None:
        """It has its answer: close without destroying it, as bytes that were not read would reset the peer."""
        if not peers.has_more(self._socket):
            self.close()
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._watch(self._drain)
        self._set_timer(LINGER, self.close)

    def hurry(self) -> None:
        """The front is leaving: what has not been asked soon will not be answered."""
        self._set_timer(HURRY, self.lose_patience)

    def close(self) -> None:
        """Close the connection, whatever it was doing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._unwatch()
        self._socket.close()
        self._host.has_left(self)

    @_closing_on_error
    def _read(self) -> None:
        self._read_or(self._wait_for_more)

    def _read_or(self, go_on: Callable[[], None]) -> None:
        """Ask what has been asked; ``go_on`` while it is not all there."""
        try:
            request, is_end = self._take()
        except ProtocolError as error:
            self._refuse(error)
            return
        except OSError:
            self.close()
            return
        if request is not None:
            self._submit(request)
        elif is_end:
            self.close()
        else:
            go_on()

    def _take(self) -> tuple[Request | None, bool]:
        """What the socket holds: the request, if it is all there, and whether the peer closed."""
        limits = self._host.options.limits
        while True:
            data, self._head = self._head, None
            try:
                if data is None:
                    data = self._socket.recv(CHUNK, DONT_WAIT)
            except BlockingIOError:
                return self._reader.settle() if self._reader is not None else None, False
            if self._reader is None:
                if len(data) < CHUNK and (request := read_whole(data, limits)) is not None:
                    self._whole = data
                    return request, False
                self._reader = RequestReader(limits)
            if not data:
                return self._reader.finish(), True
            request = self._reader.receive(data)
            if request is not None:
                return request, False
            if len(data) < CHUNK:
                return self._reader.settle(), False

    def _wait_for_more(self) -> None:
        if not self._is_awaited:
            self._is_awaited = True
            self._watch(self._read)
            self._host.waits_for(self)
        if self._reader is not None and self._reader.has_request and not self._expects_address:
            # Once: each further byte does not make the wait longer.
            self._expects_address = True
            self._set_timer(FIFTH_FIELD_WAIT, self.lose_patience)

    @_closing_on_error
    def lose_patience(self) -> None:
        """No more bytes are waited for; those count that are here, as we may have been the ones that slept."""
        self._read_or(self._do_with_what_came)

    def _do_with_what_came(self) -> None:
        try:
            request = self._reader.finish() if self._reader is not None else None
        except ProtocolError as error:
            self._refuse(error)
            return
        if request is not None:
            self._submit(request)
        else:
            self._host.statistics.timed_out += 1
            self.close()

    def _refuse(self, error: ProtocolError) -> None:
        self._stop_waiting()
        host = self._host
        host.gate.refuse(error, self.caller)
        self._reply(encode_reply(accepted=False, reason=error.reason if host.options.reply_reason else ""))

    def _submit(self, request: Request) -> None:
        is_late = self._is_awaited
        self._stop_waiting()
        whole, self._whole = self._whole, None
        gate = self._host.gate
        # Who asked when he was accepted has been looked up already; we may have been faster than he.
        if is_late and whole is not None and gate.remembers(whole):
            self._reply(self._host.options.reply(ACCEPTED))
            return
        self.asked_at = time.monotonic()
        gate.login(request, self, whole)

    def may_wait(self) -> bool:
        """See :class:`Asker`."""
        return self._host.may_wait(self)

    def is_there(self) -> bool:
        """See :class:`Asker`. Who only closed its writing side, or sends on and on, still waits."""
        return not self._is_closed and peers.is_there(self._socket)

    @_closing_on_error
    def hear(self, answer: Answer) -> None:
        """See :class:`Asker`."""
        if answer.delay and not self._is_closed:
            self._host.is_refused(self)
            self._set_timer(answer.delay, functools.partial(self._answered, answer))
        else:
            self._answered(answer)

    def _stop_waiting(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self._unwatch()
            self._host.has_asked(self)
        if self._timer is not None:
            self._timer.cancel()

    @_closing_on_error
    def _answered(self, answer: Answer) -> None:
        if self._is_closed:
            return
        reply = self._host.options.reply(answer)
        if reply == _CLOSE_WITHOUT_ANSWER:
            self.close()
        else:
            self._reply(reply)

    def _reply(self, reply: bytes) -> None:
        try:
            self._socket.send(reply, SEND_FLAGS)
        except OSError:
            self._host.statistics.unheard += 1
            self.close()
        else:
            self.linger()

    @_closing_on_error
    def _drain(self) -> None:
        try:
            if self._socket.recv(CHUNK, DONT_WAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._host.loop.call_later(seconds, action)

    def _watch(self, action: Callable[[], None]) -> None:
        self._host.loop.add_reader(self._socket.fileno(), action)
        self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._host.loop.remove_reader(self._socket.fileno())
            self._is_watched = False

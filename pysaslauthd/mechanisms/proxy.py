"""Mechanism ``proxy``: another saslauthd is asked, over its socket, as a client would ask it.

It is told login, password, service and realm as they came, but for our realm policy, which is ``login`` unless somebody
wants another. Its OK and NO are believed; that it is not there, breaks off or says something else tells nothing about a
password. It has few processes, of which each serves one client, so no more than some connections are made at a time; who
comes beyond that waits in the front, where the queue is fair.
"""

import asyncio
import errno
import grp
import os
import socket
import stat
import time
from pathlib import Path

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import ProtocolError, Request, decode_reply, encode_request
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.sealed import Inspection, SealedFiles

CONNECT_LIMIT = 5.0
"""Seconds for which a full backlog is tried again. What limits the answer is the login's own time."""

BACKLOG_PAUSE = 0.02
"""Seconds between two tries: the kernel tells nobody when a UNIX socket's backlog has room again."""

STEADY_AFTER = 10.0
"""Seconds after which a worker that is shut out is replaced: the directory may be another since, with another group."""

_CHUNK = 2 + 0xFFFF
"""Bytes of the longest reply."""


class _UnansweredError(Exception):
    """It has said neither yes nor no; the message says why, for the log."""


class Worker:
    """The mechanism in a worker, with all its logins on one loop."""

    def __init__(self, options: Options, _files: SealedFiles) -> None:
        self._path = options.asked_socket
        self._sends_address = options.settings.proxy_client_address
        self._steady_from = time.monotonic() + STEADY_AFTER
        self._is_shut_out = False

    def begin(self) -> None:
        """Nothing is prepared: each login has a connection of its own, as the protocol wants it."""

    @property
    def is_spent(self) -> bool:
        """See :class:`ConcurrentMechanism`. The groups of a process are those of its start."""
        return self._is_shut_out and time.monotonic() > self._steady_from

    async def check(self, identity: Identity, password: Secret) -> Answer:
        """Ask, within :data:`CONNECT_LIMIT` for the connection; whoever calls limits the rest."""
        address = (identity.client_address or b"") if self._sends_address else None
        request = Request(identity.login, password, identity.service, identity.realm, address)
        try:
            reply = await self._asked(encode_request(request))
        except _UnansweredError as error:
            return unavailable(Cause.BACKEND, f"cannot ask {self._path}: {error}")
        return understood(reply, password)

    async def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """See :class:`ConcurrentMechanism`. Without a password it is only seen whether the other daemon can be asked."""
        with_address = " with the client's address" if self._sends_address and identity.client_address else ""
        steps.note(f"the daemon at {self._path} is told login, service and realm as they are{with_address}")
        if password:
            answer = await self.check(identity, password)
            said = {Verdict.ACCEPT: "it says OK", Verdict.REJECT: f"it says NO {answer.reason}".rstrip()}
            steps.note(said.get(answer.verdict, answer.reason))
            return answer
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.setblocking(False)
                await self._connect(connection)
        except _UnansweredError as error:
            steps.note(f"it cannot be asked: {error}")
            return unavailable(Cause.BACKEND, f"cannot ask {self._path}: {error}")
        steps.note("it can be connected; without a password it is asked nothing")
        return ACCEPTED

    async def _asked(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            await self._connect(connection)
            try:
                return await _exchange(connection, request)
            except ProtocolError as error:
                raise _UnansweredError(str(error)) from None
            except OSError as error:
                raise _UnansweredError(f"it broke off: {error.strerror}") from None

    async def _connect(self, connection: socket.socket) -> None:
        # By hand: to an event loop, a UNIX socket with a full backlog looks like one that is being connected.
        ends = time.monotonic() + CONNECT_LIMIT
        while not self._try_connect(connection):
            if time.monotonic() > ends:
                raise _UnansweredError(f"it accepted nobody for {CONNECT_LIMIT:g} s")
            await asyncio.sleep(BACKLOG_PAUSE)

    def _try_connect(self, connection: socket.socket) -> bool:
        """Whether it is connected; False if there is no room in the backlog."""
        try:
            connection.connect(os.fspath(self._path or ""))
        except BlockingIOError:
            return False
        except OSError as error:
            self._is_shut_out = error.errno == errno.EACCES
            raise _UnansweredError(error.strerror) from None
        self._is_shut_out = False
        return True


async def _exchange(connection: socket.socket, request: bytes) -> bytes:
    """The text of the reply.

    :raises ProtocolError: it is none, or does not come.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, request)
    reply = b""
    while (text := decode_reply(reply)) is None:
        chunk = await loop.sock_recv(connection, _CHUNK)
        if not chunk:
            raise ProtocolError(f"it closed {'inside its' if reply else 'without an'} answer")
        reply += chunk
    return text


def understood(reply: bytes, password: Secret) -> Answer:
    """What a reply says. Its reason is passed on, unless it holds the password: that is not for the log."""
    word, _, reason = reply.partition(b" ")
    if word == b"OK":
        return ACCEPTED
    if word != b"NO":
        return unavailable(Cause.BACKEND, "the daemon that was asked says neither OK nor NO")
    return rejected(Cause.WRONG_PASSWORD, "" if password.is_in(reason) else reason.decode(errors="replace"))


def inspect(options: Options, _files: SealedFiles) -> Inspection:
    """What is in the way of asking, found out by connecting with a worker's rights."""
    path = options.asked_socket
    if path is None:
        return Inspection(errors=(f"mechanism {options.row.name}: {options.row.asks} is not set",))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(os.fspath(path))
        except BlockingIOError:
            pass  # it has much to do
        except PermissionError:
            return Inspection(warnings=(f"cannot ask {path}: {_shut(path)}",))
        except OSError as error:
            return Inspection(warnings=(f"cannot ask {path}: {error.strerror}; it is tried at each login",))
    return Inspection()


def _shut(path: Path) -> str:
    """Where this process cannot pass on the way to a socket, and what would let it."""
    real = Path(os.path.realpath(path))
    directories = (
        each for each in reversed(real.parents) if not os.access(each, os.X_OK, effective_ids=True)
    )
    place = next(directories, real)
    status = place.stat()
    what = "write it" if place == real else "enter it"
    return (
        f"{place} has mode {stat.S_IMODE(status.st_mode):04o} and the group {_group(status.st_gid)}: "
        f"a worker needs a group other than root that may {what}"
    )


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

"""One client of the soak test: what it asks, how it sends that, and what it hears."""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from support.mux import field
from support.soak_judge import Login
from support.soak_subjects import LIMITS, Subject


class Question(NamedTuple):
    """What one client asks."""

    kind: str
    expected: str
    user: str
    password: bytes
    service: str
    realm: str
    address: str | None = None

    @property
    def fields(self) -> list[bytes]:
        words = [self.user, self.service, self.realm] + ([self.address] if self.address is not None else [])
        login, service, realm, *rest = (word.encode() for word in words)
        return [login, self.password, service, realm, *rest]

    @property
    def data(self) -> bytes:
        return b"".join(map(field, self.fields))


Ask = Callable[[socket.socket], None]


class Attempt:
    """A complete request on its way."""

    def __init__(self, subject: Subject, question: Question) -> None:
        self.question = question
        self._subject = subject
        self._log_begin = subject.log_size()
        self._begin = self._sent = time.monotonic()
        self.connection: socket.socket | None = None
        """None if there was none to be had."""
        self._error = ""

    def ask(self, how: Ask) -> None:
        try:
            self.connection = connect(self._subject)
        except TimeoutError:
            self._error = "late"
            return
        except OSError:
            self._error = "refused"
            return
        try:
            how(self.connection)
        except TimeoutError:
            self._error = "late"
        except OSError as error:
            self._error = f"{error.strerror}"
        self._sent = time.monotonic()

    def login(self) -> Login:
        """What came of it, waited for."""
        heard = b""
        if self.connection is not None:
            with self.connection:
                heard, error = hear_all(self.connection)
            self._error = error or self._error
        question = self.question
        return Login(
            self._subject.name,
            question.kind,
            question.expected,
            question.user,
            question.service,
            question.realm,
            self._begin,
            self._sent,
            time.monotonic(),
            self._log_begin,
            self._subject.log_size(),
            heard,
            self._error,
        )


def as_they_end(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """Those first that hear something first, so that none is late because another is; at last those that never do."""
    waiting = {attempt.connection: attempt for attempt in attempts if attempt.connection is not None}
    yield from (attempt for attempt in attempts if attempt.connection is None)
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], LIMITS.bound)
        yield from [waiting.pop(connection) for connection in ready or list(waiting)]


def connect(subject: Subject) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(LIMITS.bound)
    try:
        connection.connect(str(subject.mux))
    except OSError:
        connection.close()
        raise
    return connection


def hear_all(connection: socket.socket) -> tuple[bytes, str]:
    """All that comes until the end, and how it ended if not in an orderly close."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except TimeoutError:
        return data, "late"
    except OSError as error:
        return data, f"{error.strerror}"
    return data, ""


def send(connection: socket.socket, pieces: Sequence[bytes], pause: float) -> None:
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(pause)
        connection.sendall(piece)


def send_all(connection: socket.socket, data: bytes) -> None:
    """Whoever has no right to an answer has none to be heard either."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


def end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)

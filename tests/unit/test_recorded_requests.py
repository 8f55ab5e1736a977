"""What the programs that ask saslauthd were recorded to send is read rightly, in whatever pieces it comes."""

import fcntl
import socket
import sys
import termios

import pytest

from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import DEFAULT_LIMITS, Request, RequestReader, encode_request, read_whole
from support import corpus
from support.corpus import Recorded
from support.exchanges import splits
from support.fake_daemon import FakeDaemon, Sent
from support.mux import connect, field, read_to_end
from support.sasl_programs import PROGRAMS
from support.waiting import wait_until

REQUEST = Request(b"igor", Secret(b"secret"), b"smtp", b"")

RECORDED = [
    pytest.param(each, id=f"{name}-{n}")
    for name in corpus.names()
    for n, each in enumerate(corpus.recorded(name))
]


def request_of(recorded: Recorded) -> Request:
    login, password, *rest = (field.encode() for field in recorded.fields)
    return Request(login, Secret(password), *rest)


def test_it_holds_every_program() -> None:
    assert {program.name for program in PROGRAMS} < set(corpus.names())


@pytest.mark.parametrize("recorded", RECORDED)
def test_it_is_read_in_every_split(recorded: Recorded) -> None:
    for chunks in splits(recorded.data):
        reader = RequestReader()
        results = [reader.receive(chunk) for chunk in chunks]
        assert (results[-1] or reader.settle()) == request_of(recorded)
        assert not any(results[:-1])


@pytest.mark.parametrize("recorded", RECORDED)
def test_it_is_read_at_once_and_is_what_we_would_send(recorded: Recorded) -> None:
    assert read_whole(recorded.data, DEFAULT_LIMITS) == request_of(recorded)
    assert encode_request(request_of(recorded)) == recorded.data


@pytest.mark.parametrize("more", [b"", field(b"192.0.2.1;25")], ids=["four fields", "five fields"])
def test_what_is_written_once_is_recorded_whole(more: bytes) -> None:
    data = encode_request(REQUEST) + more
    assert sent(data) == Sent(data, in_one_read=True)


def test_what_is_written_field_by_field_is_recorded_whole() -> None:
    data = encode_request(REQUEST)
    assert sent(data[:5], data[5:9], data[9:]) == Sent(data, in_one_read=False)


def sent(*parts: bytes) -> Sent:
    """What is recorded of a client that writes these parts, each when all before it is read."""
    with FakeDaemon(b"OK") as fake, connect(fake.mux) as client:
        for part in parts:
            wait_until(lambda: not _unread(client), "what was written is read")
            client.sendall(part)
        assert read_to_end(client) == field(b"OK")
    return fake.sent[0]


def _unread(client: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

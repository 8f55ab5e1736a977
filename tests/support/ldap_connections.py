"""Connections as ours makes them, from the text of a configuration, and what is said over them."""

import select
import socket
import ssl
from typing import NamedTuple

import pytest

from pysaslauthd.config.ldap_conf import ClientDefaults, read_ldap_conf
from pysaslauthd.mechanisms.ldap import codec
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from pysaslauthd.mechanisms.ldap.connect import Connector
from pysaslauthd.mechanisms.ldap.tls import Copies
from support.ldap_clients import PATIENCE
from support.ldap_directory import SUFFIX
from support.waiting import LIMIT

STARTTLS = "ldap_start_tls: yes\n"
LDAPS = "ldap_servers: ldaps://localhost/\n"
"""So that TLS is in use; which server it is, is said by who connects."""

SASL_ACCOUNT = "ldap_use_sasl: yes\nldap_auth_method: custom\n"
SASL_USERS = "ldap_use_sasl: yes\n"

_NO_DEFAULTS = ClientDefaults()
_WHO_AM_I = bytes.fromhex("301e02010177198017") + b"1.3.6.1.4.1.4203.1.11.3"
_ROOT = codec.Search(
    b"", codec.Scope.BASE, b"\x87\x0bobjectClass", (b"namingContexts",), 0, 0, codec.Deref.NEVER
)

FOUND = [
    codec.Entry(1, b"", {b"namingcontexts": [SUFFIX.encode()]}),
    codec.Done(1, codec.Operation.SEARCH, 0, b"", ()),
]
"""What :func:`search` finds."""


class Failure(NamedTuple):
    """What a connection could not be made for, without the URI in front."""

    text: str
    code: int | None


def connector(
    text: str = "", defaults: ClientDefaults = _NO_DEFAULTS, copies: Copies | None = None
) -> Connector:
    """As ``text`` says; where it has no limit, there is one that a slow machine does not reach."""
    if "ldap_timeout" not in text:
        text += f"ldap_timeout: {PATIENCE}\n"
    return Connector(read_ldap_conf(text.encode(), "F"), defaults, copies)


def connect(
    uri: str, text: str = "", defaults: ClientDefaults = _NO_DEFAULTS, *, sasl_bind: bool = False
) -> socket.socket:
    return connector(text, defaults).connect(Endpoint.parse(uri), Attempt(), sasl_bind=sasl_bind)


def failure(
    uri: str, text: str = "", defaults: ClientDefaults = _NO_DEFAULTS, *, sasl_bind: bool = False
) -> Failure:
    with pytest.raises(ConnectError) as caught:
        connect(uri, text, defaults, sasl_bind=sasl_bind).close()
    return failure_of(caught.value, uri)


def failure_of(error: ConnectError, uri: str) -> Failure:
    """After a look at whether it brings along what ldap3 raised, and the frames in which that was raised."""
    assert error.__context__ is None
    assert error.__cause__ is None
    assert str(error).startswith(f"{uri}: ")
    return Failure(str(error).removeprefix(f"{uri}: "), error.code)


def received(connection: socket.socket) -> bytes:
    """What comes next, read as a loop does: the socket itself never blocks. Empty at the end."""
    assert connection.gettimeout() == 0
    while True:
        try:
            return connection.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            assert select.select([connection], [], [], LIMIT)[0], "no answer"


def identity(connection: socket.socket) -> str:
    """The DN that is bound, as the server says; empty for nobody. The connection is closed."""
    with connection:
        connection.sendall(_WHO_AM_I)
        return received(connection).partition(b"dn:")[2].decode()


def search(connection: socket.socket) -> list[object]:
    """What is found at the root, asked by message id 1. The connection is closed."""
    reader, messages = codec.Reader(), list[object]()
    with connection:
        connection.sendall(codec.encode_search(1, _ROOT))
        while not any(isinstance(message, codec.Done) for message in messages):
            data = received(connection)
            assert data, "the server closed the connection"
            messages += reader.receive(data)
    return messages

"""Readers of the log's formats that share nothing with what writes them."""

import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pysaslauthd import logs


@contextmanager
def json_on_standard_error(*, verbose: bool = False) -> Iterator[None]:
    """Within it, what this process logs is written there, an object a line."""
    logs.configure(verbose=verbose, syslog=None, stderr=True, log_format="json")
    try:
        yield
    finally:
        logs.configure(verbose=False, syslog=None, stderr=False)


_PAIR = re.compile(r'([a-z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|([^ "=]*))(?: |\Z)')


def read_logfmt(line: str) -> dict[str, str]:
    """Names and values, as Heroku's and Go's readers of logfmt take a line apart."""
    found = {}
    position = 0
    while position < len(line):
        match = _PAIR.match(line, position)
        assert match, f"no logfmt from {position} on: {line!r}"
        name, quoted, bare = match.groups()
        assert name not in found, f"{name} twice: {line!r}"
        found[name] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
        position = match.end()
    return found


def read_json(line: str) -> dict[str, object]:
    """An object that has no name twice."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({name for name, _ in pairs}) == len(pairs), f"a name twice: {line!r}"
        return dict(pairs)

    found = json.loads(line, object_pairs_hook=unique)
    assert isinstance(found, dict)
    return found


def as_sent(shown: str) -> bytes:
    r"""The bytes of a value in which ``\xNN`` is a byte."""
    parts = re.split(r"\\x([0-9a-f]{2})", shown)
    return b"".join(bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts))


def read_native(datagram: bytes) -> dict[str, bytes]:
    """The fields of a message to the journal, as its documentation describes them."""
    fields = {}
    while datagram:
        head, _, datagram = datagram.partition(b"\n")
        name, is_text, value = head.partition(b"=")
        if not is_text:
            (length,) = struct.unpack_from("<Q", datagram)
            value, datagram = datagram[8 : 8 + length], datagram[8 + length :]
            assert datagram[:1] == b"\n"
            datagram = datagram[1:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), name
        assert name.decode() not in fields, name
        fields[name.decode()] = value
    return fields


def receive_native(server: socket.socket) -> dict[str, bytes]:
    """The next message, whether in a datagram or in memory that a datagram brings."""
    data, descriptors, _, _ = socket.recv_fds(server, 1 << 20, 1)
    if not descriptors:
        return read_native(data)
    assert not data
    (descriptor,) = descriptors
    try:
        size = os.fstat(descriptor).st_size
        return read_native(os.pread(descriptor, size, 0))
    finally:
        os.close(descriptor)

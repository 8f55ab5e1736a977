"""Lines for systemd's journal, by its native protocol: each value is a field of its own, to the byte as it was sent.

The protocol is described at https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
"""

import array
import errno
import os
import socket
import struct

from pysaslauthd.logs.datagrams import DatagramSink
from pysaslauthd.logs.entry import FACILITY_AUTH, IDENT, Entry
from pysaslauthd.sealed import sealed_memory

_PREFIX = "SASLAUTHD_"
"""Of the fields that are ours; the others are the journal's own."""

_LENGTH = struct.Struct("<Q")


class JournalSink(DatagramSink):
    """The journal. MESSAGE is the line as every other sink has it, which ``journalctl`` shows and fail2ban reads."""

    def _datagram(self, entry: Entry) -> bytes:
        fields = {
            "MESSAGE": self._form.render(entry),
            "PRIORITY": entry.priority,
            "SYSLOG_IDENTIFIER": IDENT,
            "SYSLOG_FACILITY": FACILITY_AUTH,
            "SYSLOG_PID": os.getpid(),
            f"{_PREFIX}EVENT": entry.text,
        }
        fields |= {f"{_PREFIX}{name.upper()}": value for name, value in entry.values.items()}
        return b"".join(_field(name.encode(), value) for name, value in fields.items())

    def _transmit(self, connection: socket.socket, data: bytes) -> None:
        try:
            super()._transmit(connection, data)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            _transmit_by_file(connection, data)


def _field(name: bytes, value: object) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    if b"\n" not in data:
        return name + b"=" + data + b"\n"
    return name + b"\n" + _LENGTH.pack(len(data)) + data + b"\n"


def _transmit_by_file(connection: socket.socket, data: bytes) -> None:
    """For what is too large for a datagram: an empty one, with the descriptor of memory that cannot change any more."""

    def fill(descriptor: int) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    memory = sealed_memory("saslauthd-log", fill)
    try:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))
        connection.sendmsg([], [rights], socket.MSG_DONTWAIT)
    finally:
        os.close(memory)

"""The mux protocol: four or five counted strings in, ``OK`` or ``NO`` out. No I/O.

A field is an unsigned 16-bit big-endian length and that many bytes, in the order login, password,
service, realm. A newer libsasl appends a fifth, the client address (``IP;port``). Nothing marks
the end of a request, so who reads for a client has to say when the socket holds no more bytes::

    reader = RequestReader()
    request = reader.receive(data)      # complete already: five fields, or bytes behind four
    if request is None:                 # the socket is empty for now
        request = reader.settle()       # four fields and not a byte more: that is all
    if request is None:                 # the peer closed its side, or our patience ended
        request = reader.finish()       # four fields and a scrap: the scrap is ignored

Every five-field client known sends its request in one write, so waiting for nothing loses nothing.
"""

import struct
from typing import NamedTuple

from pysaslauthd.core.secret import Secret

FIELD_NAMES = ("login", "password", "service", "realm", "client address")
"""In the order of the wire, and as the log names them."""

REQUIRED_FIELDS = 4
LENGTH_SIZE = 2
LARGEST_FIELD = 0xFFFF

_LENGTH = struct.Struct("!H")


class Limits(NamedTuple):
    """The longest fields that are accepted, in bytes.

    256 is the original's limit for every field. It holds for the password too there, and users
    with tokens complain; libsasl sends up to 8192 bytes in all, hence our default.
    """

    field: int = 256
    password: int = 8192

    def of(self, index: int) -> int:
        """The limit of the field at ``index`` in :data:`FIELD_NAMES`."""
        return self.password if index == 1 else self.field


DEFAULT_LIMITS = Limits()


class Request(NamedTuple):
    """One login as it came over the wire. ``client_address`` is None in a four-field request."""

    login: bytes
    password: Secret
    service: bytes
    realm: bytes
    client_address: bytes | None = None


class ProtocolError(Exception):
    """The peer sent something that is no request. The message is the line for the log.

    ``reason`` is what the original writes behind ``NO``.
    """

    reason = ""


class FieldTooLongError(ProtocolError):
    """A length over the limit; refused before a byte of the field is read."""

    def __init__(self, index: int, limit: int) -> None:
        super().__init__(f"{FIELD_NAMES[index]} exceeded MAX_REQ_LEN: {limit}")


class BadFieldError(ProtocolError):
    """An empty login or password, or a NUL, which the original would silently cut at."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.reason = text


def read_whole(data: bytes, limits: Limits) -> Request | None:
    """The request, if ``data`` is exactly one that is valid, which is what nearly every read brings.

    None for all else: a :class:`RequestReader` takes that, and knows what is missing or wrong.
    """
    fields = []
    offset, size = 0, len(data)
    while offset + LENGTH_SIZE <= size:
        start = offset + LENGTH_SIZE
        offset = start + (data[offset] << 8 | data[offset + 1])
        fields.append(data[start:offset])
    if offset != size or not REQUIRED_FIELDS <= len(fields) <= len(FIELD_NAMES) or 0 in b"".join(fields):
        return None
    login, password, service, realm, *rest = fields
    longest = max(len(login), len(service), len(realm), len(rest[0]) if rest else 0)
    if not login or not 0 < len(password) <= limits.password or longest > limits.field:
        return None
    return Request(login, Secret(password), service, realm, rest[0] if rest else None)


class RequestReader:
    """Collects one request from chunks of any size.

    It holds at most one request of the permitted size and one chunk more, whatever the peer sends:
    a field over its limit raises before its bytes count, and nothing is added after the request
    is known.
    """

    __slots__ = ("_buffer", "_fields", "_limits", "_offset", "_scrap")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = b""
        self._offset = 0
        self._fields: list[bytes] = []
        self._scrap = False

    def receive(self, data: bytes) -> Request | None:
        """Take the next bytes; the request if they end it for certain, else None.

        :raises ProtocolError: these bytes can never become a request.
        """
        self._buffer = self._buffer[self._offset :] + data
        self._offset = 0
        self._scan()
        if len(self._fields) == len(FIELD_NAMES) or self._scrap:
            return self._request()
        return None

    def settle(self) -> Request | None:
        """The request, if what came so far is exactly four fields; None if bytes are missing.

        To be called when the socket has nothing more to read.

        :raises ProtocolError: the four fields are no valid request.
        """
        if len(self._fields) == REQUIRED_FIELDS and self._offset == len(self._buffer):
            return self._request()
        return None

    def finish(self) -> Request | None:
        """The request, if at least four fields came, whatever is behind them; None otherwise.

        To be called when no more bytes will be waited for. A part of a fifth field counts as bytes
        after the request, which are ignored, as a daemon that knows four fields does.

        :raises ProtocolError: the four fields are no valid request.
        """
        return self._request() if self.has_request else None

    @property
    def has_request(self) -> bool:
        """Whether the four fields are there that make a request, so only a fifth is waited for."""
        return len(self._fields) >= REQUIRED_FIELDS

    def _scan(self) -> None:
        buffer, fields, offset = self._buffer, self._fields, self._offset
        size = len(buffer)
        while len(fields) < len(FIELD_NAMES):
            start = offset + LENGTH_SIZE
            if start > size:
                break
            length = buffer[offset] << 8 | buffer[offset + 1]
            if length > self._limits.of(len(fields)):
                if len(fields) == REQUIRED_FIELDS:
                    # No client address is that long: these are bytes after a four-field request.
                    self._scrap = True
                    break
                raise FieldTooLongError(len(fields), self._limits.of(len(fields)))
            end = start + length
            if end > size:
                break
            fields.append(buffer[start:end])
            offset = end
        self._offset = offset

    def _request(self) -> Request:
        fields = self._fields
        login, password, service, realm = fields[:REQUIRED_FIELDS]
        # As the original: emptiness counts once all has come, and the login comes first.
        if not login or not password:
            raise BadFieldError(f"NULL {'password' if login else 'login'} received")
        if b"\0" in b"".join(fields):
            name = next(name for name, value in zip(FIELD_NAMES, fields, strict=False) if b"\0" in value)
            raise BadFieldError(f"NUL byte in {name}")
        address = fields[REQUIRED_FIELDS] if len(fields) > REQUIRED_FIELDS else None
        # The password shall live in the request alone, not as long as this reader.
        self._buffer, self._fields = b"", []
        return Request(login, Secret(password), service, realm, address)


def encode_request(request: Request) -> bytes:
    """The bytes a client sends.

    :raises ValueError: a field is longer than a 16-bit length can say.
    """
    fields = [request.login, request.password.reveal(), request.service, request.realm]
    if request.client_address is not None:
        fields.append(request.client_address)
    return b"".join(map(counted, fields))


def encode_reply(*, accepted: bool, reason: str = "") -> bytes:
    """The bytes of the answer: ``OK`` or ``NO``, and the reason behind a blank if there is one.

    The bare word is the safest: some clients take all but an exact ``NO`` for success, others
    want exactly ``OK``.
    """
    word = "OK" if accepted else "NO"
    return counted(f"{word} {reason}".encode() if reason else word.encode())


def decode_reply(data: bytes) -> bytes | None:
    """The text of a reply, or None while ``data`` is not all of it.

    :raises ProtocolError: shorter than the two bytes that a verdict needs.
    """
    if len(data) < LENGTH_SIZE:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length < len("OK"):
        raise ProtocolError(f"reply of {length} bytes; expected OK or NO")
    text = data[LENGTH_SIZE : LENGTH_SIZE + length]
    return text if len(text) == length else None


def counted(value: bytes) -> bytes:
    """``value`` behind its length, as every field goes, on the mux and between our processes.

    :raises ValueError: longer than a 16-bit length can say.
    """
    if len(value) > LARGEST_FIELD:
        raise ValueError(f"field of {len(value)} bytes; the protocol allows {LARGEST_FIELD}")
    return _LENGTH.pack(len(value)) + value

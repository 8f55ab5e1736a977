"""The messages between front and worker: one SEQPACKET packet each.

The front says :class:`Login` and :class:`Probe`; a worker can say :class:`Status` and :class:`Result`, and
nothing else. A worker's first message is a Status, which carries
:data:`VERSION`, so that two builds never talk past each other. Both ends are here, alike, and each
decodes only what it may hear: who gets anything else has a :class:`MessageError`, and the peer is
broken.
"""

import struct
from typing import NamedTuple

from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import counted

VERSION = 6
"""Raised with each change of a message in this module or in ``verbs``."""

LARGEST_PACKET = 0x20000
"""Bytes; the largest login that the settings allow is below 90,000."""

LARGEST_TEXT = 1024
"""Bytes of a text for the log. Longer ones are cut by an honest worker."""

MOST_DETAILS = 32
"""Lines for the log at debug that one answer may bring."""

_KIND_LOGIN, _KIND_PROBE, _KIND_STATUS, _KIND_RESULT = b"L", b"P", b"S", b"R"
_LOGIN = struct.Struct("!cQQ???5H")
"""Kind, id, request id, whether it yields, whether it is to be explained, whether there is a client address, and the lengths of the fields, which follow."""
_STATUS = struct.Struct("!cHII")
_RESULT = struct.Struct("!cQBBII?")
_LENGTH = struct.Struct("!H")

_NO_TEXT = counted(b"")
_SUCCESS = (Verdict.ACCEPT, Cause.NONE, 0)
_VERDICTS = {int(verdict): verdict for verdict in Verdict}
SAYABLE = {
    Verdict.ACCEPT: {Cause.NONE},
    Verdict.REJECT: {Cause.WRONG_PASSWORD, Cause.UNKNOWN_USER, Cause.ACCOUNT, Cause.REQUEST},
    Verdict.UNAVAILABLE: {Cause.BACKEND, Cause.DEADLINE, Cause.CRASH},
}
"""What a worker may give as the cause of a verdict; the others are the front's."""
_CAUSES = {int(cause): cause for cause in Cause}


class MessageError(Exception):
    """The process at the other end is broken or hostile; never shown to a client."""


class Login(NamedTuple):
    """Front to worker: check this. ``id`` is never used twice in a generation.

    ``request_id`` is for the log: whose question it is. One that ``yields`` may wait for the processor, as
    nothing says that it is no guess.

    Of one that ``is_to_explain`` the worker says what it does, step by step; see :mod:`~pysaslauthd.core.steps`. It is
    checked as any other; without a password, which is an empty one, what can be said without is. A front that was taken
    over gets no password right by it and no hash: only what a mechanism says of an account.
    """

    id: int
    identity: Identity
    password: Secret
    request_id: int = 0
    yields: bool = False
    is_to_explain: bool = False


class Probe(NamedTuple):
    """Front to worker: send a Status."""


class Status(NamedTuple):
    """Worker to front: I live. ``descriptors`` counts the open ones, ``memory_kib`` is the peak."""

    version: int
    descriptors: int
    memory_kib: int


class Result(NamedTuple):
    """Worker to front: the answer to the Login of this id, the worker's peak of memory, and whether it is spent.

    A spent worker must not get another login: what the mechanism called has changed the process.
    """

    id: int
    answer: Answer
    memory_kib: int = 0
    is_spent: bool = False


def encode_login(message: Login) -> bytes:
    """The packet of a Login.

    :raises ValueError: a field is longer than a 16-bit length can say.
    """
    login, service, realm, client_address = message.identity
    password = message.password.reveal()
    address = client_address or b""
    try:
        header = _LOGIN.pack(
            _KIND_LOGIN,
            message.id,
            message.request_id,
            message.yields,
            message.is_to_explain,
            client_address is not None,
            len(login),
            len(password),
            len(service),
            len(realm),
            len(address),
        )
    except struct.error:
        raise ValueError("a field that no client can send") from None
    return b"".join((header, login, password, service, realm, address))


def encode_probe() -> bytes:
    """The packet of a Probe."""
    return _KIND_PROBE


def encode_status(message: Status) -> bytes:
    """The packet of a Status."""
    return _STATUS.pack(_KIND_STATUS, *message)


def encode_result(message: Result) -> bytes:
    """The packet of a Result; what exceeds the limits of its texts is cut."""
    answer = message.answer
    header = _RESULT.pack(
        _KIND_RESULT,
        message.id,
        answer.verdict,
        answer.cause,
        answer.delay_ms,
        message.memory_kib,
        message.is_spent,
    )
    texts = (answer.reason, *answer.details[:MOST_DETAILS])
    return header + b"".join(counted(text.encode(errors="replace")[:LARGEST_TEXT]) for text in texts)


def decode_for_worker(packet: bytes) -> Login | Probe:
    """What the front said.

    :raises MessageError: it said something that a front does not say.
    """
    if packet == _KIND_PROBE:
        return Probe()
    if packet[:1] != _KIND_LOGIN:
        raise MessageError(f"unknown message {packet[:1]!r} from the front")
    try:
        _, number, request_id, yields, is_to_explain, has_address, *lengths = _LOGIN.unpack_from(packet)
    except struct.error:
        raise MessageError("short login message") from None
    fields = []
    offset = _LOGIN.size
    for length in lengths:
        fields.append(packet[offset : offset + length])
        offset += length
    if offset != len(packet):
        raise MessageError(f"login message of {len(packet)} bytes, expected {offset}")
    login, password, service, realm, address = fields
    if address and not has_address:
        raise MessageError("login message with an address that is none")
    identity = Identity(login, service, realm, address if has_address else None)
    return Login(number, identity, Secret(password), request_id, yields, is_to_explain)


def decode_for_front(packet: bytes) -> Status | Result:
    """What a worker said.

    :raises MessageError: it said something that a worker may not say.
    """
    kind = packet[:1]
    try:
        if kind == _KIND_STATUS:
            _, *values = _STATUS.unpack(packet)
            return Status(*values)
        if kind != _KIND_RESULT:
            raise MessageError(f"unknown message {kind!r} from a worker")
        _, number, verdict, cause, delay_ms, memory_kib, is_spent = _RESULT.unpack_from(packet)
        if (verdict, cause, delay_ms) == _SUCCESS and packet[_RESULT.size :] == _NO_TEXT:
            return Result(number, ACCEPTED, memory_kib, is_spent)
        reason, *details = _texts(packet)
        answer = Answer(_VERDICTS[verdict], _CAUSES[cause], reason, delay_ms, tuple(details))
        if answer.cause not in SAYABLE[answer.verdict]:
            raise MessageError(f"{answer.verdict.name} for {answer.cause.name}, which no worker can say")
        return Result(number, answer, memory_kib, is_spent)
    except (struct.error, ValueError, KeyError):
        raise MessageError(f"malformed message {kind!r} from a worker") from None


def _texts(packet: bytes) -> list[str]:
    texts = _split(packet, _RESULT.size)
    if len(texts) > 1 + MOST_DETAILS or max(map(len, texts), default=0) > LARGEST_TEXT:
        raise MessageError("an answer with more to log than there is room for")
    return [text.decode(errors="replace") for text in texts]


def _split(packet: bytes, offset: int) -> list[bytes]:
    fields = []
    while offset < len(packet):
        start = offset + _LENGTH.size
        if start > len(packet):
            raise MessageError("message ends inside a length")
        (length,) = _LENGTH.unpack_from(packet, offset)
        offset = start + length
        if offset > len(packet):
            raise MessageError("message ends inside a field")
        fields.append(packet[start:offset])
    return fields

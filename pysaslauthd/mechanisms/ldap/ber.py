"""As much of ASN.1's Basic Encoding Rules as LDAP uses: one-byte tags, definite lengths. No I/O.

RFC 4511 section 5.1 forbids the rest (indefinite lengths, strings in pieces), so who sends it has
broken the protocol.
"""

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
LARGEST_NUMBER = 2**31 - 1
"""RFC 4511's maxInt: of a message id, a limit, a result code."""

_SHORT = 0x80  # lengths below it are one byte
_MOST_LENGTH_BYTES = 4
_MOST_NUMBER_BYTES = 4
_HIGH_TAG = 0x1F
_BYTES = [bytes([value]) for value in range(256)]


class Malformed(Exception):  # noqa: N818  (it says what the bytes are)
    """The peer sent bytes that are no answer of a directory. The message quotes none of them."""


def element(tag: int, content: bytes) -> bytes:
    """``content`` behind its tag and length."""
    size = len(content)
    if size < _SHORT:
        return _BYTES[tag] + _BYTES[size] + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return _BYTES[tag] + _BYTES[_SHORT | len(length)] + length + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An INTEGER from 0 to :data:`LARGEST_NUMBER`, under its own tag or one that stands for it.

    :raises ValueError: ``value`` is not.
    """
    if not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{value} is not in 0..{LARGEST_NUMBER}, as LDAP's numbers are")
    # One bit more than the number has: the first bit is the sign.
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the element at ``at``, which ends at ``end`` at the latest.

    A length need not be the shortest possible: Active Directory always sends four bytes of it.

    :raises Malformed: there is no such element.
    """
    start = at + 2
    if start > end:
        raise Malformed("an element ends inside its header")
    tag, length = data[at], data[at + 1]
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise Malformed("a tag of more than one byte")
    if length >= _SHORT:
        size = length_bytes(length)
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    stop = start + length
    if stop > end:
        raise Malformed("an element is longer than what it is in")
    return tag, start, stop


def expect(tag: int, data: bytes, at: int, end: int) -> tuple[int, int]:
    """Start and end of the content of the element at ``at``, which has to have this tag.

    :raises Malformed: there is no such element.
    """
    start = at + 2
    # The usual case without a further call; these lines run twenty times a login.
    if start <= end and data[at] == tag and (length := data[at + 1]) < _SHORT:
        stop = start + length
        if stop <= end:
            return start, stop
    found, start, stop = header(data, at, end)
    if found != tag:
        raise Malformed(f"an element with tag {found:#04x} where {tag:#04x} belongs")
    return start, stop


def length_bytes(first: int) -> int:
    """How many bytes of a length follow its ``first`` byte, which is 0x80 or more.

    :raises Malformed: none (an indefinite length) or more than four, which no message can need.
    """
    count = first - _SHORT
    if not 1 <= count <= _MOST_LENGTH_BYTES:
        raise Malformed("an indefinite length" if count == 0 else f"a length of {count} bytes")
    return count


def number(data: bytes, start: int, stop: int) -> int:
    """The content of an INTEGER or ENUMERATED, from 0 to :data:`LARGEST_NUMBER`.

    :raises Malformed: it is empty, negative or larger.
    """
    if not 1 <= stop - start <= _MOST_NUMBER_BYTES:
        raise Malformed(f"a number of {stop - start} bytes")
    value = int.from_bytes(data[start:stop], "big", signed=True)
    if value < 0:
        raise Malformed("a negative number")
    return value


def octets(data: bytes, at: int, end: int) -> list[bytes]:
    """The OCTET STRINGs that fill ``data`` from ``at`` to ``end``.

    :raises Malformed: it is not filled with them.
    """
    found = []
    while at < end:
        start, at = expect(OCTETS, data, at, end)
        found.append(data[start:at])
    return found


def rest(data: bytes, at: int, end: int) -> dict[int, bytes]:
    """The elements from ``at`` to ``end``, by tag: what is optional, or of a later version of LDAP.

    :raises Malformed: they do not end at ``end``.
    """
    found = {}
    while at < end:
        tag, start, at = header(data, at, end)
        found[tag] = data[start:at]
    return found

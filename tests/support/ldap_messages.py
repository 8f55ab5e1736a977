"""LDAP as a server of a test's own speaks it: requests read, answers put together, good ones and others."""

from collections.abc import Iterator
from typing import NamedTuple

from pysaslauthd.mechanisms.ldap import ber
from pysaslauthd.mechanisms.ldap.codec import Operation

BIND, UNBIND, SEARCH, COMPARE, ABANDON = 0x60, 0x42, 0x63, 0x6E, 0x50
ENTRY, REFERENCE, EXTENDED, INTERMEDIATE = 0x64, 0x73, 0x78, 0x79
DISCONNECTION = b"1.3.6.1.4.1.1466.20036"


class Request(NamedTuple):
    """What came, as far as the tests look into it."""

    number: int
    tag: int
    content: bytes


def requests(held: bytearray) -> Iterator[Request]:
    """Those that ``held`` has whole; they are taken out of it."""
    while True:
        try:
            start, end = ber.expect(ber.SEQUENCE, bytes(held), 0, len(held))
            first, at = ber.expect(ber.INTEGER, bytes(held), start, end)
            number = ber.number(bytes(held), first, at)
            tag, start, stop = ber.header(bytes(held), at, end)
        except ber.Malformed:
            return
        request = Request(number, tag, bytes(held[start:stop]))
        del held[:end]
        yield request


def message(number: int, tag: int, content: bytes) -> bytes:
    return ber.element(ber.SEQUENCE, ber.integer(number) + ber.element(tag, content))


def result(code: int = 0, text: bytes = b"") -> bytes:
    """What is in an answer that ends an operation."""
    return ber.integer(code, ber.ENUMERATED) + ber.element(ber.OCTETS, b"") + ber.element(ber.OCTETS, text)


def done(number: int, operation: int = Operation.SEARCH, code: int = 0, text: bytes = b"") -> bytes:
    return message(number, operation, result(code, text))


def entry(number: int, dn: bytes) -> bytes:
    return message(number, ENTRY, ber.element(ber.OCTETS, dn) + ber.element(ber.SEQUENCE, b""))


def reference(number: int, *uris: bytes) -> bytes:
    return message(number, REFERENCE, b"".join(ber.element(ber.OCTETS, uri) for uri in uris))


def notice(oid: bytes = b"1.2.3", text: bytes = b"") -> bytes:
    """What a server says unasked; with :data:`DISCONNECTION`, that it closes the connection."""
    return message(0, EXTENDED, result(52, text) + ber.element(0x8A, oid))

"""Requests to the mux: those that the protocol's description gives, and any number of others."""

import random
from collections.abc import Sequence

from support.accounts import Account
from support.exchanges import Exchange, bytewise
from support.mux import field, request
from support.people import REALM

_ONE = "0005616c69636500067365637265740004696d61700000"

VECTORS = (
    (Exchange("right password", bytes.fromhex(_ONE)), "OK"),
    (Exchange("wrong password", bytes.fromhex("0005616c696365000577726f6e670004696d61700000")), "NO"),
    (
        Exchange(
            "unknown user", bytes.fromhex("00076e6f626f647931000577726f6e670004696d6170000665782e6f7267")
        ),
        "NO",
    ),
    (Exchange("empty login", bytes.fromhex("000000067365637265740004696d61700000")), "NO"),
    (Exchange("empty password", bytes.fromhex("0005616c69636500000004696d61700000")), "NO"),
    (Exchange("all empty", bytes.fromhex("0000000000000000")), "NO"),
    (Exchange("login too long", bytes.fromhex("ffff")), "NO"),
    (
        Exchange("NUL ends the login", bytes.fromhex("0008616c69636500787800067365637265740004696d61700000")),
        "OK",
    ),
    (Exchange("leading NUL", bytes.fromhex("000600616c69636500067365637265740004696d61700000")), "NO"),
    (Exchange("three fields", bytes.fromhex(_ONE[:-4]), half_close=True), "-"),
    (Exchange("five fields", bytes.fromhex(_ONE + "000a312e322e332e343b3535")), "OK"),
    (Exchange("twice", bytes.fromhex(_ONE * 2)), "OK"),
    (Exchange("empty service", bytes.fromhex("0005616c696365000673656372657400000000")), "OK"),
    (Exchange("one byte", b"\0", half_close=True), "-"),
    (Exchange("nothing", b"", half_close=True), "-"),
)
"""For the user alice with the password secret; with the original's verdict."""

_SERVICES = (
    b"imap",
    b"smtp",
    b"sieve",
    b"",
    b"../../etc/passwd",
    b"IMAP",
    b"two words",
    b"\xff\xfe\r\n",
    b"s" * 256,
)
_REALMS = (
    b"",
    b"",
    REALM,
    b"EXAMPLE.TEST",
    b"a@b",
    b"realm with space",
    b"realm-\xfc",
    b"\r\n\x1b[0m",
    b"r" * 256,
)
_TRAILERS = (b"\0", b"\0\0", b"\0\x07", b"\x01\x01" + b"j" * 300, b"\xff\xff" + b"j" * 3000, b"junk" * 5000)
_ADDRESSES = (b"", b"192.0.2.1;4567", b"2001:db8::1;99", b"a" * 256)


def both_passwords(accounts: Sequence[Account]) -> list[Exchange]:
    """Each user with his own password, and with another."""
    return [
        Exchange(f"{account.login!r} {word[:20]!r}", request(account.login, word))
        for account in accounts
        for word in (account.password, account.password[:-1] + b"~")
    ]


def scraps_behind() -> list[Exchange]:
    """Four fields that are a request, or are none, and behind them what begins a fifth and never ends it."""
    four = {
        "a right password": request(b"alice", b"secret"),
        "a wrong password": request(b"alice", b"wrong"),
        "no login": request(b"", b"secret"),
        "no password": request(b"alice", b""),
    }
    return [
        Exchange(f"{what}, {scrap!r} behind", data + scrap, half_close=half_close)
        for what, data in four.items()
        for scrap in (b"\0", b"\0\x07192")
        for half_close in (False, True)
    ]


class Generator:
    """Requests of all kinds, the same for the same ``seed``, about ``accounts`` and some who do not exist."""

    def __init__(self, seed: int, accounts: Sequence[Account]) -> None:
        self._random = random.Random(seed)
        self._accounts = accounts
        self._kinds = {
            self._whole: 30,
            self._in_pieces: 20,
            self._half_closed: 10,
            self._bytewise: 5,
            self._with_address: 10,
            self._with_bytes_behind: 10,
            self._cut_off: 10,
            self._at_a_limit: 10,
            self._with_nul: 5,
        }

    def exchanges(self, count: int) -> list[Exchange]:
        """``count`` of them, numbered, so that a name says which it was."""
        kinds = self._random.choices(list(self._kinds), list(self._kinds.values()), k=count)
        made = [kind(self._fields()) for kind in kinds]
        return [exchange._replace(name=f"{number}: {exchange.name}") for number, exchange in enumerate(made)]

    def _fields(self) -> list[bytes]:
        account = self._random.choice(self._accounts)
        login = self._random.choices((account.login, self._mangled(account.login), b"nobody"), (10, 1, 1))[0]
        right, other = account.password, self._random.choice(self._accounts).password
        wrong = self._mangled(right)
        password = self._random.choices((right, wrong, other, self._noise(40)), (10, 3, 1, 1))[0]
        return [login, password, self._random.choice(_SERVICES), self._random.choice(_REALMS)]

    def _mangled(self, value: bytes) -> bytes:
        return self._random.choice(
            (value[:-1], value + b"x", value + b" ", b" " + value, value.swapcase(), value + b":", value * 2)
        )

    def _noise(self, most: int) -> bytes:
        return bytes(self._random.choices(range(1, 256), k=self._random.randint(0, most)))

    def _whole(self, fields: list[bytes]) -> Exchange:
        return Exchange(f"whole {fields}", b"".join(map(field, fields)))

    def _in_pieces(self, fields: list[bytes]) -> Exchange:
        exchange = self._random.choice((self._whole, self._with_address))(fields)
        size = len(exchange.data)
        cuts = tuple(sorted(self._random.sample(range(1, size), min(size - 1, self._random.randint(1, 6)))))
        return exchange._replace(name=f"in pieces, {exchange.name}", cuts=cuts)

    def _half_closed(self, fields: list[bytes]) -> Exchange:
        exchange = self._random.choice((self._whole, self._in_pieces, self._with_bytes_behind))(fields)
        return exchange._replace(name=f"half-closed, {exchange.name}", half_close=True)

    def _bytewise(self, fields: list[bytes]) -> Exchange:
        return bytewise(self._whole(fields))

    def _with_address(self, fields: list[bytes]) -> Exchange:
        return self._whole([*fields, self._random.choice(_ADDRESSES)])

    def _with_bytes_behind(self, fields: list[bytes]) -> Exchange:
        exchange = self._random.choice((self._whole, self._with_address))(fields)
        trailer = self._random.choice(_TRAILERS)
        return exchange._replace(
            name=f"{trailer[:4]!r} behind, {exchange.name}", data=exchange.data + trailer
        )

    def _cut_off(self, fields: list[bytes]) -> Exchange:
        data = b"".join(map(field, fields))
        size = self._random.randrange(len(data))
        return Exchange(f"cut at {size}, {fields}", data[:size], half_close=True)

    def _at_a_limit(self, fields: list[bytes]) -> Exchange:
        place = self._random.randrange(len(fields))
        length = self._random.choice((0, 255, 256, 257, 1000, 8192, 8193, 65535))
        fields[place] = b"z" * length
        return self._whole(fields)._replace(name=f"field {place} of {length} bytes")

    def _with_nul(self, fields: list[bytes]) -> Exchange:
        place = self._random.randrange(len(fields))
        at = self._random.randint(0, len(fields[place]))
        fields[place] = fields[place][:at] + b"\0" + fields[place][at:]
        return self._whole(fields)._replace(name=f"NUL in field {place}, {fields}")

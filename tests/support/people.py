"""A user in each state that ``/etc/passwd`` and ``/etc/shadow`` can have him in."""

from support.accounts import Account
from support.shadow import BCRYPT, MD5, SHA512, YESCRYPT, hashed

ALICE, SECRET = b"alice", b"secret"

LONG_PASSWORD = b"token-" * 50
"""300 bytes: more than the original takes in a field, less than the 511 that libxcrypt takes."""

REALM = b"example.test"

_DES = b""


def people(today: int) -> list[Account]:
    """The users; ``today`` is the day that expiry is about, in days since the epoch."""
    md5 = hashed(SECRET).encode()
    return [
        *(Account(*words, stored=hashed(words[1]).encode()) for words in _PLAIN),
        *_stored(md5),
        *_methods(),
        *_ages(md5, today),
        Account(b"passwd-only", SECRET, md5, in_shadow=False),
        Account(b"shadow-only", SECRET, md5, in_passwd=False),
    ]


_PLAIN = (
    (ALICE, SECRET),
    (b"Case", b"CaseMatters"),
    (b"with space", b" blanks are kept "),
    (b"latin-\xfc", b"gr\xfc\xdfe"),
    ("utf-8-ü".encode(), "grüße-€".encode()),
    (b"control-\x01\x1b", b"a\r\nb\tc\x01\x7f\xff"),
    (b"l" * 255, b"p" * 255),
    (b"m" * 256, b"q" * 256),
    (b"n" * 257, b"short"),
    (b"long-password", LONG_PASSWORD),
    (b"257-password", b"r" * 257),
    (b"at@inside", b"user@realm:pass"),
    # For -r: the same login with and without a realm, and one that has the realm twice.
    (b"carol", b"carol's own"),
    (b"carol@" + REALM, b"carol's other"),
    (b"carol@" + REALM + b"@" + REALM, b"carol's third"),
    (b"with space@realm with space", b"spaced"),
    (b"carol@realm-\xfc", b"latin"),
)


def _stored(md5: bytes) -> list[Account]:
    """What stands where the hash should be."""
    return [
        Account(b"locked", SECRET, b"!" + md5),
        Account(b"locked-twice", SECRET, b"!!" + md5),
        Account(b"locked-star", SECRET, b"*" + md5),
        Account(b"bang", b"!", b"!"),
        Account(b"star", b"*", b"*"),
        Account(b"star-failure", b"*0", b"*0"),
        Account(b"empty-hash", SECRET, b""),
        Account(b"x-hash", b"x", b"x"),
        Account(b"nis", b"*NP*", b"*NP*"),
        Account(b"no-hash", b"nothash", b"nothash"),
        Account(b"unknown-method", SECRET, b"$99$salt$1234567890123456789012"),
        Account(b"setting-only", SECRET, md5[: md5.rindex(b"$")]),
        Account(b"cut-hash", SECRET, md5[:-1]),
        Account(b"longer-hash", SECRET, md5 + b"x"),
    ]


def _methods() -> list[Account]:
    """Each way to hash, at its least cost."""
    return [
        Account(b"yescrypt", SECRET, hashed(SECRET, YESCRYPT, 1).encode()),
        Account(b"sha512", SECRET, hashed(SECRET, SHA512, 1000).encode()),
        Account(b"bcrypt", SECRET, hashed(SECRET, BCRYPT, 4).encode()),
        Account(b"md5", SECRET, hashed(SECRET, MD5).encode()),
        Account(b"des", SECRET, hashed(SECRET, _DES).encode()),
    ]


def _ages(md5: bytes, today: int) -> list[Account]:
    """Accounts and passwords that are too old, or just not."""
    states = (
        (b"expire-past", "", "", str(today - 1)),
        (b"expire-today", "", "", str(today)),
        (b"expire-future", "", "", str(today + 1)),
        (b"expire-0", "", "", "0"),
        (b"expire-minus-1", "", "", "-1"),
        (b"aged", str(today - 100), "10", ""),
        (b"aged-just", str(today - 11), "10", ""),
        (b"aged-last-day", str(today - 10), "10", ""),
        (b"aged-not", str(today - 100), "99999", ""),
        (b"maximum-0", str(today), "0", ""),
        (b"maximum-0-yesterday", str(today - 1), "0", ""),
        (b"maximum-only", "", "1", ""),
        (b"maximum-minus-1", str(today - 100), "-1", ""),
        (b"change-only", "1", "", ""),
        (b"change-future", str(today + 100), "1", ""),
        (b"must-change", "0", "", ""),
        (b"must-change-not-aged", "0", "99999", ""),
        (b"must-change-aged", "0", "10", ""),
        (b"both-expired", "1", "1", "1"),
    )
    return [Account(login, SECRET, md5, change, maximum, expire) for login, change, maximum, expire in states]

"""Passwords as directories store them: every scheme, and values that are broken."""

import base64
import hashlib

from support.ldap_directory import Person, stored_as
from support.shadow import BCRYPT, MD5, SHA512, YESCRYPT, hashed

SECRET = b"secret"

_SALT = b"salt-of-16-bytes"
_DES, _SHA256 = b"", b"$5$"


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)


def _salted(algorithm: str, salt: bytes = _SALT) -> bytes:
    return _base64(hashlib.new(algorithm, SECRET + salt).digest() + salt)


def _plain(algorithm: str) -> bytes:
    return _base64(hashlib.new(algorithm, SECRET).digest())


def _pbkdf2(algorithm: str, rounds: int = 1000) -> bytes:
    """As pw-pbkdf2 of OpenLDAP writes it: base64 with a dot for the plus and without padding."""
    salt, key = (
        _base64(part).rstrip(b"=").replace(b"+", b".")
        for part in (_SALT, hashlib.pbkdf2_hmac(algorithm, SECRET, _SALT, rounds))
    )
    return b"%d$%s$%s" % (rounds, salt, key)


CRYPT_METHODS = {
    "des": hashed(SECRET, _DES).encode(),
    "md5": hashed(SECRET, MD5).encode(),
    "sha256": hashed(SECRET, _SHA256, 1000).encode(),
    "sha512": hashed(SECRET, SHA512, 1000).encode(),
    "bcrypt": hashed(SECRET, BCRYPT, 4).encode(),
    "yescrypt": hashed(SECRET, YESCRYPT, 1).encode(),
}

CLASSIC = {
    **{f"crypt-{name}": b"{CRYPT}" + value for name, value in CRYPT_METHODS.items()},
    "unix": b"{UNIX}" + CRYPT_METHODS["md5"],
    "md5": b"{MD5}" + _plain("md5"),
    "smd5": b"{SMD5}" + _salted("md5"),
    "sha": b"{SHA}" + _plain("sha1"),
    "ssha": b"{SSHA}" + _salted("sha1"),
    "ssha-short-salt": b"{SSHA}" + _salted("sha1", b"abcd"),
    "ssha-long-salt": b"{SSHA}" + _salted("sha1", b"0123456789" * 6),
    "ssha-lower-case": b"{ssha}" + _salted("sha1"),
    "crypt-mixed-case": b"{Crypt}" + CRYPT_METHODS["md5"],
    "clear": SECRET,
}
"""For the password ``secret``: what the original's ``custom`` knows."""

NEWER = {
    "sha256": b"{SHA256}" + _plain("sha256"),
    "sha384": b"{SHA384}" + _plain("sha384"),
    "sha512": b"{SHA512}" + _plain("sha512"),
    "ssha256": b"{SSHA256}" + _salted("sha256"),
    "ssha384": b"{SSHA384}" + _salted("sha384"),
    "ssha512": b"{SSHA512}" + _salted("sha512"),
    "pbkdf2": b"{PBKDF2}" + _pbkdf2("sha1"),
    "pbkdf2-sha1": b"{PBKDF2-SHA1}" + _pbkdf2("sha1"),
    "pbkdf2-sha256": b"{PBKDF2-SHA256}" + _pbkdf2("sha256"),
    "pbkdf2-sha512": b"{PBKDF2-SHA512}" + _pbkdf2("sha512"),
    # Made by slappasswd, with the least cost.
    "argon2": b"{ARGON2}$argon2i$v=19$m=64,t=1,p=1$9dsHgYRY332uCmPkGTQa3A$h9iL7Wm8tqW/47LfMBytZ5LCSnmsb3bPYhHCj7jPx5E",
}
"""For the password ``secret``: what OpenLDAP knows by a module, and the original not at all."""

BROKEN = {
    "crypt-empty": b"{CRYPT}",
    "crypt-locked": b"{CRYPT}!" + CRYPT_METHODS["md5"],
    "crypt-star": b"{CRYPT}*",
    "crypt-star-0": b"{CRYPT}*0",
    "crypt-one": b"{CRYPT}x",
    "crypt-unknown": b"{CRYPT}$99$salt$1234567890123456789012",
    "md5-empty": b"{MD5}",
    "md5-short": b"{MD5}" + _base64(b"short"),
    "md5-no-base64": b"{MD5}%%%%",
    "md5-longer": b"{MD5}" + _base64(hashlib.md5(SECRET).digest() + b"x"),
    "sha-longer": b"{SHA}" + _base64(hashlib.sha1(SECRET).digest() + b"x"),
    "ssha-no-base64": b"{SSHA}not base64 at all!",
    "unknown-scheme": b"{X-NEW}secret",
    "sasl": b"{SASL}somebody@example.test",
    "cleartext": b"{CLEARTEXT}secret",
    "no-end": b"{SSHA" + _salted("sha1"),
    "blank-in-front": b" {SSHA}" + _salted("sha1"),
}
"""Nobody logs in with these; those of :data:`CRASHING` apart, which the original does not survive."""

CRASHING = {"ssha-short": b"{SSHA}AAAA", "smd5-short": b"{SMD5}AAAA", "ssha-empty": b"{SSHA}"}


def scheme_person(name: str) -> Person:
    """Login ``scheme-NAME``, password ``secret`` where that is to be right."""
    return stored_as(f"scheme-{name}", SECRET, {**CLASSIC, **NEWER, **BROKEN, **CRASHING}[name])


def scheme_people() -> list[Person]:
    return [scheme_person(name) for name in (*CLASSIC, *NEWER, *BROKEN, *CRASHING)]

"""Whether a password is the one that an attribute such as ``userPassword`` holds, for the method ``custom``.

A value is a scheme in braces and what the scheme makes of the password (RFC 2307, OpenLDAP, passlib).
A value without braces is clear text (RFC 4519). saslauthd takes a scheme that it does not know for
clear text too, so that who has read ``{SSHA512}...`` could log in by typing it; here it fits nothing.

Whoever may write the attribute chooses what a comparison costs, so each costly scheme has a bound:
seconds of one core, half a minute at the worst, and 256 MiB.
"""

import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import NamedTuple

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms import libcrypt

try:
    import argon2
except ImportError:  # the extra "argon2" is not installed
    argon2 = None  # type: ignore[assignment]

MOST_ROUNDS = 10_000_000
"""Of PBKDF2, SHA-crypt and their like: 3 to 30 s. What is in use has from 1,000 to 1,000,000."""

MOST_BCRYPT_COST = 16
"""5 s; each step doubles it. Usual are 5 to 12, and 31 would take days."""

MOST_MEMORY = 256 << 20
"""Bytes, for a scheme that is meant to need memory. libxcrypt's own choice takes 16 MiB, OpenLDAP's 7."""

MOST_WORK = 2 << 30
"""Bytes written over all passes (argon2) or lanes (scrypt): 1 to 8 s."""

MOST_LANES = 16
"""Threads that argon2 may start."""

LARGEST_CRYPT_PASSWORD = 511
"""Bytes that libxcrypt takes."""

_ARGON2_SHORTAGES = (-22, -33)  # argon2.h: ARGON2_MEMORY_ALLOCATION_ERROR, ARGON2_THREAD_FAIL
_PREFIX = re.compile(rb"\{([^}]+)\}")
_SCHEME_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._/+-]{0,31}")
_BARE_HASH = re.compile(
    rb"\$(?:1|2[abxy]?|5|6|7|g?y|md5|sha1|sm3y?|argon2(?:i|d|id)|pbkdf2[a-z0-9-]*)[$,]\S{12,}"
)
_PBKDF2 = re.compile(rb"(\d{1,9})\$([A-Za-z0-9+./]+)={0,2}\$([A-Za-z0-9+./]+)={0,2}")
_CRYPT_HEAD = re.compile(rb"\$([^$,]*)[$,]([^$]*)")
_CRYPT_DIGITS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class UnusableHashError(Exception):
    """The directory holds something that no password can be compared with; the login fails by it.

    Messages are for the log. They hold nothing of the value but the name of a scheme.
    """


class UnknownSchemeError(UnusableHashError):
    """A scheme that is not known here, or whose library is not installed."""


class MalformedHashError(UnusableHashError):
    """What stands behind a known scheme is no hash of it, or a hash that costs beyond all measure."""


class ComparisonFailedError(Exception):
    """There was no memory or thread for it: nothing is known of the password."""


def matches(stored: bytes, password: Secret) -> bool:
    """Whether ``password`` is the one behind ``stored``, one value of the attribute.

    May take seconds (see :func:`is_slow`), and may be called from many threads at once. An empty
    password and an empty value never match.

    :raises UnusableHashError: no password ever matches this value.
    :raises ComparisonFailedError: our side broke.
    """
    name, value = _split(stored)
    if not value or not password:
        return False
    if name is None:
        if _BARE_HASH.fullmatch(value):
            raise UnknownSchemeError("a hash without a scheme in braces; {CRYPT} is missing in front of it")
        return _clear_text_fits(value, password)
    shown = name.decode() if _SCHEME_NAME.fullmatch(name) else "..."
    scheme = _SCHEMES.get(name.upper())
    if scheme is None:
        raise UnknownSchemeError(f"unknown password scheme {{{shown}}}")
    try:
        return scheme.fits(value, password)
    except MalformedHashError as error:
        raise MalformedHashError(f"{{{shown}}} {error}") from None


def is_slow(stored: bytes) -> bool:
    """Whether :func:`matches` takes from milliseconds to seconds, so that it belongs in a thread."""
    name, _ = _split(stored)
    scheme = _SCHEMES.get(name.upper()) if name is not None else None
    return scheme is not None and scheme.is_slow


def kind_of(stored: bytes) -> str:
    """How a value stores a password, without anything of the value but the name of a scheme that is known here."""
    name, value = _split(stored)
    if name is None:
        return "a hash without a scheme" if _BARE_HASH.fullmatch(value) else "clear text"
    return f"{{{name.upper().decode()}}}" if name.upper() in _SCHEMES else "a scheme that is not known here"


def _split(stored: bytes) -> tuple[bytes | None, bytes]:
    # As OpenLDAP: a name of at least one byte. "{}x" and "{x" are clear text.
    prefix = _PREFIX.match(stored)
    return (prefix[1], stored[prefix.end() :]) if prefix else (None, stored)


def _clear_text_fits(value: bytes, password: Secret) -> bool:
    return hmac.compare_digest(value, password.reveal())


def _digest_fits(value: bytes, password: Secret, *, algorithm: str, is_salted: bool) -> bool:
    # A machine in FIPS mode lends MD5 only to who says that it secures nothing. The directory chose it.
    computed = hashlib.new(algorithm, password.reveal(), usedforsecurity=False)
    try:
        decoded = binascii.a2b_base64(value.translate(None, b" \t\r\n"), strict_mode=True)
    except binascii.Error:
        raise MalformedHashError("without base64 behind it") from None
    digest, salt = decoded[: computed.digest_size], decoded[computed.digest_size :]
    if len(digest) < computed.digest_size or (salt and not is_salted):
        raise MalformedHashError(f"with {len(decoded)} bytes behind it; expected {computed.digest_size}")
    computed.update(salt)
    return hmac.compare_digest(computed.digest(), digest)


def _pbkdf2_fits(value: bytes, password: Secret, *, algorithm: str) -> bool:
    match = _PBKDF2.fullmatch(value)
    if match is None:
        raise MalformedHashError("without ITERATIONS$SALT$HASH behind it")
    iterations, salt, key = int(match[1]), _unadapted(match[2]), _unadapted(match[3])
    if not 1 <= iterations <= MOST_ROUNDS:
        raise MalformedHashError(f"with {iterations} iterations; expected 1 to {MOST_ROUNDS}")
    # A shorter key would fit too many passwords, and a longer one costs as many times the iterations.
    expected = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if len(key) != expected:
        raise MalformedHashError(f"with a hash of {len(key)} bytes; expected {expected}")
    return hmac.compare_digest(hashlib.pbkdf2_hmac(algorithm, password.reveal(), salt, iterations), key)


def _unadapted(text: bytes) -> bytes:
    """Decode the base64 of passlib and OpenLDAP's pw-pbkdf2: '.' in the place of '+', and no '='."""
    try:
        return binascii.a2b_base64(text.replace(b".", b"+") + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise MalformedHashError("with a salt or hash that is no base64") from None


def _argon2_fits(value: bytes, password: Secret) -> bool:
    if argon2 is None:
        raise UnknownSchemeError("password scheme {ARGON2} needs the package argon2-cffi")
    try:
        cost = argon2.extract_parameters(value.decode())
    except ValueError:
        raise MalformedHashError("without a hash of argon2 behind it") from None
    memory = cost.memory_cost << 10
    if memory > MOST_MEMORY or memory * cost.time_cost > MOST_WORK or cost.parallelism > MOST_LANES:
        raise MalformedHashError("with a hash that needs more memory, passes or lanes than are given")
    try:
        return argon2.low_level.verify_secret(value, password.reveal(), cost.type)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except argon2.exceptions.VerificationError as error:
        if str(error) in map(argon2.low_level.error_to_str, _ARGON2_SHORTAGES):
            raise ComparisonFailedError(f"argon2: {error}") from None
        raise MalformedHashError("without a hash of argon2 behind it") from None


def _crypt_fits(value: bytes, password: Secret) -> bool:
    if not _is_affordable(value):
        raise MalformedHashError("of an unknown method, or at a cost beyond all measure")
    if b"\0" in password.reveal() or len(password.reveal()) > LARGEST_CRYPT_PASSWORD:
        return False  # libxcrypt would cut at the one and refuse the other
    computed = libcrypt.hashed(password, value)
    if computed is None:
        raise MalformedHashError("without a hash behind it that the system's libcrypt knows")
    return hmac.compare_digest(computed, value)


def _is_affordable(setting: bytes) -> bool:
    """Whether the cost that a hash of libxcrypt names in its head is within the bounds above."""
    head = _CRYPT_HEAD.match(setting)
    if head is None:
        return not setting.startswith(b"$")  # DES, and BSDi's with at most 2**24 rounds (5 s)
    is_affordable = _CRYPT_METHODS.get(head[1])
    return is_affordable is not None and is_affordable(head[2])


def _are_few_rounds(parameter: bytes) -> bool:
    return not parameter.startswith(b"rounds=") or _is_number_to(MOST_ROUNDS, parameter[7:])


def _is_small_yescrypt(parameter: bytes) -> bool:
    # Flavour, log2 of N less 1, r less 1. More parameters, and longer ones, are never written.
    if not re.fullmatch(rb"[./0-9A-Za-j]{3}", parameter):
        return False
    return 128 * (_number(parameter[2:]) + 1) << (_number(parameter[1:2]) + 1) <= MOST_MEMORY


def _is_small_scrypt(parameter: bytes) -> bool:
    # log2 of N, five digits of r, five of p, then the salt.
    if not re.match(rb"[./0-9A-Za-z]{11}", parameter):
        return False
    memory = 128 * _number(parameter[1:6]) << _number(parameter[:1])
    return memory <= MOST_MEMORY and memory * _number(parameter[6:11]) <= MOST_WORK


def _is_number_to(most: int, text: bytes) -> bool:
    return re.fullmatch(rb"\d{1,9}", text) is not None and int(text) <= most


def _number(digits: bytes) -> int:
    """Of crypt's digits, the lowest first."""
    return sum(_CRYPT_DIGITS.index(digit) << 6 * place for place, digit in enumerate(digits))


_CRYPT_METHODS: dict[bytes, Callable[[bytes], bool]] = {
    **dict.fromkeys((b"1", b"3"), lambda _: True),
    **dict.fromkeys((b"5", b"6", b"md5", b"sm3"), _are_few_rounds),
    **dict.fromkeys((b"2a", b"2b", b"2x", b"2y"), functools.partial(_is_number_to, MOST_BCRYPT_COST)),
    **dict.fromkeys((b"y", b"gy", b"sm3y"), _is_small_yescrypt),
    b"sha1": functools.partial(_is_number_to, MOST_ROUNDS),
    b"7": _is_small_scrypt,
}


class _Scheme(NamedTuple):
    fits: Callable[[bytes, Secret], bool]
    is_slow: bool = False


def _digest(algorithm: str, *, is_salted: bool) -> _Scheme:
    return _Scheme(functools.partial(_digest_fits, algorithm=algorithm, is_salted=is_salted))


def _pbkdf2(algorithm: str) -> _Scheme:
    return _Scheme(functools.partial(_pbkdf2_fits, algorithm=algorithm), is_slow=True)


_SCHEMES = {
    b"CLEARTEXT": _Scheme(_clear_text_fits),
    b"CRYPT": _Scheme(_crypt_fits, is_slow=True),
    b"UNIX": _Scheme(_crypt_fits, is_slow=True),
    b"MD5": _digest("md5", is_salted=False),
    b"SMD5": _digest("md5", is_salted=True),
    b"SHA": _digest("sha1", is_salted=False),
    b"SSHA": _digest("sha1", is_salted=True),
    b"SHA256": _digest("sha256", is_salted=False),
    b"SSHA256": _digest("sha256", is_salted=True),
    b"SHA384": _digest("sha384", is_salted=False),
    b"SSHA384": _digest("sha384", is_salted=True),
    b"SHA512": _digest("sha512", is_salted=False),
    b"SSHA512": _digest("sha512", is_salted=True),
    b"PBKDF2": _pbkdf2("sha1"),
    b"PBKDF2-SHA1": _pbkdf2("sha1"),
    b"PBKDF2-SHA256": _pbkdf2("sha256"),
    b"PBKDF2-SHA512": _pbkdf2("sha512"),
    b"ARGON2": _Scheme(_argon2_fits, is_slow=True),
}

"""SASL as a client, without I/O: what to answer to what the directory says.

Bytes throughout, as saslauthd passes them. ldap3 has these mechanisms too, and is not used for them: a quote in a login
ends the field it stands in and what follows is another field, passwords are changed by SASLprep, the server's proof
in DIGEST-MD5 is not looked at, and GSSAPI fails where TLS leaves no security layer to choose.

No mechanism here agrees on a security layer: what comes after the bind is bare LDAP, inside TLS or not.
"""

import hashlib
import hmac
import importlib
import re
import secrets
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

from pysaslauthd.config.ldap_keys import SecurityProperties
from pysaslauthd.core.secret import Secret

try:
    _gssapi: Any = importlib.import_module("gssapi")
except ImportError:
    _gssapi = None

EXTERNAL, DIGEST_MD5, GSSAPI, PLAIN = "EXTERNAL", "DIGEST-MD5", "GSSAPI", "PLAIN"

LOCAL_STRENGTH = 71
"""Bits of security that libldap takes a UNIX socket for."""

# A name, and a value in quotes or bare; RFC 2831, section 7.1. The commas may have nothing between them.
_DIRECTIVE = re.compile(rb"""[\s,]*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|\Z)""", re.DOTALL)

_LARGEST_CHALLENGE = 2048  # bytes; RFC 2831, section 2.1.1

_ALL = {EXTERNAL, DIGEST_MD5, GSSAPI, PLAIN}
_OF_PASSWORDS = {DIGEST_MD5, PLAIN}

# Which mechanism lacks what a word of the security properties demands, by what libsasl's plugins say of themselves.
_WITHOUT: dict[str, set[str]] = {
    "noplain": {PLAIN},
    "noanonymous": set(),
    "noactive": _ALL - {GSSAPI},
    "nodict": _ALL - {EXTERNAL},
    "forwardsec": _ALL,
    "passcred": _ALL - {GSSAPI, PLAIN},
}
_FORBIDDEN_BY_DEFAULT = frozenset({"noplain", "noanonymous"})  # in libldap

_NO_LAYER = 1  # RFC 4752, section 3.3; also in the client's answer, followed by a largest size of 0


class SaslError(Exception):
    """The mechanism cannot be used, or the server does not keep to it; no secret is in the message."""


class Account(NamedTuple):
    """Who binds. Empty is "not given"."""

    id: bytes = b""
    password: Secret = Secret(b"")
    realm: bytes = b""
    authz_id: bytes = b""


class Client(Protocol):
    """One authentication by one mechanism."""

    mechanism: str

    def respond(self, challenge: bytes | None) -> bytes | None:
        """What to send; first of all with None, as the client begins. None is "nothing", unlike ``b""``.

        :raises SaslError: the challenge is none of this mechanism.
        """

    def finish(self, data: bytes | None) -> None:
        """The server says success, and this with it.

        :raises SaslError: it has not proved what the mechanism has it prove.
        """


class External:
    """Who we are is known from below: the client certificate, or our user where the socket is local."""

    mechanism = EXTERNAL

    def __init__(self, account: Account) -> None:
        self._authz_id = account.authz_id

    def respond(self, challenge: bytes | None) -> bytes | None:
        """See :class:`Client`."""
        if challenge is not None:
            raise SaslError("EXTERNAL: the server asks for more")
        return self._authz_id

    def finish(self, data: bytes | None) -> None:
        """See :class:`Client`."""


class Plain:
    """RFC 4616."""

    mechanism = PLAIN

    def __init__(self, account: Account) -> None:
        self._account = account

    def respond(self, challenge: bytes | None) -> bytes | None:
        """See :class:`Client`."""
        if challenge is not None:
            raise SaslError("PLAIN: the server asks for more")
        parts = self._account.authz_id, self._account.id, self._account.password.reveal()
        if any(b"\0" in part for part in parts):
            raise SaslError("PLAIN: a NUL byte in login or password")
        return b"\0".join(parts)

    def finish(self, data: bytes | None) -> None:
        """See :class:`Client`."""


class DigestMd5:
    """RFC 2831, authentication only."""

    mechanism = DIGEST_MD5

    def __init__(self, account: Account, uri: bytes, cnonce: bytes | None = None) -> None:
        self._account = account
        self._uri = uri
        self._cnonce = cnonce or secrets.token_hex(16).encode()
        self._proof: bytes | None = None
        self._is_proved = False

    def respond(self, challenge: bytes | None) -> bytes | None:
        """See :class:`Client`."""
        if challenge is None:
            return None
        if self._proof is not None:
            self._check(challenge)
            return b""
        said = parse_directives(challenge)
        if len(said.get(b"nonce", [])) != 1 or said.get(b"algorithm") != [b"md5-sess"]:
            raise SaslError("DIGEST-MD5: the server's challenge lacks nonce or algorithm")
        if b"auth" not in b",".join(said.get(b"qop", [b"auth"])).replace(b" ", b"").split(b","):
            raise SaslError("DIGEST-MD5: the server insists on a security layer; TLS does that here")
        return self._response(said[b"nonce"][0], self._realm(said.get(b"realm", [])), said)

    def finish(self, data: bytes | None) -> None:
        """See :class:`Client`."""
        if data:
            self._check(data)
        if not self._is_proved:
            raise SaslError("DIGEST-MD5: the server has not proved that it knows the password")

    def _realm(self, offered: list[bytes]) -> bytes:
        # libsasl takes a realm offered alone, whatever was configured, and refuses any other as a server.
        if len(offered) == 1:
            return offered[0]
        return self._account.realm or (offered[0] if offered else b"")

    def _response(self, nonce: bytes, realm: bytes, said: dict[bytes, list[bytes]]) -> bytes:
        account = self._account
        first = _md5(b":".join(map(_as_hashed, (account.id, realm, account.password.reveal()))))
        authorization = [account.authz_id] if account.authz_id else []
        session = _hex(_md5(b":".join([first, nonce, self._cnonce, *authorization])))

        def proof(method: bytes) -> bytes:
            parts = session, nonce, b"00000001", self._cnonce, b"auth", _hex(_md5(method + b":" + self._uri))
            return _hex(_md5(b":".join(parts)))

        self._proof = proof(b"")
        fields = [(b"username", account.id), (b"realm", realm), (b"nonce", nonce), (b"cnonce", self._cnonce)]
        fields += [(b"digest-uri", self._uri), (b"response", proof(b"AUTHENTICATE"))]
        fields += [(b"authzid", value) for value in authorization]
        words = [name + b'="' + re.sub(rb'(["\\])', rb"\\\1", value) + b'"' for name, value in fields]
        words += [b"nc=00000001", b"qop=auth"]
        if said.get(b"charset") == [b"utf-8"] and _is_utf8(account.id) and _is_utf8(realm):
            words.append(b"charset=utf-8")
        return b",".join(words)

    def _check(self, data: bytes) -> None:
        said = parse_directives(data).get(b"rspauth", [])
        if self._proof is None or len(said) != 1 or not hmac.compare_digest(said[0], self._proof):
            raise SaslError("DIGEST-MD5: the server's proof that it knows the password is wrong")
        self._is_proved = True


class Gssapi:
    """RFC 4752, Kerberos 5, with the tickets or the client keytab of this process. Channel bindings are not sent."""

    mechanism = GSSAPI

    def __init__(self, account: Account, host: str) -> None:
        self._authz_id = account.authz_id
        self._target = f"ldap@{host or 'localhost'}"
        self._context: Any = None
        self._is_done = False

    def respond(self, challenge: bytes | None) -> bytes | None:
        """See :class:`Client`."""
        try:
            return self._respond(challenge)
        except _gssapi.exceptions.GSSError as error:
            raise SaslError(f"GSSAPI: {error.gen_message()}") from None

    def _respond(self, challenge: bytes | None) -> bytes:
        if self._context is None:
            self._context = _gssapi.SecurityContext(
                name=_gssapi.Name(self._target, _gssapi.NameType.hostbased_service),
                mech=_gssapi.MechType.kerberos,
                usage="initiate",
                flags=_gssapi.RequirementFlag.mutual_authentication,
            )
        if not self._context.complete:
            return self._context.step(challenge) or b""
        offered = self._context.unwrap(challenge or b"").message
        if len(offered) != 4 or not offered[0] & _NO_LAYER:
            raise SaslError("GSSAPI: the server insists on a security layer; TLS does that here")
        self._is_done = True
        answer = bytes([_NO_LAYER, 0, 0, 0]) + self._authz_id
        return bytes(self._context.wrap(answer, encrypt=False).message)

    def finish(self, data: bytes | None) -> None:
        """See :class:`Client`."""
        del data
        if not self._is_done:
            raise SaslError("GSSAPI: the server ended it too early")


def check_mechanism(mechanism: str, *, for_users: bool) -> None:
    """Whether it can be used at all; ``for_users``, to check passwords.

    :raises SaslError: it cannot, and why.
    """
    if mechanism not in _ALL:
        raise SaslError(f"{mechanism} is not supported; EXTERNAL, DIGEST-MD5, GSSAPI and PLAIN are")
    if for_users and mechanism not in _OF_PASSWORDS:
        raise SaslError(f"{mechanism} checks no password: every one would be right; DIGEST-MD5 and PLAIN do")
    if mechanism == GSSAPI and _gssapi is None:
        raise SaslError("GSSAPI needs the Python package gssapi: pip install 'pysaslauthd[gssapi]'")


def make_client(mechanism: str, account: Account, host: str) -> Client:
    """The client of ``mechanism`` towards ``host``.

    :raises SaslError: there is none, or ``account`` lacks what it needs.
    """
    check_mechanism(mechanism, for_users=False)
    if mechanism == EXTERNAL:
        return External(account)
    if mechanism == GSSAPI:
        return Gssapi(account, host)
    if not account.id or not account.password:
        raise SaslError(f"{mechanism}: needs a login and a password")
    uri = f"ldap/{host or 'localhost'}".encode()
    return DigestMd5(account, uri) if mechanism == DIGEST_MD5 else Plain(account)


def refusal(mechanism: str, properties: SecurityProperties | None, strength: int) -> str:
    """Why ``mechanism`` may not be used over a connection of so many bits of security; empty if it may."""
    if properties is None:
        properties = SecurityProperties(_FORBIDDEN_BY_DEFAULT)
    if strength < properties.least_ssf:
        return (
            f"minssf={properties.least_ssf} takes TLS of that strength: SASL's own layers are not supported"
        )
    for word in sorted(properties.forbidden):
        if mechanism not in _WITHOUT[word]:
            continue
        if word != "noplain":
            return f"{word} forbids {mechanism}"
        if strength <= 1:  # as in libsasl
            return f"{word} forbids {mechanism} outside TLS"
    return ""


def choose(
    offered: Collection[str], account: Account, properties: SecurityProperties | None, strength: int
) -> str:
    """The mechanism to take where none is configured, of those that the server offers.

    One that proves a password if there is one, and only one that does: for GSSAPI and EXTERNAL, any is right.

    :raises SaslError: there is none.
    """
    has_password = bool(account.id and account.password)
    for mechanism in (DIGEST_MD5, PLAIN) if has_password else (GSSAPI, EXTERNAL):
        usable = mechanism != GSSAPI or _gssapi is not None
        if mechanism in offered and usable and not refusal(mechanism, properties, strength):
            return mechanism
    raise SaslError("the server offers no mechanism that can be used: ldap_mech names one")


def parse_directives(data: bytes) -> dict[bytes, list[bytes]]:
    """The values of each directive of a DIGEST-MD5 challenge, in their order.

    :raises SaslError: it is none.
    """
    found: dict[bytes, list[bytes]] = {}
    position = 0
    if len(data) > _LARGEST_CHALLENGE:
        raise SaslError("DIGEST-MD5: the server's challenge is too long")
    while match := _DIRECTIVE.match(data, position):
        name, quoted, token = match.groups()
        value = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
        found.setdefault(name.lower(), []).append(value)
        position = match.end()
    if not found or data[position:].strip(b" \t\r\n,"):
        raise SaslError("DIGEST-MD5: the server's challenge is malformed")
    return found


def _as_hashed(value: bytes) -> bytes:
    # RFC 2831, section 2.1.2.1: in ISO 8859-1 if it can be said so.
    try:
        return value.decode().encode("iso-8859-1")
    except UnicodeError:
        return value


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeError:
        return False
    return True


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()  # the mechanism is made of it


def _hex(data: bytes) -> bytes:
    return data.hex().encode()

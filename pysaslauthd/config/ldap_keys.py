"""The keys of ``saslauthd.conf`` for mechanism ``ldap``: each with its aliases, its type and its default.

A key is a field of :class:`LdapConf` with ``ldap_`` in front of its name. Where saslauthd takes a
value for something that nobody means by it, the reader here takes what is meant, and says so by
:class:`Tolerated`.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from pysaslauthd.config.settings import SettingError, one_of, read_path
from pysaslauthd.core.secret import Secret

PREFIX = "ldap_"

LARGEST_INTEGER = 2**31 - 1
"""maxInt of RFC 4511."""

LONGEST_TIME = 86_400
"""Seconds: a day. A longer time is a slip."""

_URI = re.compile(
    r"(?P<scheme>ldaps?|ldapi)://(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[\w.%-]*)(?::(?P<port>\d{1,5}))?"
    r"(?P<rest>[/?].*)?",
    re.ASCII | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"[A-Za-z0-9.-]+(?:;[A-Za-z0-9-]+)*")
_SWITCH_WORDS = {"1", "y", "yes", "t", "true", "on", "0", "n", "no", "f", "false", "off"}
_PROPERTIES = {"noplain", "noactive", "nodict", "noanonymous", "forwardsec", "passcred"}
_TOKEN = re.compile("%(.)", re.DOTALL)


class Tolerated(NamedTuple):
    """A value that was taken for what it means, and the warning that belongs to it."""

    value: object
    warning: str


class PartError(SettingError):
    """One part of a value cannot be; ``found`` is that part."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected)
        self.found = found


_USUALLY_FORBIDDEN = frozenset({"noplain", "noanonymous"})


class SecurityProperties(NamedTuple):
    """``ldap_sasl_secprops``: what the SASL bind must not be, and the bits of its layer.

    ``forbidden`` has Cyrus SASL's words, such as ``noplain``; it is empty for ``none``, and libldap's own
    where the file has numbers alone.
    """

    forbidden: frozenset[str] = frozenset()
    least_ssf: int = 0
    most_ssf: int = LARGEST_INTEGER
    largest_buffer: int | None = None


def read_switch(text: str) -> bool | Tolerated:
    """Yes or no. The original goes by the first letters; so do we, but in any case.

    It knows small letters alone, and everything else is "off" to it: ``ldap_start_tls: Yes`` sends
    passwords in clear.
    """
    word = text.lower()
    is_on = word.startswith(("1", "y", "t", "on"))
    if not is_on and not word.startswith(("0", "n", "f", "of")):
        raise SettingError("yes or no")
    if is_on and not text.startswith(("1", "y", "t", "on")):
        return Tolerated(value=True, warning=f"{text!r} is yes here; saslauthd reads it as off")
    if word not in _SWITCH_WORDS:
        return Tolerated(is_on, f"{text!r} is read as {'yes' if is_on else 'no'}, as saslauthd does")
    return is_on


def number_between(least: int, most: int) -> Callable[[str], int | Tolerated]:
    """A reader of whole numbers. What follows the digits is ignored, as by the original, with a warning."""

    def read(text: str) -> int | Tolerated:
        digits = re.match(r"-?[0-9]{1,10}(?![0-9])", text)
        number = int(digits[0]) if digits else None
        if digits is None or number is None or not least <= number <= most:
            raise SettingError(f"a whole number from {least} to {most}")
        if digits[0] != text:
            return Tolerated(number, f"{text!r} is read as {number}, as saslauthd does")
        return number

    return read


def read_servers(text: str) -> tuple[str, ...] | Tolerated:
    """URIs with blanks or commas between them."""
    uris, ignored = [], []
    for given in re.split(r"[\s,]+", text.strip(" ,\t")):
        match = _URI.fullmatch(given)
        if match is None or not _is_address(match["scheme"].lower(), match["host"], match["port"]):
            raise PartError("ldap://HOST/, ldaps://HOST/ or ldapi://PATH/", given)
        if match["rest"] in {None, "/"}:
            uris.append(given)
        else:
            uris.append(given[: match.start("rest")] + "/")
            ignored.append(f"{match['rest']!r} in {given!r} has no effect")
    return Tolerated(tuple(uris), "; ".join(ignored)) if ignored else tuple(uris)


def _is_address(scheme: str, host: str, port: str | None) -> bool:
    if port is not None and not 1 <= int(port) <= 65535:
        return False
    if scheme == "ldapi":
        path = unquote(host, errors="surrogateescape")
        return port is None and (not host or (path.startswith("/") and "\0" not in path))
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(unquote(host[1:-1]))
        except ValueError:
            return False
        return True
    return "%" not in host


def read_attribute(text: str) -> str:
    """The name of an attribute, with its options if it has any."""
    if not _ATTRIBUTE.fullmatch(text):
        raise SettingError("the name of an attribute")
    return text


def read_security_properties(text: str) -> SecurityProperties:
    """Words of Cyrus SASL with commas between them."""
    forbidden: set[str] | None = None
    numbers: dict[str, int | None] = {"minssf": 0, "maxssf": LARGEST_INTEGER, "maxbufsize": None}
    for word in text.lower().split(","):
        name, equals, number = word.strip().partition("=")
        if name == "none" and not equals:
            forbidden = set()
        elif name in _PROPERTIES and not equals:
            forbidden = (forbidden or set()) | {name}
        elif name in numbers and re.fullmatch(r"[0-9]{1,9}", number):
            numbers[name] = int(number)
        else:
            known = ", ".join(sorted(_PROPERTIES))
            raise PartError(f"none, {known}, minssf=N, maxssf=N or maxbufsize=N", word.strip())
    return SecurityProperties(
        _USUALLY_FORBIDDEN if forbidden is None else frozenset(forbidden),
        numbers["minssf"] or 0,
        numbers["maxssf"] or 0,
        numbers["maxbufsize"],
    )


def octets(text: str) -> bytes:
    """The bytes that stood in the file: what is not UTF-8 there is carried through as it is."""
    return text.encode("utf-8", "surrogateescape")


def tokens_in(text: str) -> set[str]:
    """The letters behind ``%`` in a filter or DN, which may or may not be tokens."""
    return set(_TOKEN.findall(text))


def _key(default: object, read: Callable[[Any], object], explanation: str, *aliases: str) -> Any:
    metadata = {"read": read, "explanation": explanation, "aliases": aliases}
    if isinstance(default, Secret):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_read_scope = one_of("sub", "one", "base")
_read_seconds = number_between(1, LONGEST_TIME)
_read_limit = number_between(0, LARGEST_INTEGER)


@dataclasses.dataclass(frozen=True, slots=True)
class LdapConf:
    """``saslauthd.conf`` as it was understood. Times are in seconds.

    Texts hold what is not UTF-8 as surrogates; :func:`octets` gives their bytes back. An empty text
    is a key that the file does not have.
    """

    servers: tuple[str, ...] = _key(
        ("ldap://localhost/",),
        read_servers,
        "URIs of the servers, with blanks between them; the first that answers serves",
    )
    bind_dn: str = _key("", str, "DN of the service account that searches; without one, it is anonymous")
    password: Secret = _key(
        Secret(b""), Secret, "password of ldap_bind_dn, or of ldap_id with ldap_use_sasl", "bind_pw"
    )
    version: int = _key(3, number_between(2, 3), "version of the protocol; 3 with StartTLS and SASL")
    search_base: str = _key("", str, "DN below which users are searched; may hold tokens")
    filter: str = _key(
        "(uid=%u)", str, "filter that finds the user, with tokens; for fastbind the DN of the user"
    )
    scope: str = _key("sub", _read_scope, "how deep users are searched: sub, one or base")
    auth_method: str = _key(
        "bind",
        one_of("bind", "custom", "fastbind"),
        "bind: search the user and bind as it; custom: read and compare the password; fastbind: no search",
    )
    password_attr: str = _key("userPassword", read_attribute, "attribute that method custom compares")
    group_dn: str = _key("", str, "DN of a group in which the user has to be; may hold tokens")
    group_attr: str = _key(
        "uniqueMember", read_attribute, "attribute of ldap_group_dn that holds its members"
    )
    group_match_method: str = _key(
        "attr",
        one_of("attr", "filter"),
        "whether ldap_group_attr or ldap_group_filter says who is in a group",
    )
    group_filter: str = _key("", str, "filter that finds a group of the user; tokens, %D is the user's DN")
    group_search_base: str = _key("", str, "DN below which groups are searched; by default ldap_search_base")
    group_scope: str = _key("sub", _read_scope, "how deep groups are searched: sub, one or base")
    default_realm: str = _key("", str, "realm of a request that has none", "default_domain")
    timeout: int = _key(5, _read_seconds, "seconds that connecting or an operation may take")
    time_limit: int = _key(5, _read_limit, "seconds that the server may search; 0 for no limit")
    size_limit: int = _key(1, _read_limit, "entries that the server may send; 0 for no limit")
    deref: str = _key(
        "never", one_of("never", "find", "search", "always"), "when the server follows alias entries"
    )
    referrals: bool = _key(False, read_switch, "follow referrals to other servers")
    restart: bool = _key(True, read_switch, "accepted without effect: nothing here ends prematurely")
    start_tls: bool = _key(False, read_switch, "encrypt ldap:// connections by StartTLS")
    tls_check_peer: bool | None = _key(
        None, read_switch, "verify the server's certificate; by default what ldap.conf says, else yes"
    )
    tls_cacert_file: Path | None = _key(None, read_path, "file with the certificates of trusted authorities")
    tls_cacert_dir: Path | None = _key(
        None, read_path, "directory with the certificates of trusted authorities"
    )
    tls_cert: Path | None = _key(None, read_path, "file with the client certificate")
    tls_key: Path | None = _key(None, read_path, "file with the key of the client certificate")
    tls_ciphers: str = _key("", str, "ciphers that TLS may use, as OpenSSL writes them")
    use_sasl: bool = _key(False, read_switch, "bind by SASL; method bind then becomes fastbind")
    id: str = _key("", str, "name by which the service account binds by SASL", "sasl_authc_id")
    authz_id: str = _key("", str, "name for which the service account acts", "sasl_authz_id")
    realm: str = _key("", str, "realm of the SASL bind; by default SASL_REALM of ldap.conf", "sasl_realm")
    mech: str = _key("", str.upper, "SASL mechanism; by default SASL_MECH of ldap.conf", "sasl_mech")
    sasl_secprops: SecurityProperties | None = _key(
        None, read_security_properties, "what the SASL bind must be, such as noplain,minssf=128"
    )
    debug: int = _key(0, number_between(-LARGEST_INTEGER, LARGEST_INTEGER), "accepted without effect")
    domain_from_realm: bool = _key(
        False, read_switch, "%d of a login without domain is the realm (not in saslauthd)"
    )
    dn_cache: int = _key(
        0,
        number_between(0, LONGEST_TIME),
        "seconds for which the DN of a login is remembered; 0 for never (not in saslauthd)",
    )
    max_operations: int = _key(
        32,
        number_between(1, 1000),
        "operations outstanding on one connection of the service account (not in saslauthd)",
    )
    max_connections: int = _key(
        256, number_between(4, 10_000), "connections of one worker (not in saslauthd)"
    )
    source: str = ""
    lines: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)
    """In which line each key was found, by the name of its field."""
    warnings: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    def at(self, name: str) -> str:
        """Where the key of field ``name`` is, to begin a message with: ``FILE:LINE: KEY``."""
        line = f":{self.lines[name]}" if name in self.lines else ""
        return f"{self.source}{line}: {PREFIX}{name}"

    @property
    def effective_method(self) -> str:
        """``bind``, ``custom`` or ``fastbind``. There is no search before a SASL bind as a user."""
        return "fastbind" if self.use_sasl and self.auth_method == "bind" else self.auth_method

    @property
    def effective_version(self) -> int:
        """StartTLS and SASL came with version 3."""
        return 3 if self.start_tls or self.use_sasl else self.version

    @property
    def effective_group_method(self) -> str | None:
        """``attr``, ``filter``, or None where no group is asked for.

        A filter alone is used, whatever the method: the original compares with no group at all
        then, and lets nobody in.
        """
        if self.group_filter and (self.group_match_method == "filter" or not self.group_dn):
            return "filter"
        return "attr" if self.group_dn else None

    @property
    def effective_group_search_base(self) -> str:
        """Where groups are searched."""
        return self.group_search_base or self.search_base

    @property
    def uses_tls(self) -> bool:
        """Whether any connection is encrypted."""
        return self.start_tls or any(uri.lower().startswith("ldaps:") for uri in self.servers)

    @property
    def nested_files(self) -> dict[str, Path]:
        """The files that this one names, by key. A worker may not be able to open them."""
        names = ("tls_cacert_file", "tls_cert", "tls_key")
        return {PREFIX + name: path for name in names if (path := getattr(self, name)) is not None}


KEYS: dict[str, "dataclasses.Field[Any]"] = {
    PREFIX + name: field
    for field in dataclasses.fields(LdapConf)
    for name in (field.name, *field.metadata.get("aliases", ()))
    if "read" in field.metadata
}
"""Every key that a file may have, aliases included."""


def explanations() -> dict[str, str]:
    """One line for each key and alias, for the manual page."""
    return {
        key: field.metadata["explanation"]
        if key == PREFIX + field.name
        else f"the same as {PREFIX}{field.name}"
        for key, field in KEYS.items()
    }

"""``saslauthd.conf``: ``KEY: VALUE`` a line, as mechanism ``ldap`` of saslauthd reads it. No I/O.

What saslauthd refuses or silently gets wrong, and what is clear to a person who reads it, is taken
for what it means, with a warning. What cannot be is an error. Messages begin with file and line and
never hold the password. All errors of a file are told at once.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pysaslauthd.config.complaints import Complaints, cut
from pysaslauthd.config.ldap_keys import KEYS, PREFIX, LdapConf, PartError, Tolerated, tokens_in
from pysaslauthd.config.settings import SettingError, did_you_mean
from pysaslauthd.core.secret import Secret

LARGEST_FILE = 1 << 20
"""Bytes. What is larger is no configuration, but a file that was named by mistake."""

_BLANKS = b" \t\v\f\r"
_LINE = re.compile(rb"([A-Za-z0-9_-]+)([ \t\v\f]*):[ \t\v\f\r]*(.*)", re.DOTALL)
_LOCAL = re.compile(r"ldap://(localhost|127\.[0-9.]+|\[::1\])?(:\d+)?/?$", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_MECHANISMS = ("krb5_", "httpform_")
_USER_TOKENS = set("uU")
_TOKENS = _USER_TOKENS | set("drRs123456789")
_SASL_KEYS = ("id", "authz_id", "realm", "mech", "sasl_secprops")
_TLS_KEYS = ("tls_check_peer", "tls_cacert_file", "tls_cacert_dir", "tls_cert", "tls_key", "tls_ciphers")


class LdapConfError(Exception):
    """The file cannot be used; one line for each reason."""


def read_ldap_conf(data: bytes, source: str) -> LdapConf:
    """The configuration that the bytes of the file ``source`` make.

    :raises LdapConfError: with everything that is wrong.
    """
    if len(data) > LARGEST_FILE:
        raise LdapConfError(
            f"{source}: {len(data)} bytes; expected a configuration of at most {LARGEST_FILE}"
        )
    reading = _Reading(source)
    if data.startswith(_BYTE_ORDER_MARK):
        data = data[len(_BYTE_ORDER_MARK) :]
        reading.warn(1, "a byte order mark, which is ignored; saslauthd refuses such a file")
    for number, line in enumerate(data.split(b"\n"), start=1):
        reading.take(number, line)
    return reading.result()


class _Reading:
    """What is known of a file when some of its lines have been read."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._values: dict[str, Any] = {}
        self._lines: dict[str, int] = {}
        self._unreadable: set[str] = set()
        self._errors = Complaints(source, "errors")
        self._warnings = Complaints(source, "warnings")
        self._saw_carriage_return = False
        self.fail = self._errors.add
        self.warn = self._warnings.add

    def take(self, number: int, line: bytes) -> None:
        """Understand one line, without its end."""
        stripped = line.strip(_BLANKS)
        if not stripped or stripped.startswith(b"#"):
            return
        if line.endswith(b"\r") and not self._saw_carriage_return:
            self._saw_carriage_return = True
            self.warn(
                number, "ends with a carriage return, as DOS writes lines; it is ignored, here and below"
            )
        match = _LINE.fullmatch(line.lstrip(_BLANKS).rstrip(b"\r"))
        if match is None:
            self.fail(number, _malformed(stripped))
            return
        key = match[1].decode().lower()
        if match[2]:
            self.warn(number, f"{key}: blanks before the colon are ignored; saslauthd refuses the file")
        value = self._unwrapped(number, key, match[3])
        if not value:
            self.fail(number, f"{key}: expected a value")
        elif b"\0" in value:
            self.fail(number, f"{key}: expected text, found a NUL byte")
        elif key in KEYS:
            self._set(number, key, value)
        elif not key.startswith(_OTHER_MECHANISMS):
            hint = "" if self._warnings.is_full else did_you_mean(key, KEYS)
            self.warn(number, f"{key}: no such key{hint}")

    def _unwrapped(self, number: int, key: str, value: bytes) -> bytes:
        stripped = value.rstrip(_BLANKS)
        if stripped and stripped != value:
            self.warn(
                number, f"{key}: blanks at the end are ignored; saslauthd takes them for a part of the value"
            )
        if len(stripped) >= 2 and stripped.startswith(b'"') and stripped.endswith(b'"'):
            stripped = stripped[1:-1]
            self.warn(
                number,
                f"{key}: the quotes around the value are ignored; saslauthd takes them for a part of it. "
                "If they are, write each twice",
            )
        return stripped

    def _set(self, number: int, key: str, raw: bytes) -> None:
        name, read = KEYS[key].name, KEYS[key].metadata["read"]
        if name in self._lines:
            self.warn(number, f"{key}: given again; this line counts, and not line {self._lines[name]}")
        self._lines[name] = number
        self._unreadable.discard(name)
        if read is Secret:
            self._values[name] = Secret(raw)
            return
        text = raw.decode("utf-8", "surrogateescape")
        try:
            value = read(text)
        except SettingError as error:
            found = error.found if isinstance(error, PartError) else text
            self._unreadable.add(name)
            self.fail(number, f"{key}: expected {error}, found {cut(found)!r}")
            return
        if isinstance(value, Tolerated):
            self.warn(number, f"{key}: {value.warning}")
            value = value.value
        elif isinstance(value, str):
            self._doubt(number, key, raw, text)
        self._values[name] = value

    def _doubt(self, number: int, key: str, raw: bytes, text: str) -> None:
        if re.search(r"\s#", text):
            self.warn(number, f"{key}: the '#' is a part of the value; a comment needs a line of its own")
        if raw.decode(errors="replace") != text:
            self.warn(number, f"{key}: not UTF-8, which directory servers expect; sent as it is")

    def result(self) -> LdapConf:
        """All lines together.

        :raises LdapConfError: one of them, or their combination, cannot be.
        """
        conf = LdapConf(**self._values, source=self._source, lines=self._lines)
        # What hangs on a value that could not be read is no error of its own.
        contradictions = [
            f"{conf.at(names[0])}: {text}"
            for names, text in _contradictions(conf)
            if self._unreadable.isdisjoint(names)
        ]
        if errors := self._errors.all() + contradictions:
            raise LdapConfError("\n".join(errors))
        remarks = (f"{conf.at(name)}: {text}" for name, text in _remarks(conf))
        return dataclasses.replace(conf, warnings=(*self._warnings.all(), *remarks))


def _malformed(line: bytes) -> str:
    # The line is not shown: it may be one of the password.
    word = re.match(rb"[A-Za-z0-9_-]+", line)
    key = word[0].decode().lower() if word else ""
    return f"{key}: expected a colon behind the key" if key in KEYS else "expected KEY: VALUE"


def _contradictions(conf: LdapConf) -> Iterator[tuple[tuple[str, ...], str]]:
    """What could never work or would let anybody in: the keys involved, the first to be named, and why."""
    ldaps = next((uri for uri in conf.servers if uri.lower().startswith("ldaps:")), None)
    if conf.start_tls and ldaps is not None:
        yield ("start_tls", "servers"), f"not with the server {ldaps}, which speaks TLS from the first byte"
    if conf.group_match_method == "filter" and conf.group_dn and not conf.group_filter:
        yield (
            ("group_match_method", "group_dn", "group_filter"),
            "expected ldap_group_filter beside it; without one nobody is in a group",
        )
    if conf.effective_method == "fastbind" and not conf.use_sasl:
        names = ("filter", "auth_method", "use_sasl")
        if conf.filter.startswith("("):
            example = "uid=%u,ou=people,dc=example,dc=org"
            yield (
                names,
                f"expected the DN of a user for fastbind, such as {example}, found {cut(conf.filter)!r}",
            )
        elif not tokens_in(conf.filter) & _TOKENS:
            yield names, "expected a token such as %u; everybody would bind as the same user"


def _remarks(conf: LdapConf) -> Iterator[tuple[str, str]]:
    """What works, and may not be what was meant: a key, and what is done."""
    yield from _remarks_on_the_service_account(conf)
    yield from _remarks_on_users(conf)
    yield from _remarks_on_groups(conf)
    yield from _remarks_on_tls(conf)
    if conf.debug:
        yield "debug", "has no effect here"
    if conf.version != conf.effective_version:
        yield "version", f"{conf.effective_version} is used: StartTLS and SASL came with it"


def _remarks_on_the_service_account(conf: LdapConf) -> Iterator[tuple[str, str]]:
    if not conf.use_sasl:
        yield from _without_effect(conf, _SASL_KEYS, "without ldap_use_sasl")
        if conf.effective_method == "fastbind":
            yield from _without_effect(
                conf, ("bind_dn", "password"), "with fastbind, which binds as the user alone"
            )
        elif conf.password and not conf.bind_dn:
            yield "password", "has no effect without ldap_bind_dn: the bind is anonymous"
        elif conf.bind_dn and not conf.password:
            yield "bind_dn", "has no effect without ldap_password: the bind is anonymous"


def _remarks_on_users(conf: LdapConf) -> Iterator[tuple[str, str]]:
    if conf.use_sasl and conf.auth_method == "bind":
        yield "use_sasl", "turns method bind into fastbind: users bind by SASL, and none is searched"
    if conf.effective_method != "custom":
        yield from _without_effect(conf, ("password_attr",), "without ldap_auth_method: custom")
    tokens = tokens_in(conf.filter)
    if conf.effective_method == "fastbind":
        if not conf.use_sasl and not tokens & _USER_TOKENS:
            yield "filter", "has neither %u nor %U: users whose other tokens are alike bind as the same user"
    elif not tokens & _TOKENS:
        yield "filter", "has no token such as %u: every login finds the same user"


def _remarks_on_groups(conf: LdapConf) -> Iterator[tuple[str, str]]:
    method = conf.effective_group_method
    if method is None:
        keys: tuple[str, ...] = ("group_attr", "group_match_method", "group_search_base", "group_scope")
        yield from _without_effect(
            conf, keys, "without ldap_group_dn or ldap_group_filter: no group is asked for"
        )
    elif method == "attr":
        keys = ("group_filter", "group_search_base", "group_scope")
        yield from _without_effect(conf, keys, "without ldap_group_match_method: filter")
    elif conf.group_match_method == "attr":
        yield "group_filter", "is used, as there is no ldap_group_dn; saslauthd lets nobody in then"


def _remarks_on_tls(conf: LdapConf) -> Iterator[tuple[str, str]]:
    if not conf.start_tls and not conf.use_sasl and (uri := next(filter(_is_in_clear, conf.servers), None)):
        yield (
            "servers",
            f"passwords go to {cut(uri)} in clear, for who is on the way to read; ldap_start_tls: yes helps",
        )
    if not conf.uses_tls:
        yield from _without_effect(
            conf, _TLS_KEYS, "without ldap_start_tls or an ldaps:// server: TLS is not used"
        )
        return
    if conf.tls_check_peer is False:
        yield "tls_check_peer", "servers are not verified: who is on the way to them can read every password"
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(conf, name) is not None and getattr(conf, other) is None:
            yield name, f"has no effect without {PREFIX}{other}: no client certificate is shown"


def _is_in_clear(uri: str) -> bool:
    """Whether what is sent there leaves this machine as it is."""
    return uri.lower().startswith("ldap:") and not _LOCAL.match(uri)


def _without_effect(conf: LdapConf, names: Iterable[str], reason: str) -> Iterator[tuple[str, str]]:
    return ((name, f"has no effect {reason}") for name in names if name in conf.lines)


class ClientDefaults(NamedTuple):
    """What counts of OpenLDAP's ``ldap.conf``. ``tls_reqcert`` is never, allow, try, demand or hard."""

    tls_cacert: Path | None = None
    tls_cacertdir: Path | None = None
    tls_reqcert: str | None = None
    sasl_mech: str = ""
    sasl_realm: str = ""


def read_client_defaults(data: bytes) -> ClientDefaults:
    """The defaults that the bytes of ``ldap.conf`` make.

    It is another program's file, so what it means to libldap alone, or to nobody, is passed over.
    """
    values: dict[str, Any] = {}
    for line in data.split(b"\n"):
        words = line.strip(_BLANKS).split(None, 1)
        if len(words) < 2 or b"\0" in words[1]:
            continue
        name = words[0].decode("ascii", "replace").lower()
        text = words[1].decode("utf-8", "surrogateescape")
        if name in {"tls_cacert", "tls_cacertdir"} and text.startswith("/"):
            values[name] = Path(text)
        elif name == "tls_reqcert" and text.lower() in {"never", "allow", "try", "demand", "hard"}:
            values[name] = text.lower()
        elif name == "sasl_mech":
            values[name] = text.upper()
        elif name == "sasl_realm":
            values[name] = text
    return ClientDefaults(**values)

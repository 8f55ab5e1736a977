"""What stands in a directory of a test's own: people with all kinds of names, and the groups they are in."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

SUFFIX = "dc=example,dc=test"
PEOPLE, OTHERS, GROUPS = f"ou=people,{SUFFIX}", f"ou=others,{SUFFIX}", f"ou=groups,{SUFFIX}"
SERVICES, REALMS, REFERRALS = f"ou=services,{SUFFIX}", f"ou=realms,{SUFFIX}", f"ou=referrals,{SUFFIX}"

SERVICE_DN, SERVICE_PASSWORD = f"cn=reader,{SERVICES}", b"reader's Pass_9"
"""The account that may read ``userPassword``."""

Value = str | bytes


class Entry(NamedTuple):
    """One entry; ``attributes`` by name, each with its values in order, the object classes among them."""

    dn: str
    attributes: Mapping[str, Sequence[Value]]


class Person(NamedTuple):
    """Somebody who logs in. ``stored`` are the values of ``userPassword``; without, there is none."""

    dn: str
    login: str
    password: bytes
    stored: tuple[bytes, ...]

    @property
    def entry(self) -> Entry:
        attributes: dict[str, Sequence[Value]] = {
            "objectClass": ["inetOrgPerson"],
            "uid": [self.login],
            "cn": [self.login],
            "sn": ["x"],
            "mail": [f"{self.login}@mail.test"],
        }
        if self.stored:
            attributes["userPassword"] = self.stored
        for name, value in _first_rdn(self.dn):
            if value not in attributes[name]:
                attributes[name] = [*attributes[name], value]
        return Entry(self.dn, attributes)


def person(login: str, password: bytes, rdn: str = "", below: str = PEOPLE) -> Person:
    """One whose password is stored as it is."""
    return Person(f"{rdn or f'uid={escaped(login)}'},{below}", login, password, (password,))


def stored_as(login: str, password: bytes, *stored: bytes) -> Person:
    """One with something else in ``userPassword``, or with nothing."""
    return Person(f"uid={escaped(login)},{PEOPLE}", login, password, stored)


def escaped(value: str) -> str:
    """``value`` as it stands in a DN (RFC 4514), every special character as two hexadecimal digits."""
    special = ',+"\\<>;=#\0'
    blank = {0, len(value) - 1}
    return "".join(
        f"\\{ord(c):02x}" if c in special or (c == " " and n in blank) else c for n, c in enumerate(value)
    )


def user(number: int) -> Person:
    """One of the many alike: ``u7`` with the password ``u7's Secret``."""
    return person(f"u{number}", f"u{number}'s Secret".encode())


U0, U1 = user(0), user(1)

# A part of a DN has 240 bytes at most in slapd's database, so 600 need three.
_LONG_UNITS = (f"ou={'m' * 200},{PEOPLE}", f"ou={'n' * 200},ou={'m' * 200},{PEOPLE}")

STRANGE_NAMES = {
    p.login: p
    for p in (
        person("comma", b"comma's", r"cn=Doe\, Jane"),
        person("plus", b"plus's", r"cn=A\+B"),
        person("two-parts", b"two-parts's", "cn=two+uid=two-parts"),
        person("quotes", b"quotes's", r"cn=The \22Boss\22 \3cx\3e\; \23\3d1"),
        person("backslash", b"backslash's", r"cn=back\5cslash \5c2c"),
        person("hash", b"hash's", r"cn=\23leading"),
        person("blanks", b"blanks's", r"cn=\20both ends\20"),
        person("jürgen", "jürgens Größe".encode(), "cn=Jürgen Größe"),
        person("kanji", "漢字".encode(), "cn=漢字 😀"),
        person("long", b"long's", f"cn={'l' * 200}", _LONG_UNITS[1]),
        person("has space", b"space's"),
        person("joe@inside.test", b"inside's"),
        person("star*", b"star's"),
        person("(paren)", b"paren's"),
        person(r"back\slash", b"back's"),
        person("a,b+c=d", b"comma-login's"),
        person("MixedCase", b"mixed's"),
    )
}
"""People whose login or DN has what has a meaning in a filter or a DN; by login."""

ODD_PASSWORDS = {
    name: person(f"odd-{name}", password)
    for name, password in {
        "bytes-1": bytes(range(1, 101)),
        "bytes-2": bytes(range(101, 201)),
        "bytes-3": bytes(range(201, 256)),
        "126": b"x" * 126,
        "127": b"y" * 127,
        "128": b"z" * 128,
        "255": bytes(range(1, 256)),
        "blanks": b"  both ends  ",
        "nbsp": "a\u00a0b\u00adc".encode(),
        "latin": b"gr\xfc\xdfe",
        "crlf": b"a\r\nb",
        "one": b"1",
        "hash": b"{SSHA}x",
        "format": b"%s%n%u",
    }.items()
}
"""People by what is odd about their password; between them these hold every byte from 1 to 255."""

TWIN, OTHER_TWIN = person("twin", b"first twin's"), person("twin", b"second twin's", below=OTHERS)
"""Two entries with one login."""

INNER = person("inner-user", b"inner's", below=f"ou=inner,{PEOPLE}")
"""Somebody a level deeper: who may add to a DN, reaches ``uid=inner-user,ou=inner`` by it."""

NO_PASSWORD = stored_as("no-password", b"none")
TWO_PASSWORDS = stored_as("two-passwords", b"old one", b"old one", b"new one")
"""Logs in with ``old one`` and with ``new one``."""

REALM_USERS = {
    realm: person("joe", f"joe's at {realm}".encode(), below=f"o={realm},{REALMS}")
    for realm in ("one.test", "two.test", "sub.one.test", "imap", "smtp")
}
"""The same login below ``o=REALM,ou=realms``, for %r, %d, %s in a search base."""

STAFF, ADMINS, MAIL, MAIL_TOO, NOBODY = (
    f"cn={name},{GROUPS}" for name in ("staff", "admins", "mail", "mail-too", "nobody")
)
"""``STAFF`` (uniqueMember): u0, comma, jürgen. ``ADMINS`` (member): u0. ``MAIL``, ``MAIL_TOO`` (memberUid): u0, u2;
u0 is so in two groups. ``NOBODY`` (uniqueMember): who does not exist."""


def directory(users: int) -> list[Entry]:
    """Everything above, with ``users`` of those who are alike."""
    people = [*(user(number) for number in range(users)), *STRANGE_NAMES.values(), *ODD_PASSWORDS.values()]
    people += [INNER, TWIN, OTHER_TWIN, NO_PASSWORD, TWO_PASSWORDS, *REALM_USERS.values()]
    return [*_frame(), *(p.entry for p in people), *_groups()]


def referral(rdn: str, url: str, below: str = REFERRALS) -> Entry:
    """An entry that says: elsewhere. A search above it gets a reference, one below it the result referral."""
    name, _, value = rdn.partition("=")
    attributes = {"objectClass": ["referral", "extensibleObject"], name: [value], "ref": [url]}
    return Entry(f"{rdn},{below}", attributes)


def alias(rdn: str, target: str, below: str = OTHERS) -> Entry:
    name, _, value = rdn.partition("=")
    attributes = {"objectClass": ["alias", "extensibleObject"], name: [value], "aliasedObjectName": [target]}
    return Entry(f"{rdn},{below}", attributes)


def ldif(entries: Iterable[Entry]) -> bytes:
    """The text that slapadd and ldapadd read; all values as base64, so that nothing has a meaning."""
    lines: list[bytes] = []
    for dn, attributes in entries:
        lines.append(b"dn:: " + base64.b64encode(dn.encode()))
        for name, values in attributes.items():
            encoded = (base64.b64encode(v if isinstance(v, bytes) else v.encode()) for v in values)
            lines += [name.encode() + b":: " + value for value in encoded]
        lines.append(b"")
    return b"\n".join(lines) + b"\n"


def _frame() -> list[Entry]:
    """What the others stand below."""
    suffix: dict[str, Sequence[Value]] = {"objectClass": ["dcObject", "organization"], "dc": ["example"]}
    units = (PEOPLE, OTHERS, GROUPS, SERVICES, REALMS, REFERRALS, f"ou=inner,{PEOPLE}", *_LONG_UNITS)
    reader: dict[str, Sequence[Value]] = {
        "objectClass": ["organizationalRole", "simpleSecurityObject"],
        "cn": ["reader"],
        "userPassword": [SERVICE_PASSWORD],
    }
    return [
        Entry(SUFFIX, {**suffix, "o": ["Example"]}),
        *(Entry(dn, {"objectClass": ["organizationalUnit"], "ou": [dn[3 : dn.index(",")]]}) for dn in units),
        Entry(SERVICE_DN, reader),
        *(
            Entry(f"o={realm},{REALMS}", {"objectClass": ["organization"], "o": [realm]})
            for realm in REALM_USERS
        ),
    ]


def _groups() -> list[Entry]:
    staff = [U0.dn, STRANGE_NAMES["comma"].dn, STRANGE_NAMES["jürgen"].dn]
    posix = {"objectClass": ["posixGroup"], "gidNumber": ["1000"], "memberUid": ["u0", "u2"]}
    unique = {"objectClass": ["groupOfUniqueNames"]}
    return [
        Entry(STAFF, {**unique, "cn": ["staff"], "uniqueMember": staff}),
        Entry(ADMINS, {"objectClass": ["groupOfNames"], "cn": ["admins"], "member": [U0.dn]}),
        Entry(MAIL, {**posix, "cn": ["mail"]}),
        Entry(MAIL_TOO, {**posix, "cn": ["mail-too"]}),
        Entry(NOBODY, {**unique, "cn": ["nobody"], "uniqueMember": [f"uid=nobody,{PEOPLE}"]}),
    ]


def _first_rdn(dn: str) -> list[tuple[str, str]]:
    """Names and values of the first part of ``dn``, unescaped; no escaped character there is a part's end."""
    end = next(n for n, c in enumerate(dn) if c == "," and dn[n - 1] != "\\")
    parts = dn[:end].replace(r"\+", r"\2b").replace(r"\,", r"\2c").replace(r"\;", r"\3b").split("+")
    return [(name, _unescaped(value)) for name, _, value in (part.partition("=") for part in parts)]


def _unescaped(value: str) -> str:
    for character in ',+"<>;=# \\':
        value = value.replace(f"\\{ord(character):02x}", character)
    return value

"""What files of ``saslauthd.conf`` and which logins are compared: the shape, and the reasons of differences."""

from typing import NamedTuple

from support.ldap_directory import Person

HEAD = "ldap_servers: $ldap\nldap_search_base: $people\n"
SERVICE = "ldap_bind_dn: $reader\nldap_password: $reader_password\n"

UNAVAILABLE = "our side or the directory broke, which says nothing of the password"
ANONYMOUS = "a DN without a password binds anonymously; the original sends the DN, which most servers refuse"
CUT = "the original cuts a password at 127 bytes"
EMPTY_DN = "the original takes an empty DN for a success"
INJECTION = "the original lets a login add parts to a DN"
PASS_THE_HASH = "for the original a stored value of an unknown scheme is the password itself"
MORE_SCHEMES = "the original knows no SHA-2, PBKDF2, ARGON2 and CLEARTEXT"
LONGER = "the original does not see bytes behind a digest without salt"
ALL_VALUES = "the original compares with the last value of the attribute only"
SWITCH = "the original takes Yes, On and True for no"
TOLERANT = "the original refuses the file, or takes blanks and quotes for a part of the value"
STRICT = "a value that cannot be is an error; the original takes it for 0, or for the default"
WORDS = "the original does not know the words bind and sub, and leaves what was said before"
SKIPS = "the original asks a server that does not answer again instead of the next one"
GROUP_FILTER = "a group filter is used, also without the method; the original compares with no group then"
GROUP_LIMIT = "two groups are more than the size limit for the original; one is enough"
PERCENT = "a single percent sign at the end doubles what is before it in the original"
CIPHERS = "Debian's libldap reads GnuTLS' words, and ours those of OpenSSL"

REASONS = {text for name, text in globals().items() if name.isupper() and name not in {"HEAD", "SERVICE"}}


class Ask(NamedTuple):
    """One login and its verdicts: ``OK``, ``NO``, or ``-`` for none. Where they differ, there is a reason."""

    login: bytes
    password: bytes
    reference: str
    ours: str
    because: str
    service: bytes
    realm: bytes


class Case(NamedTuple):
    """A file, with names of servers and files as ``$NAME``, and the logins to try, in this order."""

    name: str
    text: str
    asks: tuple[Ask, ...]
    client_defaults: str = ""
    """``ldap.conf``, in the same way."""
    options: tuple[str, ...] = ()
    """Of both daemons."""


def ask(
    login: str | bytes,
    password: str | bytes,
    reference: str = "NO",
    *,
    ours: str = "",
    because: str = "",
    service: str = "imap",
    realm: str = "",
) -> Ask:
    """A login that is refused unless something else is said; ours says the same unless ``because``."""
    assert bool(ours) == bool(because)
    assert because in {"", *REASONS}
    return Ask(
        login if isinstance(login, bytes) else login.encode(),
        password if isinstance(password, bytes) else password.encode(),
        reference,
        ours or reference,
        because,
        service.encode(),
        realm.encode(),
    )


def right(
    person: Person,
    reference: str = "OK",
    *,
    ours: str = "",
    because: str = "",
    service: str = "imap",
    realm: str = "",
) -> Ask:
    return ask(
        person.login, person.password, reference, ours=ours, because=because, service=service, realm=realm
    )


def wrong(person: Person, *, service: str = "imap", realm: str = "") -> Ask:
    """With a password that differs at its beginning, as the original cuts the end of long ones."""
    return ask(person.login, b"~" + person.password, service=service, realm=realm)


def unavailable(person: Person) -> tuple[Ask, ...]:
    """Nobody can be checked."""
    return (
        right(person, "NO", ours="-", because=UNAVAILABLE),
        ask(person.login, "wrong", ours="-", because=UNAVAILABLE),
    )

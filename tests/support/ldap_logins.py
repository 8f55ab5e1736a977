"""Files of ``saslauthd.conf`` for each method, a daemon of ours with them, and what a slapd is asked for a login."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from support.ldap_clients import PATIENCE
from support.ldap_daemon import LdapDaemon, ours
from support.ldap_directory import PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Entry, Person
from support.slapd import Slapd
from support.tcp_ports import HOST
from support.tcp_proxy import TcpProxy

T = TypeVar("T")

PEOPLE_BASE = f"ldap_search_base: {PEOPLE}\n"
SERVICE = f"ldap_bind_dn: {SERVICE_DN}\nldap_password: {SERVICE_PASSWORD.decode()}\n"

BIND = PEOPLE_BASE + SERVICE
CUSTOM = BIND + "ldap_auth_method: custom\n"
FASTBIND = f"ldap_auth_method: fastbind\nldap_filter: uid=%u,{PEOPLE}\n"

PATIENT = f"ldap_timeout: {PATIENCE}\n"

METHODS = {"bind": BIND, "custom": CUSTOM, "fastbind": FASTBIND}
"""The lines of each besides ``ldap_servers``."""


@contextlib.contextmanager
def daemon(slapd: Slapd, text: str, *options: str, foreground: str = "-d") -> Iterator[LdapDaemon]:
    """Ours with one worker, which has asked ``slapd`` already whether it is there."""
    text = f"ldap_servers: {slapd.ldap}\n{PATIENT}{text}"
    with ours(text, "-n", "1", *options, foreground=foreground) as running:
        running.ask(b"nobody at all", b"x")
        yield running


@contextlib.contextmanager
def daemons_of(slapd: Slapd) -> Iterator[dict[str, LdapDaemon]]:
    """One for each method; they start at the same time."""
    with contextlib.ExitStack() as stack:
        started = {}
        for method, text in METHODS.items():
            started[method] = ours(f"ldap_servers: {slapd.ldap}\n{PATIENT}{text}", "-n", "1")
            started[method].start()
            stack.push(started[method])
        for each in started.values():
            each.wait_ready()
            each.ask(b"nobody at all", b"x")
        yield started


def asked(slapd: Slapd, login: LdapDaemon, *request: bytes) -> tuple[str, list[str]]:
    """The verdict, and what ``slapd`` was asked for it."""
    slapd.forget()
    return login.ask(*request), slapd.operations()


def verdicts(started: LdapDaemon, *requests: tuple[bytes, ...]) -> str:
    """Of one login after the other, with blanks between them."""
    return " ".join(started.ask(*request) for request in requests)


def through(proxy: TcpProxy, text: str) -> str:
    """The file ``text`` with ``proxy`` as its server, whatever was said before."""
    return f"{text}ldap_servers: ldap://{HOST}:{proxy.port}\n"


def of(*keys: str) -> Callable[[T], T]:
    """Says that the test behind it would fail if one of these keys, written without ``ldap_``, were ignored."""
    del keys
    return lambda test: test


def traffic(log: str) -> list[tuple[str, str]]:
    """Connection and kind (BIND, SRCH, CMP) of each operation in a part of a slapd's log."""
    return re.findall(r"conn=(\d+) op=\d+ (BIND(?= .* method)|SRCH(?= base)|CMP)", log)


def bind(dn: str) -> str:
    """The operation, as slapd writes it down."""
    return f'BIND dn="{dn}" method=128'


def search(base: str, text: str, scope: int = 2) -> str:
    return f'SRCH base="{base}" scope={scope} deref=0 filter="{text}"'


def right(who: Person) -> tuple[bytes, bytes]:
    """What ``who`` logs in with."""
    return who.login.encode(), who.password


def wrong(who: Person) -> tuple[bytes, bytes]:
    return who.login.encode(), b"~" + who.password


def failing(who: Person, code: int) -> Entry:
    """The entry of ``who``, whose bind is answered with ``code``; the server needs the overlay retcode."""
    attributes = who.entry.attributes
    classes = [*attributes["objectClass"], "errAuxObject"]
    return Entry(who.dn, {**attributes, "objectClass": classes, "errCode": [str(code)], "errOp": ["bind"]})

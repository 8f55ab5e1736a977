"""The programs of a machine that ask a saslauthd: by which files, as whom, from which chroot, by which socket."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor import sasl_files
from pysaslauthd.commands.doctor.postfix import DIRECTORY, SmtpdService, postfix_of
from pysaslauthd.commands.doctor.sasl_files import Search
from pysaslauthd.commands.doctor.tree import Tree

DEBIANS_SOCKET = Path("/var/run/saslauthd/mux")
RED_HATS_SOCKET = Path("/run/saslauthd/mux")
"""Where libsasl looks unless it is told, as the distributions build it. In a chroot these are two places."""

_EXIMS_FILES = (Path("/etc/exim4"), Path("/etc/exim"), Path("/etc/exim.conf"))
_ASKS_BY_EXIM = re.compile(r"\bsaslauthd\s*\{")
_MOST_FILES = 1000
_DEEPEST = 4


class Client(NamedTuple):
    """A way in which a program asks."""

    program: str
    what: str
    """What it is called in a sentence."""
    users: tuple[str, ...]
    """Who may be the one that connects; the first that there is. Empty where that cannot be known."""
    service: str
    """As it says it; empty for none."""
    unit: str
    """What is restarted for it to read its files anew."""
    socket: Path
    """As the program has it."""
    jail: Path | None = None
    """Where its root is, if not the machine's."""
    realm: str = ""
    """What it says where a login has none."""
    search: Search | None = None
    """What libsasl reads for it; None for a program with a client of its own."""
    splits_logins: bool = True
    """Whether libsasl cuts the realm off for it."""


class Program(NamedTuple):
    """A program that reads one file by libsasl."""

    name: str
    application: str
    users: tuple[str, ...]
    service: str
    unit: str
    mark: Path
    """Is there where the program is."""
    directories: tuple[Path, ...] = ()
    """Where it has libsasl look; nothing for where that looks by itself."""


_BY_LIBSASL = (
    Program("sendmail", "Sendmail", ("root",), "smtp", "sendmail", Path("/etc/mail/sendmail.cf")),
    Program(
        "slapd",
        "slapd",
        ("openldap", "ldap"),
        "ldap",
        "slapd",
        Path("/usr/sbin/slapd"),
        # Debian's; elsewhere libsasl looks by itself.
        (Path("/etc/ldap/sasl2"), Path("/usr/lib/sasl2")),
    ),
    Program(
        "memcached",
        "memcached",
        ("memcache", "memcached"),
        "memcached",
        "memcached",
        Path("/usr/bin/memcached"),
    ),
    Program("svnserve", "svn", (), "svn", "", Path("/usr/bin/svnserve")),
    Program("libvirt", "libvirt", ("root",), "libvirt", "libvirtd", Path("/usr/sbin/libvirtd")),
)
NAMES = ("postfix", "exim", "cyrus", *(each.name for each in _BY_LIBSASL))


def clients_of(tree: Tree, names: Iterable[str] = ()) -> list[Client]:
    """What asks in that tree; only of the programs ``names``, if there are any, and then also where they do not ask yet."""
    wanted = frozenset(names)
    gatherers: dict[str, Callable[[], Iterator[Client]]] = {
        "postfix": lambda: _postfix(tree),
        "exim": lambda: _exim(tree),
        "cyrus": lambda: _cyrus(tree),
    }
    for program in _BY_LIBSASL:
        gatherers[program.name] = lambda program=program: _by_libsasl(tree, program, is_wanted=bool(wanted))  # type: ignore[misc]
    return [client for name in NAMES if not wanted or name in wanted for client in gatherers[name]()]


def default_socket(tree: Tree) -> Path:
    """Where libsasl and Exim look in that tree, unless they are told."""
    return DEBIANS_SOCKET if tree.has(Path("/etc/debian_version")) else RED_HATS_SOCKET


def _socket(tree: Tree, search: Search) -> Path:
    return Path("/", search.values.get("saslauthd_path", str(default_socket(tree))))


def _postfix(tree: Tree) -> Iterator[Client]:
    found = postfix_of(tree)
    if found is None:
        return
    seen: dict[tuple[object, ...], list[SmtpdService]] = {}
    for service in found.services:
        if service.asks and service.is_by_libsasl:
            values = service.parameters
            names = (
                "smtpd_sasl_path",
                "smtpd_sasl_service",
                "smtpd_sasl_local_domain",
                "cyrus_sasl_config_path",
            )
            key = (service.is_chrooted, *(values[name] for name in names))
            seen.setdefault(key, []).append(service)
    for (is_chrooted, *_), services in seen.items():
        values = services[0].parameters
        path = _postfix_path(tree, values["cyrus_sasl_config_path"])
        search = sasl_files.search(tree, values["smtpd_sasl_path"], path)
        listed = ", ".join(each.name for each in services)
        yield Client(
            "postfix",
            f"postfix ({listed}{', in a chroot' if is_chrooted else ''})",
            (found.owner,),
            values["smtpd_sasl_service"],
            "postfix",
            _socket(tree, search),
            found.queue_directory if is_chrooted else None,
            values["smtpd_sasl_local_domain"],
            search,
        )


def _postfix_path(tree: Tree, configured: str) -> tuple[Path, ...]:
    """Where Postfix has libsasl look. Debian's looks in two places of its own, whatever the parameter says."""
    if tree.has(Path("/etc/debian_version")):
        return (DIRECTORY / "sasl", Path("/usr/lib/sasl"))
    named = tuple(Path(each) for each in configured.split(":") if each)
    return named or sasl_files.built_in_path(tree)


def _exim(tree: Tree) -> Iterator[Client]:
    """Exim's client is its own, its socket compiled in, and whether it asks is in its configuration."""
    for file in _EXIMS_FILES:
        texts = itertools.islice(_texts(tree, file), _MOST_FILES)
        if any(_ASKS_BY_EXIM.search(_without_comments(text)) for text in texts):
            unit = "exim4" if tree.has(Path("/usr/sbin/exim4")) else "exim"
            users = ("Debian-exim", "exim", "mail")
            yield Client("exim", "exim", users, "", unit, default_socket(tree), splits_logins=False)
            return


def _texts(tree: Tree, file: Path, depth: int = 0) -> Iterator[str]:
    """The texts of a file, or of all below a directory."""
    text = tree.read(file)
    if text is not None:
        yield text
    elif depth < _DEEPEST:
        for name in tree.names(file):
            yield from _texts(tree, name, depth + 1)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _cyrus(tree: Tree) -> Iterator[Client]:
    """Cyrus IMAP gives libsasl what its own file says behind ``sasl_``."""
    path = Path("/etc/imapd.conf")
    text = tree.read(path)
    if text is None:
        return
    file = sasl_files.parsed(path, text, "sasl_")
    search = Search(path.name, (path.parent,), file, ())
    yield Client(
        "cyrus", "cyrus imapd", ("cyrus",), "imap", "cyrus-imapd", _socket(tree, search), search=search
    )


def _by_libsasl(tree: Tree, program: Program, *, is_wanted: bool) -> Iterator[Client]:
    if not tree.has(program.mark):
        return
    is_debian = tree.has(Path("/etc/debian_version"))
    path = program.directories if program.directories and is_debian else sasl_files.built_in_path(tree)
    search = sasl_files.search(tree, program.application, path)
    if search.read is None and not search.unread and not is_wanted:
        return
    yield Client(
        program.name,
        program.name,
        program.users,
        program.service,
        program.unit,
        _socket(tree, search),
        search=search,
    )

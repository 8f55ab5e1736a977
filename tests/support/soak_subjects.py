"""The daemons of the soak test: one for each mechanism, with limits near enough to be reached."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from support import ldap_daemon, pam_daemon, processes, shadow
from support.accounts import Account
from support.daemon import FRONT, Daemon
from support.ldap_clients import configuration, uri_of
from support.ldap_directory import person
from support.namespaces import need_namespaces
from support.pam_files import UNIX, PamFiles
from support.processes import Process
from support.slapd import Options, Slapd
from support.soak_judge import Limits, Terms
from support.tcp_proxy import TcpProxy
from support.waiting import wait_until

MARK = "Rosinenbrot"
"""Begins every password of the soak test, so that none is in a log unseen."""

USERS = tuple(f"user{number}" for number in range(12))
GUESSED = "guessed"
HANGS = "hangs"
"""A PAM service that keeps a worker until the deadline."""

SHARED_REALM = "shared"
"""Of those who may be remembered, or joined to each other; all others have realms of their own."""

LIMITS = Limits(read=4.0, login=6.0, queue=4.0, delay=1.5)
CONNECTIONS = 64
QUEUE = 40
SETTLE_LIMIT = 60.0
"""Seconds in which a daemon that is left alone is as it was: workers beyond those kept ready idle for ten of them."""

_SETTINGS = {
    "read_timeout": f"{LIMITS.read}s",
    "login_timeout": f"{LIMITS.login}s",
    "queue_timeout": f"{LIMITS.queue}s",
    "queue_length": str(QUEUE),
    "connections": str(CONNECTIONS),
}
_GROWTH_KIB = 32 << 10
_SLOW = "auth optional pam_faildelay.so delay=1000000\n" + UNIX
_HANGING = "auth required pam_exec.so quiet /bin/sleep 60\naccount required pam_permit.so\n"


def password_of(user: str) -> bytes:
    return f"{MARK} of {user}".encode()


class Footprint(NamedTuple):
    """What a daemon takes of the machine when it has nothing to do."""

    processes: tuple[str, ...]
    descriptors: tuple[tuple[str, str], ...]
    """Of master and front, as they say."""


class Subject(NamedTuple):
    """A daemon that runs."""

    name: str
    mux: Path
    pid: int
    """Of the master."""
    log: Path
    workers: int
    """Kept ready."""
    services: tuple[str, ...]
    reload: Callable[[], None]
    """Asks for a reload, which may fail."""
    refresh: Callable[[], None]
    """Changes a file that the daemon watches, and nothing in it."""
    servers: int = 0
    has_cache: bool = False

    @property
    def terms(self) -> Terms:
        return Terms(self.log, LIMITS, self.servers, GUESSED, SHARED_REALM if self.has_cache else None)

    @property
    def worker_name(self) -> str:
        return f"pysasl-{self.name}"

    def children(self, name: str = "") -> list[Process]:
        return [child for child in processes.descendants(self.pid) if name in {"", child.name}]

    def log_size(self) -> int:
        return self.log.stat().st_size

    def log_from(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="surrogateescape")

    def footprint(self) -> Footprint:
        """Once it has settled, so that there are a front, its workers and nothing else."""
        expected = tuple(sorted([FRONT, *[self.worker_name] * self.workers]))

        def is_settled() -> bool:
            names = tuple(sorted(child.name for child in self.children()))
            return names == expected and not self.zombies()

        try:
            wait_until(is_settled, f"{self.name}: a front, its workers and nothing else", SETTLE_LIMIT)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.children()} {self.zombies()}") from None
        return Footprint(expected, self._descriptors())

    def zombies(self) -> list[Process]:
        pids = {self.pid, *(child.pid for child in self.children())}
        return [p for p in processes.all_processes() if p.parent in pids and p.state == "Z"]

    def memory(self) -> dict[str, int]:
        """KiB of master and front."""
        (front,) = self.children(FRONT)
        pids = {"master": self.pid, "front": front.pid}
        return {name: int(processes.status(pid)["VmRSS"].split()[0]) for name, pid in pids.items()}

    def _descriptors(self) -> tuple[tuple[str, str], ...]:
        offset = self.log_size()
        os.kill(self.pid, signal.SIGUSR1)
        pattern = r"\[process=(master|front)\] \[descriptors=(\d+)\]"

        def reported() -> list[tuple[str, str]]:
            found = re.findall(pattern, self.log_from(offset))
            return sorted(found) if len(found) == 2 else []

        return tuple(wait_until(reported, f"{self.name}: master and front report"))


class LogNews:
    """The lines of a log from now on, each looked at once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._offset = subject.log_size()

    def tell_of(self, pattern: re.Pattern[str]) -> bool:
        """Whether there is such a line among those that are new."""
        text = self._subject.log_from(self._offset)
        lines = text[: text.rfind("\n") + 1]
        self._offset += len(lines.encode(errors="surrogateescape"))
        return bool(pattern.search(lines))


def has_grown(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    return [name for name in before if after[name] > before[name] + _GROWTH_KIB]


def _options(**more: str) -> list[str]:
    return [word for name, value in {**_SETTINGS, **more}.items() for word in ("-o", f"{name}={value}")]


def _hang_up(pid: int) -> Callable[[], None]:
    return lambda: os.kill(pid, signal.SIGHUP)


def _nothing() -> None:
    pass


@contextlib.contextmanager
def shadow_subject() -> Iterator[Subject]:
    """With a cache, and a file that changes under it."""
    users = {user: password_of(user) for user in (*USERS, GUESSED)}
    settings = {**_SETTINGS, "worker_share": "60", "cache_rejected": "1s"}
    with Daemon("-c", "-n", "3", settings=settings, users=users, foreground="-f") as daemon:

        def refresh() -> None:
            shadow.write(daemon.shadow_file, users)

        yield Subject(
            "shadow",
            daemon.mux,
            daemon.pid,
            daemon.stderr,
            workers=3,
            services=("imap", "smtp"),
            reload=_hang_up(daemon.pid),
            refresh=refresh,
            has_cache=True,
        )


@contextlib.contextmanager
def pam_subject() -> Iterator[Subject]:
    """With a stack that is at once, one that delays refusals, and one that hangs."""
    need_namespaces()
    accounts = [
        Account(user.encode(), password_of(user), shadow.hashed(password_of(user)).encode())
        for user in (*USERS, GUESSED)
    ]
    with PamFiles(accounts) as files:
        files.service("slow", _SLOW)
        files.service(HANGS, _HANGING)
        options = _options(worker_share="30", most_workers="8")
        with pam_daemon.ours(files, "-n", "3", *options, foreground="-f") as daemon:
            yield Subject(
                "pam",
                daemon.mux,
                daemon.pid,
                daemon.directory / "log",
                workers=3,
                services=("unix", "slow"),
                reload=_hang_up(daemon.pid),
                refresh=_nothing,
            )


class Server(NamedTuple):
    """A directory server, and the proxy through which it is asked."""

    slapd: Slapd
    proxy: TcpProxy


@contextlib.contextmanager
def directory_server() -> Iterator[Server]:
    people = tuple(person(user, password_of(user)).entry for user in (*USERS, GUESSED))
    with Slapd(Options(entries=people, logs=False)) as slapd, TcpProxy(slapd.port) as proxy:
        yield Server(slapd, proxy)


@contextlib.contextmanager
def ldap_subject(servers: list[Server]) -> Iterator[Subject]:
    """Asks the first of ``servers`` that answers. Its file is broken now and then."""
    text = configuration(*(uri_of(server.proxy.port) for server in servers), timeout=2)
    options = _options(worker_share="400")
    with ldap_daemon.ours(text, "-n", "2", *options, foreground="-f") as daemon:
        wait_until(
            lambda: daemon.ask(USERS[0].encode(), password_of(USERS[0])) == "OK", "ldap: the first login"
        )
        hang_up = _hang_up(daemon.pid)
        reloads = iter(range(1 << 62))

        def reload() -> None:
            is_broken = next(reloads) % 4 == 3
            daemon.configure("ldap_timeout: abc\n" if is_broken else text)
            hang_up()

        yield Subject(
            "ldap",
            daemon.mux,
            daemon.pid,
            daemon.directory / "log",
            workers=2,
            services=("imap", "smtp"),
            reload=reload,
            refresh=_nothing,
            servers=len(servers),
        )

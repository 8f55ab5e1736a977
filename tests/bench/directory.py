"""A directory with a case's users, and the ways to it."""

import base64
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.compiler import compiled
from bench.errors import BenchError
from bench.model import RIGHT, Directory, Server, Users
from support.ldap_directory import PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Entry, stored_as
from support.packages import need_program
from support.slapd import Options, Slapd
from support.tcp_ports import HOST
from support.tcp_proxy import SILENT, TcpProxy

_AS_INSTALLED = ("threads 16",)
"""What slapd does unless it is told something else. Fewer are cheaper, for both sides."""


def need_slapd() -> None:
    """Said before anything runs: nobody is to wait for half of the table."""
    for program, package in (("slapd", "slapd"), ("slapadd", "slapd"), ("ldapmodify", "ldap-utils")):
        need_program(program, package)


@contextlib.contextmanager
def serving(directory: Directory, users: Iterable[Users], place: Path) -> Iterator[tuple[Path, Slapd]]:
    """The ``saslauthd.conf`` that leads to its servers, in ``place``, and the slapd behind all of them.

    All runs until the end of this.

    :raises BenchError: something does not start.
    """
    with contextlib.ExitStack() as stack:
        entries = tuple(_entries(users))
        slapd = Slapd(Options(users=0, entries=entries, settings=_AS_INSTALLED, logs=False))
        try:
            stack.enter_context(slapd)
        except AssertionError as error:
            raise BenchError(str(error)) from None
        ports = [stack.enter_context(_reached(server, slapd.port)) for server in directory.servers]
        settings = place / "saslauthd.conf"
        settings.touch(mode=0o600)
        settings.write_text("".join(f"{name}: {value}\n" for name, value in _settings(ports).items()))
        yield settings, slapd


def _settings(ports: Iterable[int]) -> dict[str, str]:
    return {
        "ldap_servers": " ".join(f"ldap://{HOST}:{port}/" for port in ports),
        "ldap_bind_dn": SERVICE_DN,
        "ldap_password": SERVICE_PASSWORD.decode(),
        "ldap_search_base": PEOPLE,
        "ldap_filter": "(uid=%u)",
    }


def _entries(users: Iterable[Users]) -> Iterator[Entry]:
    for group in users:
        for login in group.logins:
            yield stored_as(login, RIGHT.encode(), _hashed(RIGHT.encode())).entry


def _hashed(password: bytes) -> bytes:
    """As slappasswd writes it; each has a salt of its own."""
    salt = os.urandom(4)
    return b"{SSHA}" + base64.b64encode(hashlib.sha1(password + salt).digest() + salt)


@contextlib.contextmanager
def _reached(server: Server, port: int) -> Iterator[int]:
    """The port by which ``server`` is reached; ``port`` is slapd's."""
    if server.is_silent:
        with TcpProxy(port, SILENT) as silent:
            yield silent.port
    elif server.away:
        with _far(port, server.away) as far:
            yield far
    else:
        yield port


@contextlib.contextmanager
def _far(port: int, seconds: float) -> Iterator[int]:
    """Not support.tcp_proxy, which can do more: at these rates it would take a processor for itself."""
    command = [str(compiled("far")), str(port), f"{seconds:.6f}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise BenchError("what makes a server far does not start")
            yield int(line)
        finally:
            process.kill()

"""Logins at a daemon that asks a directory: many at a time, and what the daemon says of itself meanwhile."""

import os
import select
import signal
from collections.abc import Callable, Iterable
from typing import Self

from support import mux
from support.ldap_daemon import LdapDaemon
from support.ldap_directory import PEOPLE, U0, Person
from support.mux import request
from support.tcp_ports import HOST
from support.waiting import wait_until

PATIENCE = 20
"""Seconds for an operation where none is to be given up, though the machine may stand still for many."""

BRIEF = 5
"""Seconds for one where some are to be given up, and others are not."""


def configuration(*uris: str, timeout: int = 1, more: str = "") -> str:
    """A ``saslauthd.conf`` with these servers."""
    return f"ldap_servers: {' '.join(uris)}\nldap_search_base: {PEOPLE}\nldap_timeout: {timeout}\n{more}"


def uri_of(port: int, scheme: str = "ldap") -> str:
    return f"{scheme}://{HOST}:{port}"


def right(daemon: LdapDaemon, person: Person = U0) -> str:
    """The answer to the right password."""
    return daemon.ask(person.login.encode(), person.password)


def wrong(daemon: LdapDaemon, person: Person = U0) -> str:
    """The answer to a wrong one."""
    return daemon.ask(person.login.encode(), b"~" + person.password)


def judged(ask: Callable[[], str]) -> str:
    """The first answer that is a verdict: with a limit of a second, a machine that stands still costs a login its own."""

    def verdict() -> str:
        answer = ask()
        return "" if answer == "-" else answer

    return wait_until(verdict, "a verdict")


class Login:
    """One on its way: ``with Login(daemon, person) as login`` asks and does not wait for the answer."""

    def __init__(self, daemon: LdapDaemon, person: Person = U0) -> None:
        self._connection = mux.connect(daemon.mux)
        self._connection.sendall(request(person.login.encode(), person.password))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def is_answered(self) -> bool:
        return bool(select.select([self._connection], [], [], 0)[0])

    def verdict(self) -> str:
        """``OK``, ``NO``, or ``-`` for a close without an answer; waited for."""
        reply = mux.read_to_end(self._connection)
        return reply[2:4].decode() if reply else "-"


class Logins:
    """Many of them at the same time."""

    def __init__(self, daemon: LdapDaemon, people: Iterable[Person]) -> None:
        self._logins = [Login(daemon, person) for person in people]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for login in self._logins:
            login.__exit__()

    @property
    def answered(self) -> int:
        return sum(login.is_answered for login in self._logins)

    def verdicts(self) -> set[str]:
        """All different ones, when all are there."""
        return {login.verdict() for login in self._logins}


def wait_log(daemon: LdapDaemon, text: str, start: int = 0, count: int = 1) -> str:
    """The log from ``start`` on, once it holds ``text``, or holds it so often."""
    try:
        wait_until(lambda: daemon.log[start:].count(text) >= count, text)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{daemon.log[start:][-5000:]}") from None
    return daemon.log[start:]


def statistics(daemon: LdapDaemon, process: str, count: int = 1) -> list[dict[str, str]]:
    """What the processes of a kind say of themselves on USR1, when ``count`` of them have answered the same signal.

    Whatever they were sent before has been received then.
    """

    def reports() -> list[dict[str, str]]:
        start = len(daemon.log)
        os.kill(daemon.pid, signal.SIGUSR1)

        def reported() -> list[dict[str, str]]:
            lines = [line for line in daemon.log[start:].splitlines() if f"[process={process}]" in line]
            return (
                [_table(line.partition("statistics: ")[2]) for line in lines] if len(lines) == count else []
            )

        try:
            return wait_until(reported, "reports", limit=2)
        except TimeoutError:
            return []  # one came or went meanwhile

    return wait_until(reports, f"{count} of the processes {process} report their statistics")


def _table(fields: str) -> dict[str, str]:
    return dict(field.split("=", 1) for field in fields.strip("[]\n").split("] ["))

"""A directory that answers what no slapd would: nobody logs in by it, nobody's password is called wrong, the worker lives."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

import pytest

from pysaslauthd.mechanisms.ldap import ber
from pysaslauthd.mechanisms.ldap.codec import Operation
from support.ldap_clients import BRIEF, PATIENCE, Login, Logins, configuration, right, uri_of, wrong
from support.ldap_daemon import LdapDaemon, ours
from support.ldap_directory import PEOPLE, U0
from support.ldap_messages import (
    BIND,
    DISCONNECTION,
    ENTRY,
    EXTENDED,
    INTERMEDIATE,
    REFERENCE,
    SEARCH,
    Request,
    done,
    entry,
    message,
    notice,
    reference,
    requests,
    result,
)
from support.tcp_ports import free_port, listening
from support.waiting import LIMIT, wait_until

NAME = U0.dn.encode()

Answers = Callable[[int], Iterable[bytes]]
"""From the number of a request to what is sent for it."""


class Lying:
    """``with Lying() as server`` answers as a server that knows one user, and any password.

    :ivar lies: what it answers instead to the search for him, or to his bind, by the tag of the request.
    :ivar connections: all that there have been.
    :ivar stale: those of them that end with the next request.
    """

    def __init__(self, lies: Mapping[int, Answers] | None = None) -> None:
        self.lies = dict(lies or {})
        self.stale: set[socket.socket] = set()
        self._listener = listening(free_port())
        self.port = int(self._listener.getsockname()[1])
        self.connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lies.clear()
        # A close alone would not wake who waits in it.
        for each in (self._listener, *self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self.connections):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        held = bytearray()
        with contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                if connection in self.stale:
                    connection.shutdown(socket.SHUT_RDWR)
                held += data
                for request in requests(held):
                    for answer in self._answers_to(request):
                        if answer == HANG_UP:
                            connection.shutdown(socket.SHUT_RDWR)
                        connection.sendall(answer)

    def _answers_to(self, request: Request) -> Iterator[bytes]:
        number, tag, content = request
        lie = self.lies.get(tag)
        is_users = content.startswith(ber.element(ber.OCTETS, PEOPLE.encode())) or NAME in content
        if lie is not None and is_users:
            yield from itertools.takewhile(lambda _: self.lies, lie(number))
        elif tag == SEARCH:
            yield from (entry(number, NAME), done(number)) if is_users else (done(number),)
        elif tag == BIND:
            yield done(number, Operation.BIND)


HANG_UP = b""

NO_LDAP: dict[str, Answers] = {
    "text": lambda _: [b"220 mail.example.test ESMTP\r\n"],
    "an element longer than its message": lambda _: [b"\x30\x05\x02\x01\x01\x61\x7f"],
    "a message of two GB": lambda _: [b"\x30\x84\x7f\xff\xff\xff"],
    "an indefinite length": lambda _: [b"\x30\x80\x02\x01\x01"],
    "nothing but an end": lambda _: [HANG_UP],
    "the notice of disconnection": lambda _: [notice(DISCONNECTION, b"bye")],
}

NO_BIND: dict[str, Answers] = {
    **NO_LDAP,
    "half an answer and an end": lambda n: [done(n, Operation.BIND)[:-3], HANG_UP],
    "a result code without bytes": lambda n: [message(n, Operation.BIND, b"\x0a\0" + result()[3:])],
    "a result code of five bytes": lambda n: [message(n, Operation.BIND, b"\x0a\5\0\0\0\0\0" + result()[3:])],
    "a result code that is no number": lambda n: [message(n, Operation.BIND, b"\x01\1\0" + result()[3:])],
    "code 256": lambda n: [message(n, Operation.BIND, b"\x0a\2\1\0" + result()[3:])],
    "a code that nobody knows": lambda n: [done(n, Operation.BIND, 4711)],
    "a referral": lambda n: [done(n, Operation.BIND, 10)],
    "a next step of SASL": lambda n: [done(n, Operation.BIND, 14)],
    "busy": lambda n: [done(n, Operation.BIND, 51)],
    "the result of a search": lambda n: [done(n, Operation.SEARCH)],
    "the result of a compare": lambda n: [done(n, Operation.COMPARE, 6)],
    "an entry": lambda n: [entry(n, NAME)],
}

NO_SEARCH: dict[str, Answers] = {
    **NO_LDAP,
    "half an answer and an end": lambda n: [entry(n, NAME), done(n)[:-3], HANG_UP],
    "the result of a bind": lambda n: [entry(n, NAME), done(n, Operation.BIND)],
    "the result of a compare": lambda n: [done(n, Operation.COMPARE, 6)],
    "a broken reference": lambda n: [entry(n, NAME), message(n, REFERENCE, b"\x04\x7f"), done(n)],
    "a broken entry": lambda n: [message(n, ENTRY, b"\x04\1x\x30\x7f"), done(n)],
    "an entry without a name": lambda n: [entry(n, b""), done(n)],
    "busy behind an entry": lambda n: [entry(n, NAME), done(n, code=51)],
    "a code that nobody knows": lambda n: [entry(n, NAME), done(n, code=4711)],
}

NO_END: dict[str, Mapping[int, Answers]] = {
    "half a result of a bind": {BIND: lambda n: [done(n, Operation.BIND)[:-3]]},
    "the result of another bind": {
        BIND: lambda n: [done(n + 1, Operation.BIND), done(n - 1, Operation.BIND)]
    },
    "an answer to what nobody asked": {BIND: lambda n: [message(n, EXTENDED, result())]},
    "notices": {BIND: lambda _: itertools.repeat(notice())},
    "half a result of a search": {SEARCH: lambda n: [done(n)[:-3]]},
    "what another search found": {SEARCH: lambda n: [entry(n + 1, NAME), done(n + 1)]},
    "entries": {SEARCH: lambda n: itertools.repeat(entry(n, NAME))},
    "references": {SEARCH: lambda n: itertools.repeat(reference(n, b"ldap://elsewhere/"))},
    "large entries": {SEARCH: lambda n: itertools.repeat(entry(n, b"x" * 900_000))},
    "entries for nobody": {SEARCH: lambda n: itertools.repeat(entry(n + 1, NAME))},
}
"""What is waited for in vain."""


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Lying, LdapDaemon]]:
    """The file names one server, so there is no better answer elsewhere."""
    with (
        Lying() as server,
        ours(configuration(uri_of(server.port), timeout=PATIENCE), "-n", "1") as daemon,
    ):
        yield server, daemon


def assert_recovers(server: Lying, daemon: LdapDaemon) -> None:
    """Without a new worker."""
    server.lies.clear()
    wait_until(lambda: right(daemon) == "OK", "the server is believed again")
    assert "ldap worker" not in daemon.log
    assert "Traceback" not in daemon.log
    assert "mechanism failed" not in daemon.log


class TestAnAnswer:
    @pytest.mark.parametrize("answers", NO_BIND.values(), ids=NO_BIND)
    def test_to_a_bind_that_is_none_is_neither_yes_nor_no(
        self, stage: tuple[Lying, LdapDaemon], answers: Answers
    ) -> None:
        server, daemon = stage
        assert right(daemon) == "OK"
        server.lies[BIND] = answers
        assert right(daemon) == "-"
        assert_recovers(server, daemon)

    @pytest.mark.parametrize("answers", NO_SEARCH.values(), ids=NO_SEARCH)
    def test_to_a_search_that_is_none_is_neither_yes_nor_no(
        self, stage: tuple[Lying, LdapDaemon], answers: Answers
    ) -> None:
        server, daemon = stage
        assert right(daemon) == "OK"
        server.lies[SEARCH] = answers
        assert right(daemon) == "-"
        assert_recovers(server, daemon)

    def test_without_end_ends_with_the_limit_of_an_operation(self) -> None:
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Lying(lies)) for lies in NO_END.values()]
            daemons = [ours(configuration(uri_of(server.port)), "-n", "1") for server in servers]
            for daemon in daemons:
                daemon.start()
                stack.push(daemon)
            for daemon in daemons:
                daemon.wait_ready()
            logins = [stack.enter_context(Login(daemon)) for daemon in daemons]
            verdicts = [login.verdict() for login in logins]
            assert dict(zip(NO_END, verdicts, strict=True)) == dict.fromkeys(NO_END, "-")
            for server, daemon in zip(servers, daemons, strict=True):
                assert_recovers(server, daemon)

    def test_may_have_other_messages_around_it(self, stage: tuple[Lying, LdapDaemon]) -> None:
        server, daemon = stage

        def search(number: int) -> list[bytes]:
            unasked = [
                notice(),
                message(number, INTERMEDIATE, b""),
                entry(number + 1, b"x"),
                done(number + 1),
            ]
            return [*unasked, entry(number, NAME), reference(number, b"ldap://x/"), *unasked, done(number)]

        def bind(number: int) -> list[bytes]:
            return [notice(), message(number, INTERMEDIATE, b""), done(number, Operation.BIND), notice()]

        server.lies |= {SEARCH: search, BIND: bind}
        start = len(daemon.log)
        assert [right(daemon) for _ in range(5)] == ["OK"] * 5
        assert "left aside" not in daemon.log[start:]
        server.lies.clear()

    def test_that_follows_another_does_not_count(self, stage: tuple[Lying, LdapDaemon]) -> None:
        """The first one does, and what it leaves behind is not taken for the next login's."""
        server, daemon = stage
        server.lies[BIND] = lambda n: [
            done(n, Operation.BIND, 49),
            done(n, Operation.BIND),
            done(n, Operation.BIND),
        ]
        assert [wrong(daemon) for _ in range(5)] == ["NO"] * 5
        server.lies.clear()

    def test_with_many_entries_is_no_user(self, stage: tuple[Lying, LdapDaemon]) -> None:
        server, daemon = stage
        server.lies[SEARCH] = lambda n: [*[entry(n, NAME)] * 1000, done(n)]
        assert right(daemon) == "NO"
        server.lies.clear()


def test_a_search_that_is_given_up_and_goes_on_harms_nobody_else() -> None:
    """The server does not hear that it was abandoned; its connection is of no use any more."""
    endless = itertools.chain([itertools.repeat], itertools.repeat(None))

    def search(number: int) -> Iterable[bytes]:
        return itertools.repeat(entry(number, NAME)) if next(endless) else [entry(number, NAME), done(number)]

    with (
        Lying({SEARCH: search}) as server,
        ours(configuration(uri_of(server.port), timeout=BRIEF), "-n", "1") as daemon,
    ):
        assert right(daemon) == "-"
        assert [right(daemon) for _ in range(3)] == ["OK"] * 3


def test_connections_that_a_firewall_forgot_are_noticed_by_nobody() -> None:
    """It says so to who uses one, and then all that are no younger are of no use either."""
    with Lying() as server:
        text = configuration(uri_of(server.port), timeout=PATIENCE, more="ldap_max_operations: 1\n")
        with ours(text, "-n", "1") as daemon:
            searched, bound = threading.Event(), threading.Event()
            server.lies[SEARCH] = lambda n: held_until(searched, entry(n, NAME), done(n))
            server.lies[BIND] = lambda n: held_until(bound, done(n, Operation.BIND))
            with Logins(daemon, [U0] * 4) as logins:
                wait_until(lambda: len(server.connections) == 4, "each search has a connection")
                searched.set()
                wait_until(lambda: len(server.connections) == 8, "each bind has one too")
                bound.set()
                assert logins.verdicts() == {"OK"}
            server.lies.clear()
            server.stale.update(server.connections)
            assert [right(daemon), wrong(daemon)] == ["OK", "OK"]
            assert "unavailable" not in daemon.log


def held_until(event: threading.Event, *answers: bytes) -> Iterator[bytes]:
    event.wait(LIMIT)
    yield from answers

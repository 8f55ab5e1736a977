"""A channel on a real socket, its server played by the test, on both loops: who gets which answer, and who none."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import uvloop

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import ber, codec
from pysaslauthd.mechanisms.ldap import channel as channel_module
from pysaslauthd.mechanisms.ldap.channel import Channel, Found, LostError
from pysaslauthd.mechanisms.ldap.codec import Code, Deref, Done, Entry, Operation, Scope, Search
from support.certificates import Certificates
from support.ldap_messages import (
    ABANDON,
    BIND,
    COMPARE,
    DISCONNECTION,
    SEARCH,
    Request,
    done,
    entry,
    message,
    notice,
    reference,
    requests,
)
from support.waiting import LIMIT

NAME, PASSWORD = b"uid=u0,dc=test", Secret(b"secret")
LONG = 60.0
"""A limit that no test reaches."""
SHORT = 0.05
"""One that is to be reached."""


def a_search(base: bytes = b"dc=test") -> Search:
    present = ber.element(0x87, b"objectClass")
    return Search(base, Scope.SUB, present, (b"1.1",), 1, 5, Deref.NEVER)


class Server:
    """The other end of the channel ``channel``. ``lost`` counts how often that was said to be of no use any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, send_buffer: int = 0) -> None:
        self.loop = loop
        self.lost = 0
        self.socket, theirs = socket.socketpair()
        if send_buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        for end in (self.socket, theirs):
            end.setblocking(False)
        self.received = bytearray()
        self.fileno = theirs.fileno()
        self.channel = Channel(loop, theirs, self._on_lost)

    def _on_lost(self, channel: Channel) -> None:
        assert channel is self.channel
        self.lost += 1

    async def say(self, *messages: bytes, piece: int = 0) -> None:
        """Send these, in pieces of so many bytes, each of which the channel reads before the next comes."""
        data = b"".join(messages)
        if not piece:
            await self.loop.sock_sendall(self.socket, data)
            return
        for start in range(0, len(data), piece):
            await self.loop.sock_sendall(self.socket, data[start : start + piece])
            await turn()

    async def give_sign_of_life(self, *messages: bytes) -> None:
        """Say these, and wait until the channel has heard of them; it must not have heard anything before."""
        await self.say(*messages)
        await until(lambda: self.channel.heard > float("-inf"))

    async def hear(self) -> Request:
        """The next request."""
        while True:
            for request in requests(self.received):
                return request
            data = await self.loop.sock_recv(self.socket, 65_536)
            assert data, "the channel closed its connection"
            self.received += data

    async def is_left(self) -> bool:
        """Whether the channel closes without a further word."""
        return not self.received and await self.loop.sock_recv(self.socket, 65_536) == b""


async def turn() -> None:
    """Let the loop do what is due, several times over: one thing leads to another."""
    for _ in range(3):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for is no event)
        await asyncio.sleep(0.001)


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[Server], Coroutine[Any, Any, None]]], None]:
    """Runs a test with a server; whatever goes wrong behind its back is an error too."""

    def run(test: Callable[[Server], Coroutine[Any, Any, None]], **options: Any) -> None:
        loop = request.param()
        errors: list[object] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        server = Server(loop, **options)
        try:
            loop.run_until_complete(asyncio.wait_for(test(server), LIMIT))
            loop.run_until_complete(turn())
        finally:
            server.channel.close()
            server.socket.close()
            loop.run_until_complete(turn())
            loop.close()
        assert errors == []
        assert server.lost == 1

    return run


Run = Callable[..., None]


async def lost(waiting: Awaitable[Any]) -> LostError:
    """The error with which that ends."""
    with pytest.raises(LostError) as caught:
        await waiting
    return caught.value


class TestAnswers:
    @pytest.mark.parametrize("piece", [0, 1, 2, 7, 40])
    def test_are_taken_in_any_pieces(self, run: Run, piece: int) -> None:
        async def test(server: Server) -> None:
            search = server.loop.create_task(server.channel.search(a_search(), LONG))
            number = (await server.hear()).number
            uri = b"ldap://elsewhere/"
            await server.say(
                reference(number, uri),
                entry(number, NAME),
                notice(text=b"to be ignored"),
                done(number, code=4),
                piece=piece,
            )
            assert await search == Found(
                Done(number, Operation.SEARCH, 4, b"", ()), (Entry(number, NAME, {}),), 1, (uri,)
            )

        run(test)

    def test_find_who_asked_in_any_order(self, run: Run) -> None:
        async def test(server: Server) -> None:
            names = [b"a", b"b", b"c", b"d"]
            tasks = [server.loop.create_task(server.channel.search(a_search(n), LONG)) for n in names]
            compare = server.loop.create_task(server.channel.compare(NAME, b"member", b"x", LONG))
            numbers = [(await server.hear()).number for _ in range(5)]
            assert len(set(numbers)) == 5
            for name, number in zip(reversed(names), reversed(numbers[:4]), strict=True):
                await server.say(entry(number, b"found " + name))
            await server.say(done(numbers[4], Operation.COMPARE, Code.COMPARE_TRUE))
            assert (await compare).code == Code.COMPARE_TRUE
            for number in (numbers[2], numbers[0], numbers[3], numbers[1]):
                await server.say(done(number))
            found = await asyncio.gather(*tasks)
            assert [[e.dn for e in each.entries] for each in found] == [[b"found " + n] for n in names]

        run(test)

    def test_of_a_bind_are_its_code(self, run: Run) -> None:
        async def test(server: Server) -> None:
            for code in (0, 49):
                bind = server.loop.create_task(server.channel.bind(NAME, PASSWORD, 3, LONG))
                number, tag, content = await server.hear()
                assert (tag, content) == (
                    BIND,
                    ber.integer(3) + ber.element(4, NAME) + ber.element(0x80, b"secret"),
                )
                await server.say(done(number, Operation.BIND, code))
                assert (await bind).code == code
            assert server.channel.is_open

        run(test)

    def test_of_a_bind_have_no_text_that_repeats_the_password(self, run: Run) -> None:
        async def test(server: Server) -> None:
            for text, kept in ((b"secret is no password", b""), (b"no such password", b"no such password")):
                bind = server.loop.create_task(server.channel.bind(NAME, PASSWORD, 3, LONG))
                number = (await server.hear()).number
                await server.say(done(number, Operation.BIND, Code.INVALID_CREDENTIALS, text))
                assert (await bind)[2:4] == (Code.INVALID_CREDENTIALS, kept)

        run(test)

    def test_without_end_are_counted_and_not_kept(self, run: Run) -> None:
        async def test(server: Server) -> None:
            search = server.loop.create_task(server.channel.search(a_search(), LONG))
            number = (await server.hear()).number
            for _ in range(100):
                await server.say(
                    *(entry(number, NAME) for _ in range(10)), reference(number, b"1", b"2", b"3")
                )
            await server.say(done(number))
            found = await search
            assert found.number == 1000
            assert len(found.entries) == channel_module.KEPT_ENTRIES
            assert len(found.references) == channel_module.KEPT_REFERENCES

        run(test)

    def test_to_nobodys_request_are_ignored(self, run: Run) -> None:
        async def test(server: Server) -> None:
            search = server.loop.create_task(server.channel.search(a_search(), LONG))
            number = (await server.hear()).number
            other = number + 7
            await server.say(
                entry(other, NAME), reference(other, b"x"), done(other), done(other, Operation.BIND)
            )
            await server.say(done(number))
            assert await search == Found(Done(number, Operation.SEARCH, 0, b"", ()), (), 0, ())

        run(test)

    def test_that_come_with_the_end_still_count(self, run: Run) -> None:
        async def test(server: Server) -> None:
            tasks = [server.loop.create_task(server.channel.search(a_search(), LONG)) for _ in range(2)]
            number = (await server.hear()).number
            await server.hear()
            await server.say(done(number))
            server.socket.close()
            assert (await tasks[0]).code == 0
            assert str(await lost(tasks[1])) == "the server closed the connection"

        run(test)


class Timers:
    """A loop whose timers are known, and end when a test says so: a machine that stands still can be faster."""

    def __init__(self, server: Server) -> None:
        self._loop = server.loop
        self._calls: list[Callable[[], object]] = []
        self.handles: list[asyncio.TimerHandle] = []
        server.channel._loop = self  # type: ignore[assignment]  # noqa: SLF001  (no other way to have them)

    def call_later(
        self, delay: float, callback: Callable[..., object], *arguments: Any
    ) -> asyncio.TimerHandle:
        self._calls.append(partial(callback, *arguments))
        self.handles.append(self._loop.call_later(delay, callback, *arguments))
        return self.handles[-1]

    def expire(self) -> None:
        """The last one is over."""
        self.handles[-1].cancel()
        self._calls[-1]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_a_limit_ends_with_its_request(run: Run) -> None:
    async def test(server: Server) -> None:
        timers = Timers(server)
        tasks = [server.loop.create_task(server.channel.search(a_search(), LONG)) for _ in range(3)]
        await server.say(done((await server.hear()).number))
        await tasks[0]
        assert [handle.cancelled() for handle in timers.handles] == [True, False, False]
        tasks[1].cancel()
        await turn()
        assert [handle.cancelled() for handle in timers.handles] == [True, True, False]
        server.channel.close()
        await lost(tasks[2])
        assert all(handle.cancelled() for handle in timers.handles)

    run(test)


def test_an_answer_that_has_come_counts_though_its_time_is_over(run: Run) -> None:
    """It was us who slept: the server is neither silent nor slow."""

    async def test(server: Server) -> None:
        channel, timers = server.channel, Timers(server)
        exchanges: list[tuple[Coroutine[Any, Any, Found | Done], Operation]] = [
            (channel.search(a_search(), LONG), Operation.SEARCH),
            (channel.compare(NAME, b"a", b"b", LONG), Operation.COMPARE),
            (channel.bind(NAME, PASSWORD, 3, LONG), Operation.BIND),
        ]
        for asked, operation in exchanges:
            task = server.loop.create_task(asked)
            number = (await server.hear()).number
            server.socket.send(done(number, operation))
            timers.expire()
            assert (await task).code == 0
        assert channel.is_open

    run(test)


class TestASearchThatIsGivenUp:
    @pytest.mark.parametrize("kind", [SEARCH, COMPARE])
    def test_is_abandoned_and_its_late_answer_ignored(self, run: Run, kind: int) -> None:
        async def test(server: Server) -> None:
            channel, timers = server.channel, Timers(server)
            asked = (
                channel.search(a_search(), LONG)
                if kind == SEARCH
                else channel.compare(NAME, b"member", b"x", LONG)
            )
            task = server.loop.create_task(asked)
            number = (await server.hear()).number
            await server.give_sign_of_life(entry(number + 1, NAME))  # to nobody
            timers.expire()
            error = await lost(task)
            assert (str(error), error.is_silence) == (f"no answer within {LONG:g} s", True)
            abandon = await server.hear()
            assert (abandon.tag, abandon.content) == (ABANDON, bytes([number]))
            assert abandon.number != number
            again = server.loop.create_task(channel.search(a_search(), LONG))
            second = (await server.hear()).number
            assert second not in {number, abandon.number}
            late = Operation.SEARCH if kind == SEARCH else Operation.COMPARE
            await server.say(done(number, late), entry(second, NAME), done(second))
            assert (await again).number == 1

        run(test)

    def test_by_who_waited_is_abandoned(self, run: Run) -> None:
        async def test(server: Server) -> None:
            channel = server.channel
            for asked in (channel.search(a_search(), LONG), channel.compare(NAME, b"a", b"b", LONG)):
                task = server.loop.create_task(asked)
                number = (await server.hear()).number
                task.cancel()
                abandon = await server.hear()
                assert (abandon.tag, abandon.content) == (ABANDON, bytes([number]))
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert channel.is_open

        run(test)

    def test_ends_the_connection_if_nothing_was_heard_since(self, run: Run) -> None:
        """Others wait for the same server in vain, and shall not wait for as long as they may."""

        async def test(server: Server) -> None:
            other = server.loop.create_task(server.channel.search(a_search(), LONG))
            began = server.loop.time()
            await until(lambda: server.loop.time() > began)  # uvloop's clock has milliseconds
            error = await lost(server.channel.search(a_search(), SHORT))
            assert (str(error), error.is_silence) == (f"no answer within {SHORT} s", True)
            assert (await lost(other)).is_silence
            assert (await server.hear()).tag == (await server.hear()).tag == SEARCH
            assert await server.is_left()
            assert not server.channel.is_open

        run(test)


class TestABindThatIsGivenUp:
    """It cannot be abandoned: whoever used the connection next might get its answer."""

    def test_closes_the_connection(self, run: Run) -> None:
        async def test(server: Server) -> None:
            timers = Timers(server)
            task = server.loop.create_task(server.channel.bind(NAME, PASSWORD, 3, LONG))
            await server.hear()
            await server.give_sign_of_life(notice())
            timers.expire()
            error = await lost(task)
            assert (str(error), error.is_silence) == (f"no answer within {LONG:g} s", True)
            assert await server.is_left()
            assert server.lost == 1

        run(test)

    def test_by_who_waited_closes_the_connection(self, run: Run) -> None:
        async def test(server: Server) -> None:
            task = server.loop.create_task(server.channel.bind(NAME, PASSWORD, 3, LONG))
            await server.hear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await server.is_left()
            assert not server.channel.is_open

        run(test)

    def test_when_its_answer_has_just_come_is_over(self, run: Run) -> None:
        async def test(server: Server) -> None:
            channel = server.channel
            task = server.loop.create_task(channel.bind(NAME, PASSWORD, 3, LONG))
            server.socket.send(done((await server.hear()).number, Operation.BIND))
            while channel._pending:  # noqa: SLF001, ASYNC110  (the moment between the answer and who waits for it)
                await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert channel.is_open

        run(test)


class TestTheEndOfTheConnection:
    async def _all_lost(self, server: Server, how: Callable[[], Awaitable[None]]) -> set[tuple[str, bool]]:
        """What three who wait hear of it."""
        tasks = [server.loop.create_task(server.channel.search(a_search(), LONG)) for _ in range(2)]
        tasks.append(server.loop.create_task(self._compared(server)))
        for _ in tasks:
            await server.hear()
        await how()
        errors = [await lost(task) for task in tasks]
        assert (server.lost, server.channel.is_open) == (1, False)
        return {(str(error), error.is_silence) for error in errors}

    @staticmethod
    async def _compared(server: Server) -> Found:
        return Found(await server.channel.compare(NAME, b"a", b"b", LONG), (), 0, ())

    def test_is_heard_by_all_who_wait(self, run: Run) -> None:
        async def test(server: Server) -> None:
            async def close() -> None:
                server.socket.close()

            assert await self._all_lost(server, close) == {("the server closed the connection", False)}

        run(test)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (b"GET / HTTP/1.1\r\n", "the server broke the protocol: no LDAP message"),
            (b"\x30\x80", "the server broke the protocol: an indefinite length"),
            (
                b"\x30\x84\x7f\xff\xff\xff",
                "the server broke the protocol: a message of 2147483653 bytes, and the limit is 1048576",
            ),
            (
                notice(DISCONNECTION, b"shutting down"),
                "the server ends the connection: shutting down",
            ),
            (notice(DISCONNECTION, b"\xff\n"), "the server ends the connection: \ufffd\n"),
            (
                done(1, Operation.COMPARE, Code.COMPARE_TRUE),
                "the server broke the protocol: an answer to another kind of request",
            ),
            (
                done(1, Operation.BIND),
                "the server broke the protocol: an answer to another kind of request",
            ),
            (
                done(3, Operation.SEARCH),
                "the server broke the protocol: an answer to another kind of request",
            ),
            (entry(3, NAME), "the server broke the protocol: an answer to another kind of request"),
            (reference(3, b"x"), "the server broke the protocol: an answer to another kind of request"),
        ],
        ids=itertools.count(),
    )
    @pytest.mark.parametrize("piece", [0, 1])
    def test_follows_what_no_server_may_say(self, run: Run, answer: bytes, reason: str, piece: int) -> None:
        """The third request is a compare."""

        async def test(server: Server) -> None:
            async def say() -> None:
                with contextlib.suppress(BrokenPipeError):
                    await server.say(answer, piece=piece)

            assert await self._all_lost(server, say) == {(reason, False)}

        run(test)

    def test_by_us_is_heard_by_all_who_wait(self, run: Run) -> None:
        async def test(server: Server) -> None:
            async def close() -> None:
                server.channel.close("idle for long")
                server.channel.close("a second time")

            assert await self._all_lost(server, close) == {("idle for long", False)}
            assert await server.is_left()

        run(test)

    def test_by_a_reset_is_one(self, run: Run) -> None:
        async def test(server: Server) -> None:
            task = server.loop.create_task(server.channel.search(a_search(), LONG))
            await turn()
            server.socket.close()  # with the request unread
            assert (await lost(task)).is_silence is False
            assert server.lost == 1

        run(test)

    def test_is_noticed_by_who_asks_at_that_moment(self, run: Run) -> None:
        async def test(server: Server) -> None:
            server.socket.close()
            error = await lost(server.channel.search(a_search(), LONG))
            assert (str(error), error.is_silence) == ("the connection broke: Broken pipe", False)

        run(test)

    def test_while_nobody_waits_is_noticed(self, run: Run) -> None:
        async def test(server: Server) -> None:
            server.socket.close()
            await until(lambda: not server.channel.is_open)
            assert server.lost == 1

        run(test)

    def test_leaves_nothing_to_ask(self, run: Run) -> None:
        async def test(server: Server) -> None:
            server.channel.close()
            channel = server.channel
            for asked in (
                channel.search(a_search(), LONG),
                channel.compare(NAME, b"a", b"b", LONG),
                channel.bind(NAME, PASSWORD, 3, LONG),
            ):
                error = await lost(asked)
                assert (str(error), error.is_silence) == ("the connection has ended", False)

        run(test)


class TestAServerThatReadsLate:
    BUFFER = 4096

    def test_gets_every_byte_in_order(self, run: Run) -> None:
        async def test(server: Server) -> None:
            searches = [a_search(bytes([65 + n]) * 50_000) for n in range(5)]
            tasks = [server.loop.create_task(server.channel.search(each, LONG)) for each in searches]
            await turn()
            for number, search in enumerate(searches, start=1):
                request = await server.hear()
                assert message(*request) == codec.encode_search(number, search)
                await server.say(done(request.number))
            assert [found.code for found in await asyncio.gather(*tasks)] == [0] * 5

        run(test, send_buffer=self.BUFFER)

    def test_gets_nothing_twice_after_it_was_full(self, run: Run) -> None:
        """Once it could all be written, the next request goes at once again."""

        async def test(server: Server) -> None:
            for _ in range(2):
                search = server.loop.create_task(server.channel.search(a_search(b"x" * 50_000), LONG))
                await server.say(done((await server.hear()).number))
                assert (await search).code == 0
                assert not server.loop.remove_writer(server.fileno)

        run(test, send_buffer=self.BUFFER)

    def test_and_answers_no_more_is_lost(self, run: Run) -> None:
        async def test(server: Server) -> None:
            task = server.loop.create_task(server.channel.search(a_search(b"x" * 50_000), SHORT))
            await turn()
            assert (await lost(task)).is_silence

        run(test, send_buffer=self.BUFFER)

    def test_is_not_waited_for_without_bound(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channel_module, "LARGEST_BACKLOG", 200_000)

        async def test(server: Server) -> None:
            tasks = [
                server.loop.create_task(server.channel.search(a_search(b"x" * 50_000), LONG))
                for _ in range(5)
            ]
            for task in tasks:
                error = await lost(task)
                assert error.is_silence or str(error) == "the connection has ended"
            assert server.lost == 1

        run(test, send_buffer=self.BUFFER)

    def test_is_left_when_it_goes(self, run: Run) -> None:
        async def test(server: Server) -> None:
            task = server.loop.create_task(server.channel.search(a_search(b"x" * 50_000), LONG))
            await turn()
            server.socket.close()
            assert (await lost(task)).is_silence is False

        run(test, send_buffer=self.BUFFER)


@pytest.mark.parametrize("loop_of", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_an_answer_larger_than_a_read_comes_whole_through_tls(
    certificates: Certificates, loop_of: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What TLS has read and not given away makes nothing readable."""
    ours, theirs = socket.socketpair()
    answer = entry(1, b"x" * 900_000) + entry(1, NAME) + done(1)
    server = threading.Thread(target=_serve_tls, args=(certificates, theirs, answer))
    server.start()
    context = ssl.create_default_context(cafile=certificates.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    wrapped = context.wrap_socket(ours, server_hostname="localhost")
    wrapped.setblocking(False)
    loop = loop_of()

    async def test() -> Found:
        lost_once: list[Channel] = []
        channel = Channel(loop, wrapped, lost_once.append)
        found = await asyncio.wait_for(channel.search(a_search(), LONG), LIMIT)
        await until(lambda: bool(lost_once))
        return found

    try:
        found = loop.run_until_complete(test())
    finally:
        server.join()
        loop.close()
    assert [len(each.dn) for each in found.entries] == [900_000, len(NAME)]


def _serve_tls(certificates: Certificates, connection: socket.socket, answer: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.good)
    connection.settimeout(LIMIT)
    with context.wrap_socket(connection, server_side=True) as wrapped:
        wrapped.recv(65_536)
        wrapped.sendall(answer)

"""The directory's servers: which one is asked, and what becomes of one that fails.

A server is asked only after a probe, a connection and a search of its root, has shown that it
answers; so nobody's login waits for one that refuses or is silent. One that fails a login is left
aside and probed again, after pauses that grow. While none answers, a login has them all probed at
once, so that the end of an outage is noticed by who needs it.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from pysaslauthd.config.ldap_keys import LdapConf, octets
from pysaslauthd.core.secret import Secret
from pysaslauthd.logs import log
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from pysaslauthd.mechanisms.ldap.channel import Channel, LostError
from pysaslauthd.mechanisms.ldap.codec import Code, Deref, Scope, Search
from pysaslauthd.mechanisms.ldap.connect import Connector
from pysaslauthd.mechanisms.ldap.filters import Present
from pysaslauthd.mechanisms.ldap.lane import Lane, LaneOptions
from pysaslauthd.mechanisms.ldap.tokens import Template
from pysaslauthd.mechanisms.ldap.trace import explained

FIRST_PAUSE = 0.25
"""Seconds before a server that failed is probed again; doubled with each failure."""

LONGEST_PAUSE = 30.0

FRESH = 1.0
"""Seconds for which the outcome of a probe stands for who would have another one."""

STUCK_AFTER = 60.0
"""Seconds for which all threads of a server may hang, as in a resolver that never comes back, before the worker is given
up for it, if no other server answers."""

MOST_SETUPS = 8
"""Connections to one server that are made at a time, each in a thread."""

CONNECTIONS_FOR_SEARCHES = 4
"""Of those to one server; with 32 searches on each, the rest is better used for binds."""

BUSY_CODES = frozenset({Code.BUSY, Code.UNAVAILABLE})
"""The server cannot be bothered: another may."""

_ROOT = Search(
    base=b"",
    scope=Scope.BASE,
    filter=Present(Template.parse("objectClass")).fill({}),
    attributes=(b"1.1",),
    size_limit=1,
    time_limit=5,
    deref=Deref.NEVER,
)


class Coded(Protocol):
    """What a server answered."""

    @property
    def code(self) -> int:
        """The result code."""


T = TypeVar("T")
Answered = TypeVar("Answered", bound=Coded)


class NoServerError(Exception):
    """No server gave an answer. The message says what the last one had to say."""


class BusyError(Exception):
    """The server says that it cannot answer now."""


class Purpose(enum.Enum):
    """What a connection is wanted for."""

    SEARCH = enum.auto()
    """Bound as the service account, and shared."""
    BIND = enum.auto()
    """Bound as whoever logs in, and for one login alone."""


class Server:
    """One of ``ldap_servers``, with its connections. ``trouble`` says why it is left aside."""

    def __init__(self, endpoint: Endpoint, conf: LdapConf, connector: Connector) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.endpoint = endpoint
        self.is_up = False
        self.trouble = f"{endpoint.uri}: not reached yet"
        self._conf = conf
        self._connector = connector
        self._threads = ThreadPoolExecutor(MOST_SETUPS, thread_name_prefix="ldap-connect")
        searches = min(CONNECTIONS_FOR_SEARCHES, conf.max_connections - 1)
        self._lanes = {
            Purpose.SEARCH: Lane(loop, LaneOptions(conf.max_operations, searches), self._open_for_searches),
            Purpose.BIND: Lane(loop, LaneOptions(1, conf.max_connections - searches), self._open_for_bind),
        }
        self._probe: asyncio.Task[None] | None = None
        self._probed = loop.time() - FRESH
        self._next_probe: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE
        self._was_noted = False
        self._abandoned: set[asyncio.Future[Any]] = set()
        """What nobody waits for any more and still holds a thread."""
        self._all_abandoned_since = 0.0

    @property
    def is_stuck(self) -> bool:
        """Whether no connection has been possible for long, and none will be: a thread cannot be ended."""
        return (
            len(self._abandoned) >= MOST_SETUPS
            and self._loop.time() - self._all_abandoned_since > STUCK_AFTER
        )

    async def use(self, purpose: Purpose, action: Callable[[Channel], Awaitable[Answered]]) -> Answered:
        """Run ``action`` with a connection; once more if an old one turns out to be closed.

        :raises ConnectError: there is none to be had.
        :raises LostError: nor an answer.
        :raises BusyError: nor one of use.
        """
        begun = self._loop.time()
        lane = self._lanes[purpose]
        try:
            try:
                result = await _use(lane, action)
            except LostError as error:
                if error.is_silence:
                    raise
                lane.drop_idle()
                result = await _use(lane, action)
        except (ConnectError, LostError) as error:
            if any(each.heard_since(begun) for each in self._lanes.values()):
                # While others get their answers, one that does not come may be the request's own fault.
                self.probe()
            else:
                self._doubt(error)
            raise
        return self._not_busy(result)

    async def run(self, action: Callable[[Connector, Endpoint, Attempt], Answered]) -> Answered:
        """Run a login that blocks, on a connection of its own.

        :raises ConnectError: it came to nothing.
        :raises BusyError: the server cannot answer now.
        """
        try:
            result = await self._in_thread(action)
        except ConnectError as error:
            self._doubt(error)
            raise
        return self._not_busy(result)

    def _not_busy(self, result: Answered) -> Answered:
        if result.code in BUSY_CODES:
            # It may be so for one entry alone, which a proxying server has from elsewhere.
            self.probe()
            raise BusyError(f"it answers {describe_code(result.code)}")
        return result

    async def _in_thread(self, action: Callable[[Connector, Endpoint, Attempt], T]) -> T:
        """Run what blocks in a thread, for as long as an operation may take."""
        if len(self._abandoned) >= MOST_SETUPS:
            raise ConnectError(f"{self.endpoint.uri}: {MOST_SETUPS} attempts to connect hang")
        attempt = Attempt()
        work = self._loop.run_in_executor(self._threads, action, self._connector, self.endpoint, attempt)
        try:
            await asyncio.wait({work}, timeout=self._conf.timeout)
        except asyncio.CancelledError:
            self._abandon(work, attempt)
            raise
        if work.done():
            return work.result()
        self._abandon(work, attempt)
        raise ConnectError(f"{self.endpoint.uri}: {attempt.step}: not done within {self._conf.timeout} s")

    def _abandon(self, work: "asyncio.Future[Any]", attempt: Attempt) -> None:
        """Nobody waits for it any more; if it still comes to something, the attempt closes it."""
        attempt.cancel()
        self._abandoned.add(work)
        work.add_done_callback(self._forget)
        if len(self._abandoned) == MOST_SETUPS:
            self._all_abandoned_since = self._loop.time()

    def _forget(self, work: "asyncio.Future[Any]") -> None:
        self._abandoned.discard(work)
        if not work.cancelled():
            work.exception()  # which nobody else takes

    def probe(self) -> "asyncio.Task[None] | None":
        """Find out whether it answers; the task that does, or None if that was found out just now."""
        if self._probe is None and self._loop.time() - self._probed >= FRESH:
            self._start_probe()
        return self._probe

    def _start_probe(self) -> None:
        if self._next_probe is not None:
            self._next_probe.cancel()
            self._next_probe = None
        if self._probe is None:
            self._probe = self._loop.create_task(self._find_out())

    async def _find_out(self) -> None:
        # Without a service account's search there may be no right to search, but there is an answer.
        purpose = Purpose.BIND if self._conf.effective_method == "fastbind" else Purpose.SEARCH
        try:
            await self.use(purpose, lambda channel: channel.search(_ROOT, self._conf.timeout))
        except (ConnectError, LostError, BusyError) as error:
            self._leave_aside(error)
        else:
            self._worked()
        finally:
            self._probe = None
            self._probed = self._loop.time()

    def _worked(self) -> None:
        if self._was_noted:
            log.info(f"ldap server {self.endpoint.uri} answers again")
            self._was_noted = False
        self.is_up = True
        self._pause = FIRST_PAUSE

    def _doubt(self, error: Exception) -> None:
        """A login came to nothing. A probe finds out at once whether the next would, too."""
        self.trouble = _with_place(self.endpoint, error)
        self.is_up = False
        if self._next_probe is None:
            self._start_probe()

    def _leave_aside(self, error: Exception) -> None:
        """A probe came to nothing: the next one is later."""
        self.is_up = False
        self.trouble = _with_place(self.endpoint, error)
        if not self._was_noted:
            log.warning(f"ldap server is left aside: {self.trouble}")
            self._was_noted = True
        if self._next_probe is None:
            self._next_probe = self._loop.call_later(self._pause, self._start_probe)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _open_for_bind(self, on_lost: Callable[[Channel], None]) -> Channel:
        connection = await self._in_thread(
            lambda connector, endpoint, attempt: connector.connect(endpoint, attempt, sasl_bind=False)
        )
        return Channel(self._loop, connection, on_lost)

    async def _open_for_searches(self, on_lost: Callable[[Channel], None]) -> Channel:
        conf = self._conf
        connection = await self._in_thread(
            lambda connector, endpoint, attempt: connector.connect(endpoint, attempt, sasl_bind=conf.use_sasl)
        )
        channel = Channel(self._loop, connection, on_lost)
        if conf.use_sasl:
            return channel
        done = await channel.bind(*_service_account(conf), conf.effective_version, conf.timeout)
        if done.code:
            channel.close()
            text = done.text.decode(errors="replace")
            raise ConnectError(
                f"{self.endpoint.uri}: bind as {conf.bind_dn or 'nobody'} refused: {describe_code(done.code)} {text}"
            )
        return channel


class Servers:
    """All of ``ldap_servers``, in the order of the file: the first that answers is asked."""

    def __init__(self, conf: LdapConf, connector: Connector) -> None:
        """To be made on the loop that is to run it; the servers are probed from now on."""
        self._servers = [Server(Endpoint.parse(uri), conf, connector) for uri in conf.servers]
        for server in self._servers:
            server.probe()

    async def use(
        self,
        purpose: Purpose,
        action: Callable[[Channel], Awaitable[Answered]],
        only: Endpoint | None = None,
    ) -> Answered:
        """Run ``action`` at the first server that gives an answer; at ``only`` that one, if it is given.

        :raises NoServerError: none did.
        """
        servers = self._servers if only is None else self._those(only)
        return (await self._first(lambda server: server.use(purpose, action), servers))[0]

    async def find(self, action: Callable[[Channel], Awaitable[Answered]]) -> tuple[Answered, Endpoint]:
        """The same for a search, with the server that answered."""
        return await self._first(lambda server: server.use(Purpose.SEARCH, action), self._servers)

    async def bind(self, action: Callable[[Channel], Awaitable[Answered]], found_at: Endpoint) -> Answered:
        """The same for a bind as an entry that was found at this server, which is asked first.

        What another says of it counts only if this one has failed meanwhile: it may be one that does not have the
        entry yet.
        """
        there = self._those(found_at)
        servers = there + [each for each in self._servers if each not in there]
        return (await self._first(lambda server: server.use(Purpose.BIND, action), servers))[0]

    async def run(self, action: Callable[[Connector, Endpoint, Attempt], Answered]) -> Answered:
        """The same for what blocks, and makes a connection of its own.

        :raises NoServerError: it could not be done at any.
        """
        return (await self._first(lambda server: server.run(action), self._servers))[0]

    @property
    def is_stuck(self) -> bool:
        """Whether none will answer any more, as far as this process is concerned."""
        return all(server.is_stuck for server in self._servers)

    def knows(self, endpoint: Endpoint) -> bool:
        """Whether it is one of the servers that the file names."""
        return any(_is_same(endpoint, server.endpoint) for server in self._servers)

    def _those(self, endpoint: Endpoint) -> "list[Server]":
        return [each for each in self._servers if _is_same(endpoint, each.endpoint)]

    async def _first(
        self, attempt: Callable[[Server], Awaitable[T]], servers: Sequence[Server]
    ) -> tuple[T, Endpoint]:
        tried: list[Server] = []
        trouble = ""
        while True:
            server = _next_up(servers, tried)
            if server is None:
                await _probed([each for each in servers if each not in tried])
                server = _next_up(servers, tried)
            if server is None:
                raise NoServerError(trouble or "; ".join(each.trouble for each in servers))
            steps = explained()
            try:
                outcome = await attempt(server)
            except (ConnectError, LostError, BusyError) as error:
                trouble = _with_place(server.endpoint, error)
                if steps is not None:
                    steps.note(trouble)
                tried.append(server)
            else:
                if steps is not None:
                    steps.note(f"answered by {server.endpoint.uri}")
                return outcome, server.endpoint


def _next_up(servers: Sequence[Server], tried: Sequence[Server]) -> Server | None:
    return next((server for server in servers if server.is_up and server not in tried), None)


async def _probed(servers: Sequence[Server]) -> None:
    """Wait until one of them is found to answer, or none."""
    probes = {probe for server in servers if (probe := server.probe()) is not None}
    while probes and not any(server.is_up for server in servers):
        _, probes = await asyncio.wait(probes, return_when=asyncio.FIRST_COMPLETED)


async def _use(lane: Lane, action: Callable[[Channel], Awaitable[Answered]]) -> Answered:
    channel = await lane.acquire()
    try:
        return await action(channel)
    finally:
        lane.release(channel)


def _service_account(conf: LdapConf) -> tuple[bytes, Secret]:
    """Name and password; neither of them without the other, as that is an anonymous bind which looks like none."""
    name = octets(conf.bind_dn)
    return (name, conf.password) if name and conf.password else (b"", Secret(b""))


def _is_same(one: Endpoint, other: Endpoint) -> bool:
    return (one.scheme, one.host.lower(), one.port, one.path) == (
        other.scheme,
        other.host.lower(),
        other.port,
        other.path,
    )


def _with_place(endpoint: Endpoint, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(endpoint.uri) else f"{endpoint.uri}: {text}"


def describe_code(code: int) -> str:
    """A result code in words and as a number."""
    try:
        return f"{Code(code).name.lower().replace('_', ' ')} ({code})"
    except ValueError:
        return f"result {code}"

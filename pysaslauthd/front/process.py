"""The front as a process: its parts, put together around one loop."""

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Iterable

import uvloop

from pysaslauthd import logs
from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.config.options import Options
from pysaslauthd.core import state
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.verbs import ForFront, ToFront
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.front import comparison
from pysaslauthd.front.administration import Administration
from pysaslauthd.front.chain import Chain, Link, Route, Routes, lowered
from pysaslauthd.front.client import ClientOptions
from pysaslauthd.front.comparison import Comparison
from pysaslauthd.front.control import ControlDesk, Limits
from pysaslauthd.front.explanation import Explanations
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.house import House
from pysaslauthd.front.master_link import MasterLink
from pysaslauthd.front.pool import Pool, PoolOptions
from pysaslauthd.front.publication import Publication
from pysaslauthd.front.snapshot import Observatory
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.status import Parts, Status
from pysaslauthd.front.waiting_room import WaitingOptions, WaitingRoom
from pysaslauthd.logs import log

EXIT_INTERNAL_ERROR = 70
"""EX_SOFTWARE."""

SPARE_DESCRIPTORS = 32
"""For loop, log, channel to the master and a little more, beside clients and workers."""

COMMAND_MARGIN = 60.0
"""Seconds beyond a login's own limits that an administrator's command may take; the longest is a reload."""


def run(
    channel: socket.socket,
    entrances: tuple[Entrance, ...],
    options: Options,
    scrapes: socket.socket | None = None,
) -> None:
    """Serve until the master says drain and the last client has gone, or the master is gone.

    ``scrapes``: where Prometheus comes by, if anywhere.
    """
    _Front(channel, entrances, options, scrapes).run()


class _Front:
    def __init__(
        self,
        channel: socket.socket,
        entrances: tuple[Entrance, ...],
        options: Options,
        scrapes: socket.socket | None,
    ) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._on_exception)
        self._statistics = Statistics()
        self._master = MasterLink(self._loop, channel, self._heard, self._loop.stop)
        self._pools: list[Pool] = []
        self._not_ready = len(options.mechanisms)
        self._rooms = [
            self._add_pool(each, WaitingOptions.of(each), self._one_is_ready) for each in options.split()
        ]
        self._comparison = self._compared(options.comparing)
        self._gate = Gate(
            self._loop, self._routes(options), options, self._statistics, comparison=self._comparison
        )
        clients = tuple(each for each in entrances if not each.is_control)
        self._house = House(
            self._loop,
            clients,
            self._gate,
            ClientOptions.of(options.settings),
            room_for_clients(options),
            self._statistics,
        )
        parts = Parts(self._house, self._gate, self._pools, clients)
        self._status = Status(parts)
        observatory = Observatory(self._statistics, parts, self._status)
        self._publication = Publication(self._loop, observatory, options.settings, scrapes)
        self._administration = Administration(self._loop, self._gate, self._master)
        self._desk = ControlDesk(
            self._loop,
            tuple(each for each in entrances if each.is_control),
            {
                "status": self._status.command,
                "stats": observatory.command,
                "flush": self._administration.flush,
                "reload": self._administration.reload,
                "log-level": self._administration.log_level,
                "explain": Explanations(self._loop, self._gate, options).command,
            },
            Limits(options.settings.read_timeout, longest_command(options)),
        )

    def _routes(self, options: Options) -> Routes:
        rooms = zip(options.mechanisms, self._rooms, strict=True)
        links = {row.name: Link(row, room) for row, room in rooms}
        settings = options.settings
        limit = settings.queue_timeout + settings.login_timeout

        def chain(rows: Iterable[Mechanism], next_on: frozenset[str] | None) -> Chain:
            return Chain(
                self._loop,
                [links[row.name] for row in rows],
                settings.next_on if next_on is None else next_on,
                limit,
            )

        routes = [
            Route(lowered(table.services), lowered(table.realms), chain(table.mechanism, table.next_on))
            for table in options.chains
        ]
        return Routes(routes, chain(options.mechanism, None))

    def _compared(self, options: Options | None) -> Comparison | None:
        """What asks another daemon afterwards, if that is wanted; logins are answered whether it can or not."""
        if options is None:
            return None
        room = self._add_pool(options, comparison.waiting_options(options), lambda: None)
        path, rejected = options.asked_socket, options.settings.compare_rejected
        assert path is not None
        return Comparison(self._loop, room, path, self._statistics, rejected=rejected)

    def _add_pool(
        self, options: Options, waiting: WaitingOptions, on_ready: Callable[[], None]
    ) -> WaitingRoom:
        room = WaitingRoom(self._loop, waiting)
        pool = Pool(
            self._loop,
            len(self._pools),
            PoolOptions.of(options),
            self._master,
            room,
            self._statistics,
            on_ready,
        )
        room.open(pool)
        self._pools.append(pool)
        return room

    def _one_is_ready(self) -> None:
        self._not_ready -= 1
        if not self._not_ready:
            self._master.ready()

    def run(self) -> None:
        """Until there is nothing left to do."""
        with logs.counting_repeats(self._loop.call_later):
            self._loop.run_forever()
            if self._comparison is not None:
                self._comparison.end()
            self._publication.end()
            self._publication.wait()

    def _heard(self, message: ForFront, channel: socket.socket | None) -> None:
        match message.verb:
            case ToFront.WORKER if channel is not None:
                self._pools[message.pool].adopt(message.number, channel)
            case ToFront.WORKER:
                # No descriptor was free for its channel, so the system dropped it on the way.
                self._master.kill(message.number)
                self._master.want(message.pool)
            case ToFront.GONE:
                self._pools[message.pool].gone(message.number)
            case ToFront.DRAIN | ToFront.HAND_OVER:
                self._drain(hands_over=message.verb is ToFront.HAND_OVER)
            case ToFront.PROBE:
                self._house.probe(self._master.served)
            case ToFront.REPORT:
                self._report()
            case ToFront.FORGET:
                self._gate.forget()
            case ToFront.STATE:
                self._status.daemon = state.decode(message.text)
                self._administration.learn(self._status.daemon)
                self._desk.open()
                self._publication.begin()
            case ToFront.RELOADED:
                self._administration.reloaded(message.number, message.text)

    def _drain(self, *, hands_over: bool) -> None:
        """Leave when the last client and the last administrator have gone."""
        left = 2

        def one_is_empty() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._loop.stop()

        self._publication.end()
        self._desk.drain(one_is_empty)
        self._house.drain(one_is_empty, hands_over=hands_over)

    def _report(self) -> None:
        log.info(
            "statistics",
            process="front",
            descriptors=len(open_descriptors()),
            clients=len(self._house),
            queued=sum(map(len, self._rooms)),
            **self._statistics.summary(),
        )
        if self._comparison is not None:
            self._comparison.sum_up()
        for pool in self._pools:
            pool.probe()

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Clients catch their own errors, so this is one of the front itself: it starts anew."""
        error = context.get("exception")
        what = logs.describe(error) if isinstance(error, BaseException) else context.get("message")
        log.critical(f"internal error: {what}")
        os._exit(EXIT_INTERNAL_ERROR)


def longest_command(options: Options) -> float:
    """Seconds that a command of an administrator may take: as long as a login may, and some more."""
    settings = options.settings
    return COMMAND_MARGIN + len(options.mechanisms) * (settings.queue_timeout + settings.login_timeout)


def room_for_clients(options: Options) -> int:
    """How many clients may be connected: as many as set, or as many as there are descriptors for."""
    wanted = options.settings.connections
    # Retired workers may still be leaving when their successors are there.
    others = sum(each.most_workers + each.workers for each in options.pools()) + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + others:
        soft = wanted + others if hard == resource.RLIM_INFINITY else min(wanted + others, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = max(1, min(wanted, soft - others))
    if room < wanted:
        log.warning(f"the limit of {hard} open files leaves room for {room} clients, not {wanted}")
    return room

"""The front as a process: its parts, put together around one loop."""

import asyncio
import dataclasses
import os
import resource
import socket
from collections.abc import Iterable

import uvloop

from pysaslauthd import logs
from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.config.options import Options
from pysaslauthd.core import state
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.verbs import ForFront, ToFront
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.front.administration import Administration
from pysaslauthd.front.chain import Chain, Link, Route, Routes, lowered
from pysaslauthd.front.client import ClientOptions
from pysaslauthd.front.control import ControlDesk, Limits
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.house import House
from pysaslauthd.front.master_link import MasterLink
from pysaslauthd.front.pool import Pool, PoolOptions
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


def run(channel: socket.socket, entrances: tuple[Entrance, ...], options: Options) -> None:
    """Serve until the master says drain and the last client has gone, or the master is gone."""
    _Front(channel, entrances, options).run()


class _Front:
    def __init__(self, channel: socket.socket, entrances: tuple[Entrance, ...], options: Options) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._on_exception)
        self._statistics = Statistics()
        self._master = MasterLink(self._loop, channel, self._heard, self._loop.stop)
        self._rooms: list[WaitingRoom] = []
        self._pools: list[Pool] = []
        self._not_ready = len(options.mechanisms)
        for each in options.split():
            self._add_mechanism(each)
        self._gate = Gate(self._loop, self._routes(options), options, self._statistics)
        clients = tuple(each for each in entrances if not each.is_control)
        self._house = House(
            self._loop,
            clients,
            self._gate,
            ClientOptions.of(options.settings),
            room_for_clients(options),
            self._statistics,
        )
        names = [each.name for each in options.mechanisms]
        self._status = Status(Parts(self._house, self._gate, names, self._rooms, self._pools, clients))
        self._administration = Administration(self._loop, self._gate, self._master)
        self._desk = ControlDesk(
            self._loop,
            tuple(each for each in entrances if each.is_control),
            {
                "status": self._status.command,
                "flush": self._administration.flush,
                "reload": self._administration.reload,
                "log-level": self._administration.log_level,
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

    def _add_mechanism(self, options: Options) -> None:
        room = WaitingRoom(self._loop, WaitingOptions.of(options))
        pool = Pool(
            self._loop,
            len(self._pools),
            PoolOptions.of(options),
            self._master,
            room,
            self._statistics,
            self._one_is_ready,
        )
        room.open(pool)
        self._rooms.append(room)
        self._pools.append(pool)

    def _one_is_ready(self) -> None:
        self._not_ready -= 1
        if not self._not_ready:
            self._master.ready()

    def run(self) -> None:
        """Until there is nothing left to do."""
        self._loop.run_forever()

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

        self._desk.drain(one_is_empty)
        self._house.drain(one_is_empty, hands_over=hands_over)

    def _report(self) -> None:
        self._statistics.clients = len(self._house)
        self._statistics.queued = sum(map(len, self._rooms))
        counts = dataclasses.asdict(self._statistics)
        log.info("statistics", process="front", descriptors=len(open_descriptors()), **counts)
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
    others = sum(each.most_workers + each.workers for each in options.split()) + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + others:
        soft = wanted + others if hard == resource.RLIM_INFINITY else min(wanted + others, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = max(1, min(wanted, soft - others))
    if room < wanted:
        log.warning(f"the limit of {hard} open files leaves room for {room} clients, not {wanted}")
    return room

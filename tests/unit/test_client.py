"""A bug behind a client costs that client its answer, and leaves nothing behind."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, unavailable
from pysaslauthd.core.wire import ProtocolError, Request
from pysaslauthd.front.client import Client, ClientOptions
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Asker, Caller
from support.log_readers import json_on_standard_error, read_json
from support.mux import read_to_end, request

RIGHT = request(b"alice", b"secret")


class Gate:
    """Stands where the gate stands; ``login`` is the test's."""

    def __init__(self, login: Callable[[Request, Asker, bytes | None], None]) -> None:
        self.login = login
        self.known: set[bytes] = set()

    def remembers(self, whole: bytes) -> bool:
        return whole in self.known

    def refuse(self, error: ProtocolError, _caller: Caller) -> None:
        raise RuntimeError from error


class House:
    """Stands where the listener stands."""

    def __init__(self, gate: Gate) -> None:
        self.loop = uvloop.new_event_loop()
        self.gate = gate
        self.options = ClientOptions.of(Settings())
        self.statistics = Statistics()
        self.left: list[Client] = []

    def waits_for(self, client: Client) -> None:
        pass

    def has_asked(self, client: Client) -> None:
        pass

    def may_wait(self, client: Client) -> bool:
        return client not in self.left

    def is_refused(self, client: Client) -> None:
        pass

    def has_left(self, client: Client) -> None:
        self.left.append(client)


def talk(gate: Gate, data: bytes) -> tuple[bytes, int]:
    """What a client hears, and how often its end was noted."""
    house = House(gate)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours:
        ours.sendall(data)
        client = Client(house, theirs, Caller(1, 0, 0))  # type: ignore[arg-type]
        client.begin(None)
        heard = read_to_end(ours)
        client.close()
    house.loop.close()
    return heard, len(house.left)


def late(gate: Gate, data: bytes) -> bytes:
    """What a client hears that has been accepted before it asks."""
    house = House(gate)
    ours, theirs = socket.socketpair()
    with ours:
        Client(house, theirs, Caller(1, 0, 0)).begin(None)  # type: ignore[arg-type]
        ours.sendall(data)
        for _ in range(1000):
            if house.left:
                break
            house.loop.run_until_complete(asyncio.sleep(0.001))
        ours.setblocking(False)
        heard = read_to_end(ours)
    house.loop.close()
    return heard


def broken(*_: object) -> None:
    raise ZeroDivisionError


def test_an_answer_is_heard_and_the_end_noted_once() -> None:
    assert talk(Gate(lambda _, asker, __: asker.hear(ACCEPTED)), RIGHT) == (b"\0\2OK", 1)


@pytest.mark.parametrize("data", [RIGHT, request(b"", b"x")])
def test_a_gate_that_fails_closes_its_client(data: bytes) -> None:
    assert talk(Gate(broken), data) == (b"", 1)


def test_a_gate_that_fails_is_found_by_the_request(capfd: pytest.CaptureFixture[str]) -> None:
    with json_on_standard_error():
        talk(Gate(broken), RIGHT)
    line = read_json(capfd.readouterr().err)
    assert str(line["event"]).startswith("internal error: ZeroDivisionError at test_client.py:")
    assert line["request"] == "000000-1"


def test_an_answer_that_cannot_be_sent_closes_its_client() -> None:
    odd = unavailable(Cause.CRASH, "x")._replace(verdict=None)  # type: ignore[arg-type]

    def deliver_odd(_: Request, asker: Asker, _whole: bytes | None) -> None:
        asker.hear(odd)

    heard, closed = talk(Gate(deliver_odd), RIGHT)
    assert heard in (b"", b"\0\2NO")
    assert closed == 1


def test_who_asks_when_he_was_accepted_already_is_looked_up_before_anything_else() -> None:
    gate = Gate(broken)
    gate.known = {RIGHT}
    assert late(gate, RIGHT) == b"\0\2OK"
    assert late(Gate(lambda _, asker, __: asker.hear(ACCEPTED)), RIGHT) == b"\0\2OK"
    assert late(gate, request(b"alice", b"another")) == b""


def test_a_second_answer_is_not_sent() -> None:
    def deliver_twice(_: Request, asker: Asker, _whole: bytes | None) -> None:
        asker.hear(Answer(ACCEPTED.verdict))
        asker.hear(ACCEPTED)

    assert talk(Gate(deliver_twice), RIGHT) == (b"\0\2OK", 1)

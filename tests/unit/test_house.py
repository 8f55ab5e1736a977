"""The house with real sockets, the gate behind it played by the test."""

import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop

from pysaslauthd.config.settings import Settings
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.wire import Request
from pysaslauthd.front import house as house_module
from pysaslauthd.front.client import Client, ClientOptions
from pysaslauthd.front.house import House
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Asker
from support import mux

KNOWN = mux.request(b"known", b"pw")
OTHER = mux.request(b"other", b"pw")


class Gate:
    """Knows one request, and never answers another."""

    def __init__(self) -> None:
        self.asked: list[Asker] = []
        self.turned_away = 0
        self.on_known: Callable[[], None] = lambda: None

    def remembers(self, whole: bytes) -> bool:
        if whole != KNOWN:
            return False
        self.on_known()
        return True

    def login(self, _request: Request, asker: Asker, _whole: bytes | None) -> None:
        assert asker.may_wait()
        self.asked.append(asker)

    def shed(self, _reason: str) -> float:
        self.turned_away += 1
        return 0.0


class Stage:
    def __init__(self, stack: ExitStack, limit: int = 100, **settings: object) -> None:
        self.loop = uvloop.new_event_loop()
        self._stack = stack
        self._path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="psd-"))) / "mux"
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(self._path))
        listening.listen(100)
        self.gate = Gate()
        options = ClientOptions.of(Settings(**settings))  # type: ignore[arg-type]
        self.house = House(self.loop, (Entrance(listening, "mux"),), self.gate, options, limit, Statistics())  # type: ignore[arg-type]
        stack.callback(self._end)

    def _end(self) -> None:
        """A house lives as long as its process, so it has no end of its own."""
        newcomers = [client for client, _ in self.house._newcomers]  # noqa: SLF001
        for client in [*newcomers, *self.house._seats.idle(), *self.gate.asked]:  # noqa: SLF001
            assert isinstance(client, Client)
            client.close()
        self.loop.close()

    def connect(self, data: bytes = b"") -> socket.socket:
        client = self._stack.enter_context(mux.connect(self._path))
        client.sendall(data)
        return client

    def run(self, until: Callable[[], object]) -> None:
        """Let the loop turn until something is so."""

        def look() -> None:
            if until():
                self.loop.stop()
            else:
                self.loop.call_later(0.001, look)

        look_limit = self.loop.call_later(20, self.loop.stop)
        self.loop.call_soon(look)
        self.loop.run_forever()
        look_limit.cancel()
        assert until()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_who_has_his_answer_hears_no_other_and_nobody_leaves_for_him(stack: ExitStack) -> None:
    stage = Stage(stack, limit=1, unavailable="no")
    seated = stage.connect(OTHER)
    stage.run(lambda: stage.gate.asked)
    client = stage.connect(KNOWN)
    stage.gate.on_known = lambda: client.sendall(b"more")
    stage.run(lambda: len(stage.house) == 1 and not pending(client))
    assert mux.read_to_end(client) == b"\0\2OK"
    assert stage.gate.turned_away == 0
    assert stage.gate.asked[0].is_there()
    seated.close()


def pending(client: socket.socket) -> bool:
    """Whether it has not been answered yet."""
    return not select.select([client], [], [], 0)[0]


class TestADrain:
    def test_is_not_over_before_the_last_who_waited_was_accepted(self, stack: ExitStack) -> None:
        stage = Stage(stack)
        first = stage.connect(KNOWN)

        def send_more_and_leave() -> None:
            first.sendall(b"more")
            first.shutdown(socket.SHUT_WR)

        stage.gate.on_known = send_more_and_leave
        stage.connect(OTHER)
        ends: list[int] = []
        stage.house.drain(lambda: ends.append(len(stage.house)))
        stage.run(lambda: stage.gate.asked)
        assert ends == []
        assert len(stage.house) == 1

    def test_hurries_who_has_sent_a_part(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pysaslauthd.front.client.HURRY", 0.05)
        stage = Stage(stack, read_timeout=1000.0)
        stage.connect(OTHER[:4])
        ends: list[bool] = []
        stage.house.drain(lambda: ends.append(True))
        stage.run(lambda: ends)

    def test_hears_who_asked_while_we_slept(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pysaslauthd.front.client.HURRY", 0.02)
        stage = Stage(stack)
        client = stage.connect()
        stage.run(lambda: len(stage.house) == 1)
        stage.house.drain(lambda: None)
        client.sendall(OTHER)
        time.sleep(0.03)  # which is what sleeping is: the loop finds the time over and the request there
        stage.run(lambda: stage.gate.asked)

    def test_takes_no_more_than_can_wait(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(house_module, "MOST_WAITING", 3)
        stage = Stage(stack)
        for _ in range(5):
            stage.connect(OTHER)
        stage.house.drain(lambda: None)
        assert len(stage.house) == 3


def test_a_probe_that_fails_once_is_served_all_the_same(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(stack)
    served: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", full)
        stage.house.probe(lambda: served.append(True))
    stage.run(lambda: served)


def full() -> None:
    raise OSError(23, "Too many open files in system")

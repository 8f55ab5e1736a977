"""The metrics by HTTP: what a flood of those who ask may cost the front."""

import asyncio
import contextlib
import select
import socket
from collections.abc import Iterator

import pytest
import uvloop

from pysaslauthd.front import metrics_http
from pysaslauthd.front.metrics import CLIENTS, Family, Sample
from pysaslauthd.front.metrics_http import MetricsServer
from support import mux
from support.tcp_ports import HOST, free_port, listening
from support.waiting import wait_until

REQUEST = b"GET /metrics HTTP/1.0\r\n\r\n"


class Stage:
    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.port = free_port()
        self.asked = 0
        self.server = MetricsServer(self.loop, listening(self.port), self.families)

    def families(self) -> list[Family]:
        self.asked += 1
        return [Family(CLIENTS, (Sample((), 7),))]

    def turn(self) -> None:
        """Let the loop do all that is due."""
        for _ in range(20):
            self.loop.run_until_complete(asyncio.sleep(0))

    def until_readable(self, client: socket.socket) -> None:
        def is_readable() -> bool:
            self.turn()
            return bool(select.select([client], [], [], 0)[0])

        wait_until(is_readable, "there is an answer")


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.server.close()
    made.turn()
    made.loop.close()


def ask(stage: Stage) -> socket.socket:
    client = socket.create_connection((HOST, stage.port), mux.TIMEOUT)
    client.sendall(REQUEST)
    return client


def test_one_connection_is_taken_at_a_time_and_the_next_after_a_pause(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    go_on: list[object] = []

    class Clock:
        """A loop whose timers wait for us."""

        def __getattr__(self, name: str) -> object:
            return getattr(stage.loop, name)

        def call_later(self, seconds: float, action: object) -> None:
            pauses.append(seconds)
            go_on.append(action)

    monkeypatch.setattr(stage.server, "_loop", Clock())
    with ask(stage) as first, ask(stage) as second:
        stage.until_readable(first)
        stage.turn()
        assert stage.asked == 1
        assert pauses == [metrics_http.PAUSE]
        assert not select.select([second], [], [], 0)[0]
        go_on.pop()()  # type: ignore[operator]
        stage.until_readable(second)
        assert stage.asked == 2


def test_a_bug_in_the_numbers_costs_an_answer_and_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("pysaslauthd.front.metrics_http.log.error", told.append, raising=False)
    monkeypatch.setattr(stage.server._numbers, "_families", lambda: 1 // 0)  # noqa: SLF001  (stands for the bug)
    with ask(stage) as client:
        stage.until_readable(client)
        assert mux.read_to_end(client) == b""
    (line,) = told
    assert line.startswith("internal error: ZeroDivisionError at ")


def test_an_answer_that_nobody_reads_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http, "LIMIT", 0.05)
    monkeypatch.setattr(stage.server, "_answer_to", lambda *_: b"x" * (64 << 20))
    with ask(stage) as client:
        stage.until_readable(client)

        def is_over() -> bool:
            stage.turn()
            return not stage.server._exchanges  # noqa: SLF001  (nobody else sees it)

        wait_until(is_over, "the connection is closed")


def test_when_it_is_over_nobody_is_answered(stage: Stage) -> None:
    with socket.create_connection((HOST, stage.port), mux.TIMEOUT) as client:
        stage.turn()
        stage.server.close()
        stage.turn()
        assert mux.read_to_end(client) == b""
    with pytest.raises(ConnectionRefusedError):
        ask(stage)


def test_of_more_than_so_many_who_say_nothing_the_first_is_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_http, "LIMIT", 1000.0)
    monkeypatch.setattr(metrics_http, "PAUSE", 0.0)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((HOST, stage.port), mux.TIMEOUT))
            for _ in range(metrics_http.MOST_CONNECTIONS + 1)
        ]
        stage.until_readable(silent[0])
        assert mux.read_to_end(silent[0]) == b""
        silent[-1].sendall(REQUEST)
        stage.until_readable(silent[-1])
        assert not select.select(silent[1:-1], [], [], 0)[0]

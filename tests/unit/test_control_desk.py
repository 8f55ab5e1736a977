"""The control socket with real clients and commands of the test's own, the worst that there could be."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pysaslauthd.core.control import LineError, decode
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.front import control
from pysaslauthd.front.control import ControlDesk, Limits, RefusedError
from support.controlled import connect, order
from support.log_readers import json_on_standard_error, read_json

Command = Callable[[dict[str, Any]], AsyncGenerator[dict[str, Any], None]]

ENDED: list[str] = []
"""Commands that came to their end, however."""


async def _counts(_order: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    for number in range(3):
        yield {"number": number}


async def _is_buggy(_order: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    yield {"number": 1}
    raise KeyError("secret")


async def _refuses(_order: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    if _order:
        raise RefusedError("not today")
    yield {}


async def _is_endless(_order: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    try:
        while True:
            yield {"text": "x" * 10_000}
    finally:
        ENDED.append("endless")


async def _hangs(_order: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    try:
        await asyncio.get_running_loop().create_future()
        yield {}
    finally:
        ENDED.append("hangs")


COMMANDS: dict[str, Command] = {
    "count": _counts,
    "bug": _is_buggy,
    "refuse": _refuses,
    "endless": _is_endless,
    "hang": _hangs,
}


class Stage:
    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.troubles.append(context))
        self.troubles: list[dict[str, Any]] = []
        """Each would have ended a front."""
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen(100)
        self.desk = ControlDesk(self.loop, (Entrance(self.listening, "control"),), COMMANDS, limits)
        self.desk.open()

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        async def wait() -> None:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110  (what is waited for may be outside of the loop)
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def heard(self, command: str) -> list[dict[str, Any]]:
        """All that it has to say."""
        with connect(self.path, order(do=command)) as client:
            return self.read(client)

    def read(self, client: socket.socket) -> list[dict[str, Any]]:
        client.setblocking(False)
        data = bytearray()

        def is_over() -> bool:
            try:
                chunk = client.recv(1 << 16)
            except BlockingIOError:
                return False
            data.extend(chunk)
            return not chunk

        self.until(is_over)
        return [decode(line) for line in bytes(data).splitlines()]


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    limits = getattr(request, "param", Limits(5.0, 5.0))
    ENDED.clear()
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        made = Stage(Path(name) / "control", limits)
        try:
            yield made
        finally:
            over: list[bool] = []
            made.desk.drain(lambda: over.append(True))
            made.until(lambda: bool(over))
            made.listening.close()
            made.loop.close()
            assert made.troubles == []


def test_a_command_says_its_lines_and_that_it_has_ended(stage: Stage) -> None:
    assert stage.heard("count") == [{"number": 0}, {"number": 1}, {"number": 2}, {"end": True}]


def test_an_error_of_a_command_costs_nobody_else_anything(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    with json_on_standard_error():
        assert stage.heard("bug") == [{"number": 1}, {"error": "internal error; the log says where"}]
    (line,) = map(read_json, capfd.readouterr().err.splitlines())
    assert str(line["event"]).startswith("internal error: KeyError at test_control_desk.py")
    assert stage.heard("refuse") == [{"error": "not today"}]
    assert stage.heard("count")[-1] == {"end": True}


def test_who_does_not_read_is_closed_and_no_more_than_a_line_waits_for_him(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "WRITE_LIMIT", 0.1)
    with connect(stage.path, order(do="endless")) as client:
        stage.until(lambda: ENDED == ["endless"])
        assert stage.heard("count")[-1] == {"end": True}
        client.setblocking(False)
        size = 0
        while chunk := client.recv(1 << 20):
            size += len(chunk)
    # What the kernel holds of a connection, and one line.
    assert size < 1_000_000


def test_who_leaves_ends_his_command(stage: Stage) -> None:
    connect(stage.path, order(do="endless")).close()
    stage.until(lambda: ENDED == ["endless"])


def test_those_who_left_what_hangs_keep_nobody_out(stage: Stage) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(control.MOST_CONVERSATIONS):
            clients.enter_context(connect(stage.path, order(do="hang")))
        with connect(stage.path) as another:
            assert stage.read(another) == [{"error": "8 others are asking already; try again later"}]
    assert stage.heard("count")[-1] == {"end": True}
    stage.until(lambda: ENDED == ["hangs"] * control.MOST_CONVERSATIONS)


@pytest.mark.parametrize("stage", [Limits(5.0, 0.05)], indirect=True)
def test_a_command_has_a_limit(stage: Stage) -> None:
    assert stage.heard("hang") == [{"error": "it took longer than 0.05 s"}]
    assert ENDED == ["hangs"]


def test_a_drain_ends_what_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "DRAIN_LIMIT", 0.05)
    monkeypatch.setattr(control, "HURRY", 0.05)
    with connect(stage.path, order(do="hang")), connect(stage.path, b"{"):
        stage.heard("count")
        over: list[bool] = []
        stage.desk.drain(lambda: over.append(True))
        stage.until(lambda: over == [True])
        assert ENDED == ["hangs"]
        with pytest.raises(OSError, match="refused"):
            connect(stage.path)


def test_a_drain_answers_who_has_connected(stage: Stage) -> None:
    with connect(stage.path, order(do="count")) as client:
        over: list[bool] = []
        stage.desk.drain(lambda: over.append(True))
        assert stage.read(client)[-1] == {"end": True}
        stage.until(lambda: over == [True])


def test_a_line_that_is_none_is_not_quoted() -> None:
    for data in (b"secret", b'{"do": secret', b"\xff\xfes"):
        with pytest.raises(LineError) as raised:
            decode(data)
        assert "secret" not in str(raised.value)

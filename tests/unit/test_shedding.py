"""Who is turned away, and when he hears of it."""

import asyncio
from collections.abc import Coroutine

import pytest
import uvloop

from pysaslauthd.front import shedding
from pysaslauthd.front.shedding import AT_ONCE, HOLD, Shedding
from support.played_log import PlayedLog


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    played = PlayedLog()
    monkeypatch.setattr(shedding, "log", played)
    monkeypatch.setattr(shedding, "INTERVAL", 0.02)
    return played.texts


def test_the_first_is_said_at_once_and_the_others_together(said: list[str]) -> None:
    async def scene() -> None:
        shed = Shedding(asyncio.get_running_loop())
        assert shed.add("full") == 0
        assert said == ["1 login turned away: full"]
        for reason in ("full", "full", "late"):
            shed.add(reason)
        assert len(said) == 1
        await until(said, 3)
        assert said[1:] == ["2 logins turned away: full", "1 login turned away: late"]

    run(scene())


def test_where_they_are_hundreds_a_second_the_rest_is_held(said: list[str]) -> None:
    async def scene() -> None:
        shed = Shedding(asyncio.get_running_loop())
        assert {shed.add("full") for _ in range(AT_ONCE)} == {0}
        assert {shed.add("full") for _ in range(1000)} == {HOLD}
        await until(said, 2)
        assert shed.add("full") == 0

    run(scene())


async def until(said: list[str], count: int) -> None:
    for _ in range(5000):
        if len(said) >= count:
            return
        await asyncio.sleep(0.001)


def run(scene: Coroutine[None, None, None]) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(scene)
    finally:
        loop.close()

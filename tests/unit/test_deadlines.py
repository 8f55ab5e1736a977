"""One timer for many waits."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from pysaslauthd.deadlines import Deadlines


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made: asyncio.AbstractEventLoop = request.param()
    yield made
    made.close()


def expired(loop: asyncio.AbstractEventLoop, count: int, begin: list[str], *, then: str = "") -> list[str]:
    """What expires of ``begin``, until there are ``count``; ``then`` is added when the first has."""
    over: list[str] = []
    enough = loop.create_future()

    def expire(item: str) -> None:
        over.append(item)
        if then and len(over) == 1:
            deadlines.add(then)
        if len(over) == count:
            enough.set_result(None)

    deadlines: Deadlines[str] = Deadlines(loop, 0.01, expire)
    for item in begin:
        deadlines.add(item)
    for item in begin:
        if item.startswith("done"):
            deadlines.discard(item)
    loop.run_until_complete(asyncio.wait_for(enough, 20))
    return over


def test_what_was_not_discarded_expires_in_turn(loop: asyncio.AbstractEventLoop) -> None:
    assert expired(loop, 3, ["a", "done b", "c", "done d", "e"]) == ["a", "c", "e"]


def test_what_is_added_while_others_expire_does_too(loop: asyncio.AbstractEventLoop) -> None:
    assert expired(loop, 2, ["a"], then="b") == ["a", "b"]


def test_time_begins_anew_for_what_is_added_again(loop: asyncio.AbstractEventLoop) -> None:
    over: list[str] = []
    deadlines: Deadlines[str] = Deadlines(loop, 1000, over.append)
    deadlines.add("a")
    deadlines.discard("a")
    deadlines.discard("a")
    deadlines.add("a")
    loop.run_until_complete(asyncio.sleep(0))
    assert over == []


def test_of_which_none_is_left_another_still_expires(loop: asyncio.AbstractEventLoop) -> None:
    over = loop.create_future()
    deadlines: Deadlines[str] = Deadlines(loop, 0.01, over.set_result)

    async def later() -> str:
        deadlines.add("done")
        deadlines.discard("done")
        await asyncio.sleep(0.03)  # the timer of the first has passed
        deadlines.add("b")
        result: str = await asyncio.wait_for(over, 20)
        return result

    assert loop.run_until_complete(later()) == "b"

"""What the log says of those who may not ask by a socket."""

import asyncio

import pytest

from pysaslauthd.core.entrance import Access
from pysaslauthd.front import refusals
from pysaslauthd.front.refusals import MOST_USERS, Refusals
from support.played_log import PlayedLog


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    played = PlayedLog()
    monkeypatch.setattr(refusals, "log", played)
    monkeypatch.setattr(refusals, "INTERVAL", 0.02)
    return played.texts


async def until(said: list[str], count: int) -> None:
    async with asyncio.timeout(10):
        while len(said) < count:  # noqa: ASYNC110  (the log is a list of lines, which wakes nobody)
            await asyncio.sleep(0.001)


def test_the_first_is_said_at_once_and_the_others_together(said: list[str]) -> None:
    async def scene() -> None:
        refused = Refusals(asyncio.get_running_loop())
        refused.add("/a", 5)
        assert said == ["1 client of the user with id 5 not allowed on socket /a"]
        for name, user in (("/a", 5), ("/b", 5), ("/a", 5)):
            refused.add(name, user)
        assert len(said) == 1
        await until(said, 3)
        assert said[1:] == [
            "2 clients of the user with id 5 not allowed on socket /a",
            "1 client of the user with id 5 not allowed on socket /b",
        ]

    asyncio.run(scene())


def test_many_users_do_not_fill_the_log(said: list[str]) -> None:
    async def scene() -> None:
        refused = Refusals(asyncio.get_running_loop())
        for user in range(1001):
            refused.add("/a", user)
        await until(said, MOST_USERS + 2)
        assert said[-1] == f"{1000 - MOST_USERS} clients of other users not allowed either"
        await asyncio.sleep(0)
        assert len(said) == MOST_USERS + 2

    asyncio.run(scene())


def test_access_is_by_a_user_or_any_group() -> None:
    access = Access(frozenset({1}), frozenset({2, 3}))
    assert access.admits(1, ())
    assert access.admits(9, (8, 3))
    assert not access.admits(2, (1,))
    assert not access.admits(0, (0,))

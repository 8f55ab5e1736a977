"""Who hears what of which reload: in the master, and in the front that asked for administrators."""

import asyncio
from typing import cast

import pytest

from pysaslauthd.core.control import Line
from pysaslauthd.front.administration import Administration
from pysaslauthd.front.control import RefusedError
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.master_link import MasterLink
from pysaslauthd.master.generation import Generation
from pysaslauthd.master.reloads import PAUSE, Reloads


class Asking:
    """A generation, as far as it asks for reloads."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []

    def reloaded(self, number: int, why_not: str) -> None:
        self.heard.append((number, why_not))

    def ask(self, reloads: Reloads, number: int) -> None:
        reloads.ask(cast("Generation", self), number)


class TestInTheMaster:
    def test_who_asks_while_one_is_under_way_hears_of_the_next(self) -> None:
        reloads, one, other = Reloads(), Asking(), Asking()
        one.ask(reloads, 1)
        one.ask(reloads, 2)
        reloads.begin(10.0)
        one.ask(reloads, 3)
        other.ask(reloads, 1)
        reloads.ended("no such file")
        assert one.heard == [(2, "no such file")]
        assert other.heard == []
        assert reloads.is_wanted
        reloads.begin(12.0)
        reloads.ended("")
        assert one.heard[1:] == [(3, "")]
        assert other.heard == [(1, "")]
        assert not reloads.is_wanted

    def test_who_asks_waits_for_a_while_after_the_last_and_a_signal_does_not(self) -> None:
        reloads, one = Reloads(), Asking()
        one.ask(reloads, 1)
        assert reloads.not_before <= 0.0
        reloads.begin(10.0)
        one.ask(reloads, 2)
        assert reloads.not_before == 10.0 + PAUSE
        reloads.want()
        assert reloads.not_before <= 10.0
        reloads.begin(10.1)
        reloads.want()
        assert reloads.not_before <= 10.1

    def test_all_hear_of_the_end(self) -> None:
        reloads, one, other = Reloads(), Asking(), Asking()
        one.ask(reloads, 1)
        reloads.begin(10.0)
        other.ask(reloads, 7)
        reloads.give_up("stopping")
        assert (one.heard, other.heard) == ([(1, "stopping")], [(7, "stopping")])
        assert not reloads.is_wanted


class Master:
    """What the front's end of the channel is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def reload(self, number: int) -> None:
        self.asked.append(number)


class TestInTheFront:
    def test_each_hears_of_its_own(self) -> None:
        async def play() -> None:
            master = Master()
            loop = asyncio.get_running_loop()
            administration = Administration(loop, cast("Gate", None), cast("MasterLink", master))

            async def ask() -> list[Line]:
                return [line async for line in administration.reload({})]

            first, second, third = (asyncio.ensure_future(ask()) for _ in range(3))
            while len(master.asked) < 3:  # noqa: ASYNC110  (they only have to get their turn)
                await asyncio.sleep(0)
            assert master.asked == [1, 2, 3]
            administration.reloaded(2, "")
            assert await first == await second == [{"reloaded": True}]
            assert not third.done()
            administration.reloaded(3, "broken")
            with pytest.raises(RefusedError, match="not reloaded: broken"):
                await third
            administration.reloaded(3, "")  # which nobody waits for any more

        asyncio.run(play())

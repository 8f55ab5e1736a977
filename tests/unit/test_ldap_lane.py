"""A lane with real channels, opened and answered by the test: who gets a connection, in which order, and when it ends."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from pysaslauthd.mechanisms.ldap import lane as lane_module
from pysaslauthd.mechanisms.ldap.channel import Channel, LostError
from pysaslauthd.mechanisms.ldap.lane import Lane, LaneOptions
from support.waiting import LIMIT


class OpenError(Exception):
    """Why a connection could not be opened."""


class Opening:
    """One that the lane wants. The test says what becomes of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Channel], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self.outcome: asyncio.Future[Channel] = loop.create_future()

    def succeed(self) -> "Played":
        played = Played(self._loop, self._on_lost)
        self.outcome.set_result(played.channel)
        return played

    def fail(self) -> None:
        self.outcome.set_exception(OpenError("refused"))


class Played:
    """A connection and its server's end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Channel], None]) -> None:
        self.server, ours = socket.socketpair()
        self.server.setblocking(False)
        self.channel = Channel(loop, ours, on_lost)

    @property
    def is_left(self) -> bool:
        """Whether our side has closed it."""
        try:
            return self.server.recv(1) == b""
        except BlockingIOError:
            return False


class Stage:
    """The loop, the lane and what it wants opened."""

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int, most: int) -> None:
        self.loop = loop
        self.openings: list[Opening] = []
        self.played: list[Played] = []
        self.lane = Lane(loop, LaneOptions(capacity, most), self._open)

    async def _open(self, on_lost: Callable[[Channel], None]) -> Channel:
        self.openings.append(Opening(self.loop, on_lost))
        return await self.openings[-1].outcome

    async def login(self) -> "asyncio.Task[Channel]":
        """One who wants a connection, and waits for it if there is none."""
        task = self.loop.create_task(self.lane.acquire())
        await turn()
        return task

    async def opened(self, number: int = -1) -> Played:
        """Let an opening succeed, the last one by default."""
        played = self.openings[number].succeed()
        self.played.append(played)
        await turn()
        return played

    async def one_in_use(self) -> tuple[Played, Channel]:
        task = await self.login()
        return await self.opened(), await task

    async def one_idle(self) -> Played:
        played, channel = await self.one_in_use()
        self.lane.release(channel)
        return played

    def close(self) -> None:
        for each in self.played:
            each.channel.close()
            each.server.close()
        for opening in self.openings:
            opening.outcome.cancel()


async def turn() -> None:
    """Let the loop do what is due, several times over: one thing leads to another."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for is no event)
        await asyncio.sleep(0.001)


Test = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a test with a lane; whatever goes wrong behind its back is an error too."""

    def run(test: Test, *, capacity: int = 1, most: int = 10) -> None:
        loop = request.param()
        errors: list[object] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))

        async def whole() -> None:
            stage = Stage(loop, capacity, most)
            try:
                await asyncio.wait_for(test(stage), LIMIT)
            finally:
                stage.close()
                await turn()

        try:
            loop.run_until_complete(whole())
        finally:
            loop.close()
        assert errors == []

    return run


Run = Callable[..., None]


class TestAConnection:
    def test_is_opened_for_the_first_and_kept_for_the_next(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            played, channel = await stage.one_in_use()
            assert channel is played.channel
            stage.lane.release(channel)
            assert await stage.lane.acquire() is channel
            assert len(stage.openings) == 1

        run(test)

    def test_is_shared_up_to_its_capacity(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(3)]
            assert len(stage.openings) == 1
            first = await stage.opened()
            assert [await task for task in tasks] == [first.channel] * 3
            fourth = await stage.login()
            assert len(stage.openings) == 2
            second = await stage.opened()
            assert await fourth is second.channel
            assert await stage.lane.acquire() is second.channel
            assert await stage.lane.acquire() is second.channel
            assert len(stage.openings) == 2

        run(test, capacity=3)

    def test_serves_one_alone_with_a_capacity_of_one(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(5)]
            assert len(stage.openings) == 5
            for number in range(5):
                await stage.opened(number)
            assert len({await task for task in tasks}) == 5

        run(test)

    def test_is_opened_only_for_who_has_no_room_in_those_on_their_way(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            for number in range(1, 10):
                await stage.login()
                assert len(stage.openings) == (number + 3) // 4

        run(test, capacity=4)

    def test_that_got_room_last_is_preferred(self, run: Run) -> None:
        """So that the others get idle, and end."""

        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(4)]
            for number in range(2):
                await stage.opened(number)
            first, second = stage.played
            assert [await task for task in tasks] == [first.channel] * 2 + [second.channel] * 2
            for last, other in ((first, second), (second, first)):
                stage.lane.release(other.channel)
                stage.lane.release(last.channel)
                assert await stage.lane.acquire() is last.channel
                assert await stage.lane.acquire() is other.channel

        run(test, capacity=2)

    def test_that_ended_while_nobody_used_it_is_lent_to_nobody(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            (await stage.one_idle()).server.close()
            await turn()
            login = await stage.login()
            assert len(stage.openings) == 2
            second = await stage.opened()
            assert await login is second.channel

        run(test)

    def test_that_ended_in_use_may_be_given_back(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            played, channel = await stage.one_in_use()
            played.server.close()
            await until(lambda: not channel.is_open)
            stage.lane.release(channel)
            stage.lane.release(channel)
            await stage.login()
            assert len(stage.openings) == 2

        run(test)

    def test_that_ended_as_soon_as_it_was_open_is_a_failure(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            login = await stage.login()
            played = stage.openings[0].succeed()
            played.channel.close()
            with pytest.raises(LostError, match="the connection ended at once"):
                await login
            stage.played.append(played)

        run(test)


class TestWhoWaits:
    def test_is_served_in_order(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            order: list[int] = []

            async def login(number: int) -> None:
                held = await stage.lane.acquire()
                order.append(number)
                await turn()
                stage.lane.release(held)

            tasks = [stage.loop.create_task(login(number)) for number in range(5)]
            await turn()
            assert order == []
            stage.lane.release(channel)
            await asyncio.gather(*tasks)
            assert order == list(range(5))
            assert len(stage.openings) == 1

        run(test, most=1)

    def test_waits_when_there_are_as_many_as_may_be(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(9)]
            assert len(stage.openings) == 3
            for number in range(3):
                await stage.opened(number)
            await stage.login()
            assert len(stage.openings) == 3
            assert [task.done() for task in tasks] == [True] * 6 + [False] * 3
            stage.lane.release(stage.played[1].channel)
            await turn()
            assert await tasks[6] is stage.played[1].channel
            assert not tasks[7].done()

        run(test, capacity=2, most=3)

    def test_gets_what_is_given_back_before_what_is_on_its_way(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            login = await stage.login()
            stage.lane.release(channel)
            assert await login is channel
            second = await stage.opened()
            assert await stage.lane.acquire() is second.channel

        run(test)

    def test_gets_another_when_one_in_use_ends(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            played, channel = await stage.one_in_use()
            login = await stage.login()
            assert len(stage.openings) == 1
            played.server.close()
            await until(lambda: not channel.is_open)
            await turn()
            assert len(stage.openings) == 2
            stage.lane.release(channel)
            second = await stage.opened()
            assert await login is second.channel

        run(test, most=1)

    def test_hears_all_of_a_failure(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(5)]
            assert len(stage.openings) == 3
            stage.openings[0].fail()
            for task in tasks:
                with pytest.raises(OpenError, match="refused"):
                    await task
            # The next has another chance: one that is still on its way, or else a new one.
            login = await stage.login()
            assert len(stage.openings) == 3
            played = await stage.opened()
            assert await login is played.channel

        run(test, capacity=2, most=3)

    def test_after_a_failure_has_another_try(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            for number in range(3):
                login = await stage.login()
                assert len(stage.openings) == number + 1
                stage.openings[number].fail()
                with pytest.raises(OpenError, match="refused"):
                    await login
            await stage.one_idle()

        run(test, most=1)

    def test_waits_on_after_a_failure_while_others_have_connections(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            login = await stage.login()
            stage.openings[1].fail()
            await turn()
            assert not login.done()
            stage.lane.release(channel)
            assert await login is channel

        run(test)


class TestWhoGoesWhileWaiting:
    def test_is_passed_over(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            tasks = [await stage.login() for _ in range(3)]
            for task in (tasks[0], tasks[1]):
                task.cancel()
            await turn()
            stage.lane.release(channel)
            assert await tasks[2] is channel
            assert all(task.cancelled() for task in tasks[:2])

        run(test, most=1)

    def test_leaves_the_connection_that_he_was_just_given(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            login = await stage.login()
            stage.lane.release(channel)
            login.cancel()
            await turn()
            assert login.cancelled()
            assert await stage.lane.acquire() is channel

        run(test, most=1)

    def test_leaves_it_to_who_waits_behind_him(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            first, second = await stage.login(), await stage.login()
            stage.lane.release(channel)
            first.cancel()
            assert await second is channel

        run(test, most=1)

    def test_is_passed_over_in_the_same_moment(self, run: Run) -> None:
        """He has been told, but could not go yet, when a connection is given back."""

        async def test(stage: Stage) -> None:
            _, channel = await stage.one_in_use()
            first, second = await stage.login(), await stage.login()
            first.cancel()
            stage.lane.release(channel)
            assert await second is channel
            assert first.cancelled()
            stage.lane.release(channel)
            assert await stage.lane.acquire() is channel

        run(test, most=1)

    def test_is_passed_over_by_a_failure_in_the_same_moment(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            first, second = await stage.login(), await stage.login()
            stage.openings[0].fail()
            first.cancel()
            with pytest.raises(OpenError, match="refused"):
                await second
            with pytest.raises(asyncio.CancelledError):
                await first

        run(test, capacity=2)

    def test_after_a_failure_has_reached_him_goes(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            login = await stage.login()
            waiting = stage.lane._waiting  # noqa: SLF001  (the moment between the failure and who hears of it)
            stage.openings[0].fail()
            while waiting is stage.lane._waiting:  # noqa: SLF001, ASYNC110
                await asyncio.sleep(0)
            assert not login.done()
            login.cancel()
            with pytest.raises(asyncio.CancelledError):
                await login

        run(test)

    def test_does_not_stop_what_is_on_its_way(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            login = await stage.login()
            login.cancel()
            await turn()
            played = await stage.opened()
            assert await stage.lane.acquire() is played.channel
            assert len(stage.openings) == 1

        run(test)


class TestIdleness:
    def test_for_long_closes_a_connection(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane_module, "IDLE_LIMIT", 0.01)

        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(2)]
            idle, used = await stage.opened(0), await stage.opened(1)
            stage.lane.release(await tasks[0])
            await until(lambda: idle.is_left)
            assert not used.is_left
            assert used.channel.is_open
            # And nothing of it is left.
            login = await stage.login()
            assert len(stage.openings) == 3
            third = await stage.opened()
            assert await login is third.channel

        run(test)

    def test_ends_with_use(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane_module, "IDLE_LIMIT", 0.05)

        async def test(stage: Stage) -> None:
            await stage.one_idle()
            channel = await stage.lane.acquire()
            other, held = await stage.one_in_use()
            # What had been idle longer would have ended before this one.
            stage.lane.release(held)
            await until(lambda: other.is_left)
            assert channel.is_open

        run(test)

    def test_of_one_among_many_who_share_is_none(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane_module, "IDLE_LIMIT", 0.01)

        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(3)]
            shared, alone = await stage.opened(0), await stage.opened(1)
            for task in tasks[1:]:
                stage.lane.release(await task)
            await until(lambda: alone.is_left)
            assert shared.channel.is_open
            stage.lane.release(await tasks[0])
            await until(lambda: shared.is_left)

        run(test, capacity=2)

    def test_can_be_ended_for_all_that_nobody_uses(self, run: Run) -> None:
        async def test(stage: Stage) -> None:
            tasks = [await stage.login() for _ in range(3)]
            for number in range(3):
                await stage.opened(number)
            for task in tasks[1:]:
                stage.lane.release(await task)
            stage.lane.drop_idle()
            assert [each.is_left for each in stage.played] == [False, True, True]
            stage.lane.release(await tasks[0])
            assert await stage.lane.acquire() is stage.played[0].channel

        run(test)


def test_a_sign_of_life_is_that_of_an_open_connection(run: Run) -> None:
    async def test(stage: Stage) -> None:
        tasks = [await stage.login() for _ in range(2)]
        for number in range(2):
            await stage.opened(number)
        moment = stage.loop.time() + 0.002  # uvloop's clock has milliseconds
        await until(lambda: stage.loop.time() > moment)
        assert not stage.lane.heard_since(moment)
        # The notice that some servers send, which is for nobody.
        stage.played[1].server.send(bytes.fromhex("300f02010078 0a0a0100040004008a0131".replace(" ", "")))
        await until(lambda: stage.lane.heard_since(moment))
        stage.played[1].channel.close()
        assert not stage.lane.heard_since(moment)
        assert not stage.lane.heard_since(0)  # nor is that one was opened: a frozen server's system does that
        stage.lane.release(await tasks[0])

    run(test)

"""The pool with real channels, its workers played by the test, its master by a list."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from pysaslauthd.core import messages
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.messages import Login, Result, Status
from pysaslauthd.core.secret import Secret
from pysaslauthd.front import pool as pool_module
from pysaslauthd.front import processor, waiting_room
from pysaslauthd.front.fair_queue import QueueOptions
from pysaslauthd.front.pool import Pool, PoolOptions
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Ticket
from pysaslauthd.front.waiting_room import WaitingOptions, WaitingRoom
from support.asker import PlayedAsker
from support.clock import Clock

OPTIONS = PoolOptions(
    name="test",
    size=2,
    most=2,
    share=1000,
    growth_kib=1000,
    concurrency=1,
    login_timeout=30,
)
WAITING = WaitingOptions(
    QueueOptions(length=3, places=1000, failures_per_second=0, most_unknown=1000),
    timeout=10,
    known_names=1000,
)
STATUS = messages.encode_status(Status(messages.VERSION, 4, 1))


class Played:
    """A worker's end of a channel."""

    def __init__(self, stage: "Stage", number: int) -> None:
        self.number = number
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(10)
        stage.pool.adopt(number, theirs)
        stage.workers.append(self)

    def say(self, packet: bytes) -> None:
        self.channel.send(packet)

    def hear(self) -> Login:
        message = messages.decode_for_worker(self.channel.recv(messages.LARGEST_PACKET))
        assert isinstance(message, Login)
        return message

    def answer(self, answer: Answer = ACCEPTED) -> None:
        self.say(messages.encode_result(Result(self.hear().id, answer)))

    @property
    def is_dismissed(self) -> bool:
        return self.channel.recv(1) == b""


class Stage:
    """The loop, the pool and what it asked of the master."""

    def __init__(self, waiting: WaitingOptions = WAITING, **changes: Any) -> None:
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(self._on_exception)
        self.errors: list[object] = []
        self.asked: list[tuple[str, int]] = []
        self.ready = 0
        self.statistics = Statistics()
        self.workers: list[Played] = []
        self.asker = PlayedAsker()
        self.answers = self.asker.heard
        self.room = WaitingRoom(self.loop, waiting)
        master: Any = self
        options = OPTIONS._replace(**changes)
        self.pool = Pool(self.loop, 0, options, master, self.room, self.statistics, self._on_ready)
        self.room.open(self.pool)

    def want(self, pool: int) -> None:
        self.asked.append(("want", pool))

    def kill(self, number: int) -> None:
        self.asked.append(("kill", number))

    def turn(self) -> None:
        """Let the loop do what is due, several times over: one thing leads to another."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0.001))
        assert self.errors == []

    def until(self, count: int) -> list[Answer]:
        """The answers, when there are so many."""
        for _ in range(5000):
            if len(self.answers) >= count:
                break
            self.turn()
        return self.answers

    def worker(self, number: int) -> Played:
        """One that has introduced itself."""
        played = Played(self, number)
        played.say(STATUS)
        self.turn()
        return played

    def submit(self, login: bytes = b"alice") -> None:
        self.room.submit(self.ticket(Identity(login, b"", b"", None), Secret(b"pw")))

    def ticket(self, identity: Identity, password: Secret) -> Ticket:
        return Ticket(identity, password, identity.login, password.reveal(), [self.asker], self._on_end)

    def _on_end(self, ticket: Ticket, answer: Answer) -> None:
        for asker in ticket.askers:
            asker.hear(answer)

    def _on_ready(self) -> None:
        self.ready += 1

    def _on_exception(self, _: object, context: object) -> None:
        self.errors.append(context)


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    made: list[Stage] = []
    yield made
    for stage in made:
        for number in list(stage.pool._workers):  # noqa: SLF001  (the pool lives as long as its process: it has no end)
            stage.pool.gone(number)
        for worker in stage.workers:
            worker.channel.close()
        stage.loop.close()


@pytest.fixture
def stage(stages: list[Stage]) -> Stage:
    stages.append(Stage())
    return stages[-1]


def make(stages: list[Stage], waiting: WaitingOptions = WAITING, **changes: Any) -> Stage:
    stages.append(Stage(waiting, **changes))
    return stages[-1]


class TestAWorkerOfManyLogins:
    def test_gets_the_next_if_it_has_the_fewest(self, stages: list[Stage]) -> None:
        stage = make(stages, concurrency=10)
        one, other = stage.worker(1), stage.worker(2)
        for _ in range(6):
            stage.submit()
        assert [len(list_of(worker)) for worker in (one, other)] == [3, 3]

    def test_gets_no_more_than_it_can_hold(self, stages: list[Stage]) -> None:
        stage = make(stages, concurrency=2)
        worker = stage.worker(1)
        for _ in range(3):
            stage.submit()
        assert len(list_of(worker)) == 2

    def test_that_has_a_successor_goes_when_there_is_nothing_to_do(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "NOTICE", 5)
        monkeypatch.setattr(pool_module, "IDLE_LIMIT", 0.05)
        stage = make(stages, concurrency=10, size=1, share=10)
        old = stage.worker(1)
        for login in range(1, 7):
            stage.submit()
            old.answer()
            stage.until(login)
        stage.worker(2)
        for _ in range(1000):
            if len(stage.pool._workers) == 1:  # noqa: SLF001  (who is left is the point)
                break
            stage.turn()
        assert list(stage.pool._workers) == [2]  # noqa: SLF001

    def test_answers_them_in_any_order(self, stages: list[Stage]) -> None:
        stage = make(stages, concurrency=10)
        worker = stage.worker(1)
        for _ in range(3):
            stage.submit()
        answers = [rejected(Cause.WRONG_PASSWORD, str(number)) for number in range(3)]
        for login, answer in reversed(list(zip(list_of(worker), answers, strict=True))):
            worker.say(messages.encode_result(Result(login.id, answer)))
        assert stage.until(3) == answers[::-1]

    def test_that_says_nothing_is_asked_and_then_killed(self, stages: list[Stage]) -> None:
        stage = make(stages, concurrency=10)
        worker = stage.worker(1)
        stage.submit()
        worker.hear()
        now = stage.loop.time()
        stage.pool.look_for_stalled(now)
        assert list_of(worker) == []
        stage.pool.look_for_stalled(now + 2 * pool_module.STALL_LIMIT)
        assert worker.channel.recv(100) == messages.encode_probe()
        assert stage.answers == []
        stage.pool.look_for_stalled(now + 4 * pool_module.STALL_LIMIT)
        assert [(answer.verdict, answer.cause) for answer in stage.until(1)] == [
            (Verdict.UNAVAILABLE, Cause.CRASH)
        ]
        assert ("kill", 1) in stage.asked

    @pytest.mark.parametrize("is_heard_in_time", [True, False])
    def test_that_answers_when_it_is_asked_may_take_its_time(
        self, stages: list[Stage], *, is_heard_in_time: bool
    ) -> None:
        """Also if it answered while we slept, so that the next look comes before its answer is read."""
        stage = make(stages, concurrency=10)
        worker = stage.worker(1)
        stage.submit()
        login = worker.hear()
        worker.channel.setblocking(False)
        now = stage.loop.time()
        for number in range(1, 11):
            stage.pool.look_for_stalled(now + 2 * number * pool_module.STALL_LIMIT)
            with contextlib.suppress(BlockingIOError):
                assert worker.channel.recv(100) == messages.encode_probe()
                worker.say(STATUS)
            if is_heard_in_time:
                stage.turn()
        worker.say(messages.encode_result(Result(login.id, ACCEPTED)))
        assert stage.until(1) == [ACCEPTED]
        assert stage.asked.count(("kill", 1)) == 0


def list_of(worker: Played) -> list[Login]:
    """The logins that it was given so far."""
    worker.channel.setblocking(False)
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(worker.hear())
    return heard


class TestALogin:
    def test_goes_to_a_worker_and_its_answer_back(self, stage: Stage) -> None:
        worker = stage.worker(1)
        assert stage.ready == 1
        stage.submit(b"alice")
        login = worker.hear()
        assert (login.identity.login, login.password) == (b"alice", Secret(b"pw"))
        assert login.request_id == stage.asker.caller.request_id
        no = rejected(Cause.WRONG_PASSWORD, "Incorrect password")
        worker.say(messages.encode_result(Result(login.id, no)))
        assert stage.until(1) == [no]

    def test_waits_for_a_worker_in_turn(self, stage: Stage) -> None:
        for login in (b"a", b"b", b"c"):
            stage.submit(login)
        worker = stage.worker(1)
        for login in (b"a", b"b", b"c"):
            heard = worker.hear()
            assert heard.identity.login == login
            worker.say(messages.encode_result(Result(heard.id, ACCEPTED)))
            stage.turn()
        assert stage.answers == [ACCEPTED] * 3

    def test_has_an_id_of_its_own(self, stage: Stage) -> None:
        workers = [stage.worker(1), stage.worker(2)]
        seen = []
        for _ in range(10):
            stage.submit()
            stage.submit()
            for worker in workers:
                message = worker.hear()
                seen.append(message.id)
                worker.say(messages.encode_result(Result(message.id, ACCEPTED)))
            stage.turn()
        assert len(set(seen)) == 20

    def test_beyond_the_queue_is_shed(self, stage: Stage) -> None:
        for _ in range(4):
            stage.submit()
        assert [(answer.verdict, answer.cause) for answer in stage.answers] == [
            (Verdict.UNAVAILABLE, Cause.SHED)
        ]

    def test_that_waits_too_long_is_shed(self, stages: list[Stage]) -> None:
        stage = make(stages, WAITING._replace(timeout=0.05))
        stage.submit()
        (answer,) = stage.until(1)
        assert (answer.verdict, answer.cause) == (Verdict.UNAVAILABLE, Cause.SHED)
        assert len(stage.room) == 0

    def test_that_takes_too_long_ends_with_its_worker(self, stages: list[Stage]) -> None:
        stage = make(stages, login_timeout=0.05)
        worker = stage.worker(3)
        stage.submit()
        (answer,) = stage.until(1)
        assert (answer.verdict, answer.cause) == (Verdict.UNAVAILABLE, Cause.DEADLINE)
        assert ("kill", 3) in stage.asked
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            worker.answer()

    def test_whose_answer_came_while_we_slept_has_it(self, stages: list[Stage]) -> None:
        stage = make(stages, login_timeout=0.02)
        worker = stage.worker(1)
        stage.submit()
        worker.answer()
        time.sleep(0.03)  # which is what sleeping is: the loop finds the deadline past and the answer there
        assert stage.until(1) == [ACCEPTED]
        assert ("kill", 1) not in stage.asked

    def test_whose_worker_died_while_we_slept_ends_once(self, stages: list[Stage]) -> None:
        stage = make(stages, login_timeout=0.02)
        worker = stage.worker(1)
        stage.submit()
        worker.hear()
        worker.channel.close()
        time.sleep(0.03)
        stage.turn()
        assert [answer.cause for answer in stage.until(1)] == [Cause.CRASH]

    def test_that_a_dead_worker_did_not_take_is_given_to_another(self, stage: Stage) -> None:
        living, dead = stage.worker(1), stage.worker(2)
        dead.channel.close()
        stage.submit()
        living.answer()
        assert stage.until(1) == [ACCEPTED]

    def test_that_no_worker_takes_waits_no_longer_than_others(self, stages: list[Stage]) -> None:
        stage = make(stages, WAITING._replace(timeout=0.05))
        stage.worker(1).channel.close()
        stage.submit()
        (answer,) = stage.until(1)
        assert answer.cause is Cause.SHED

    def test_survives_five_hundred_dead_workers(self, stages: list[Stage]) -> None:
        stage = make(stages, size=500)
        living = stage.worker(1)
        for number in range(2, 502):
            Played(stage, number).say(STATUS)
        stage.turn()
        for worker in stage.workers[1:]:
            worker.channel.close()
        stage.submit()
        living.answer()
        assert stage.until(1) == [ACCEPTED]

    def test_too_large_for_the_channel_is_unavailable_and_costs_no_worker(self, stage: Stage) -> None:
        worker = stage.worker(1)
        field = b"x" * 65535
        for _ in range(2):
            stage.room.submit(stage.ticket(Identity(field, field, field, field), Secret(field)))
        assert [answer.verdict for answer in stage.until(2)] == [Verdict.UNAVAILABLE] * 2
        stage.submit()
        worker.answer()
        assert stage.until(3)[2] == ACCEPTED
        assert "kill" not in dict(stage.asked)


class TestAWorker:
    def test_is_wanted_for_each_place(self, stage: Stage) -> None:
        assert stage.asked == [("want", 0)] * 2

    def test_that_does_not_come_up_is_killed_and_replaced(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "START_LIMIT", 0.05)
        stage = make(stages, size=1)
        worker = Played(stage, 1)
        for _ in range(1000):
            if ("kill", 1) in stage.asked:
                break
            stage.turn()
        assert stage.asked == [("want", 0), ("kill", 1), ("want", 0)]
        assert worker.is_dismissed

    def test_that_comes_up_while_we_sleep_is_welcome(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "START_LIMIT", 0.02)
        stage = make(stages, size=1)
        Played(stage, 1).say(STATUS)
        time.sleep(0.03)  # which is what sleeping is: the loop finds the time over and the word there
        stage.turn()
        assert stage.pool.census()["idle"] == 1
        assert ("kill", 1) not in stage.asked

    def test_that_dies_makes_what_it_held_unavailable_and_is_replaced(self, stage: Stage) -> None:
        worker = stage.worker(1)
        stage.submit()
        worker.channel.close()
        (answer,) = stage.until(1)
        assert (answer.verdict, answer.cause) == (Verdict.UNAVAILABLE, Cause.CRASH)
        assert stage.asked == [("want", 0)] * 3
        assert stage.statistics.workers_lost == 1

    def test_that_is_gone_has_its_last_words_heard(self, stage: Stage) -> None:
        worker = stage.worker(1)
        stage.submit()
        worker.answer()
        # The channel stays open, as if a process it left behind held it.
        stage.pool.gone(1)
        assert stage.answers == [ACCEPTED]
        assert stage.statistics.workers_lost == 1

    def test_that_did_its_share_is_dismissed_when_it_holds_nothing(self, stages: list[Stage]) -> None:
        stage = make(stages, share=2, concurrency=2)
        worker = stage.worker(1)
        stage.submit()
        stage.submit()
        assert stage.asked == [("want", 0)] * 3
        worker.answer()
        stage.until(1)
        worker.answer()
        assert stage.until(2) == [ACCEPTED] * 2
        assert worker.is_dismissed
        stage.pool.gone(1)
        assert stage.asked == [("want", 0)] * 3
        assert stage.statistics.workers_lost == 0

    def test_that_was_dismissed_and_stays_is_killed(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "LEAVE_LIMIT", 0.05)
        stage = make(stages, share=1)
        worker = stage.worker(7)
        stage.submit()
        worker.answer()
        for _ in range(1000):
            if ("kill", 7) in stage.asked:
                break
            stage.turn()
        assert ("kill", 7) in stage.asked

    def test_may_hold_as_many_as_its_mechanism_says(self, stages: list[Stage]) -> None:
        stage = make(stages, concurrency=3)
        worker = stage.worker(1)
        for _ in range(4):
            stage.submit()
        held = [worker.hear() for _ in range(3)]
        assert len(stage.room) == 1
        for message in reversed(held):
            worker.say(messages.encode_result(Result(message.id, ACCEPTED)))
        stage.until(3)
        worker.answer()
        assert stage.until(4) == [ACCEPTED] * 4

    def test_that_has_grown_too_large_is_replaced(self, stage: Stage) -> None:
        worker = stage.worker(1)
        for memory, is_over in ((1001, False), (1002, True)):
            stage.submit()
            worker.say(messages.encode_result(Result(worker.hear().id, ACCEPTED, memory)))
            stage.turn()
            assert (stage.asked == [("want", 0)] * 3) is is_over
        assert stage.answers == [ACCEPTED] * 2
        assert worker.is_dismissed

    def test_that_says_it_is_spent_gets_no_other_login(self, stage: Stage) -> None:
        spent = stage.worker(1)
        stage.submit()
        stage.submit()
        spent.say(messages.encode_result(Result(spent.hear().id, ACCEPTED, 0, is_spent=True)))
        assert stage.until(1) == [ACCEPTED]
        assert spent.is_dismissed
        stage.worker(2).answer()
        assert stage.until(2) == [ACCEPTED] * 2

    def test_has_its_successor_started_in_time_and_ends_its_share_all_the_same(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "NOTICE", 2)
        stage = make(stages, size=1, share=4)
        first = stage.worker(1)
        for login in range(1, 5):
            stage.submit()
            assert len(stage.asked) == (1 if login < 2 else 2)
            first.answer()
            stage.until(login)
            if login == 2:
                stage.worker(2)
        assert first.is_dismissed
        assert stage.asked == [("want", 0)] * 2

    def test_that_has_a_successor_and_no_work_goes(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_module, "NOTICE", 2)
        monkeypatch.setattr(pool_module, "IDLE_LIMIT", 0.05)
        stage = make(stages, size=1, share=4)
        first = stage.worker(1)
        for login in (1, 2):
            stage.submit()
            first.answer()
            stage.until(login)
        stage.worker(2)
        for _ in range(1000):
            if len(stage.pool._workers) == 1:  # noqa: SLF001
                break
            stage.turn()
        assert list(stage.pool._workers) == [2]  # noqa: SLF001


class TestAnElasticPool:
    @pytest.fixture
    def stage(self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch) -> Stage:
        monkeypatch.setattr(waiting_room, "TICK", 0.01)
        monkeypatch.setattr(pool_module, "IDLE_LIMIT", 0.05)
        return make(stages, WAITING._replace(queue=WAITING.queue._replace(length=100)), size=1, most=4)

    def wants(self, stage: Stage, count: int) -> bool:
        for _ in range(1000):
            if stage.asked.count(("want", 0)) >= count:
                break
            stage.turn()
        return stage.asked == [("want", 0)] * count

    def test_has_more_workers_started_for_logins_that_wait(self, stage: Stage) -> None:
        stage.worker(1)
        for _ in range(3):
            stage.submit()
        assert self.wants(stage, 3)

    def test_has_no_more_than_its_limit(self, stage: Stage) -> None:
        stage.worker(1)
        for _ in range(50):
            stage.submit()
        assert self.wants(stage, 4)
        for number in (2, 3, 4):
            stage.worker(number)
        for _ in range(20):
            stage.turn()
        assert self.wants(stage, 4)

    def test_lets_those_beyond_its_size_go_when_they_are_idle(self, stage: Stage) -> None:
        workers = [stage.worker(1)]
        for _ in range(2):
            stage.submit()
        assert self.wants(stage, 2)
        workers.append(stage.worker(2))
        for worker in workers:
            worker.answer()
        assert stage.until(2) == [ACCEPTED] * 2
        for _ in range(1000):
            if len(stage.pool._workers) == 1:  # noqa: SLF001  (who is left is the point)
                break
            stage.turn()
        assert len(stage.pool._workers) == 1  # noqa: SLF001
        assert stage.asked == [("want", 0)] * 2
        stage.submit()
        left = next(w for w in workers if w.number in stage.pool._workers)  # noqa: SLF001
        left.answer()
        assert stage.until(3) == [ACCEPTED] * 3

    def test_that_is_not_elastic_stays_as_it_is(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting_room, "TICK", 0.01)
        stage = make(stages, size=1, most=1)
        stage.worker(1)
        for _ in range(3):
            stage.submit()
        for _ in range(20):
            stage.turn()
        assert stage.asked == [("want", 0)]

    def test_has_none_started_where_they_would_only_share_the_processor(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy = True
        monkeypatch.setattr(processor, "is_busy", lambda: busy)
        stage = make(stages, WAITING._replace(queue=WAITING.queue._replace(length=100)), size=1, most=4)
        clock = Clock()
        stage.room._loop = clock  # type: ignore[assignment]  # noqa: SLF001  (or a machine that stands still has time pass in which nothing goes on)
        worker = stage.worker(1)
        for _ in range(30):
            stage.submit()
        for _ in range(10):  # two ticks
            worker.answer()  # it goes on, if slowly
            stage.until(len(stage.answers) + 1)
            clock.turn(waiting_room.TICK / 5)
        assert stage.asked == [("want", 0)]
        busy = False
        clock.turn(waiting_room.TICK)
        assert self.wants(stage, 4)

    def test_has_some_started_all_the_same_where_nothing_goes_on(
        self, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processor, "is_busy", lambda: True)
        stage = make(stages, size=1, most=3)
        stage.worker(1)
        for _ in range(3):
            stage.submit()
        assert self.wants(stage, 3)


class TestAHostileWorker:
    @pytest.mark.parametrize(
        ("packet", "is_greeting"),
        [
            pytest.param(messages.encode_result(Result(4242, ACCEPTED)), False, id="a foreign answer"),
            pytest.param(
                messages.encode_result(Result(2, ACCEPTED)), False, id="an answer to the other's login"
            ),
            pytest.param(STATUS, False, id="a status nobody asked for"),
            pytest.param(b"X", False, id="no message"),
            pytest.param(messages.encode_probe(), False, id="a message of the front"),
            pytest.param(messages.encode_status(Status(77, 1, 1)), True, id="another version"),
            pytest.param(
                messages.encode_result(Result(1, ACCEPTED)), True, id="an answer before its greeting"
            ),
        ],
    )
    def test_is_killed_and_its_word_reaches_nobody(
        self,
        stage: Stage,
        packet: bytes,
        is_greeting: bool,  # noqa: FBT001  (a column of the table)
    ) -> None:
        honest = stage.worker(1)
        stage.submit()  # the honest one has login 1
        if is_greeting:
            hostile = Played(stage, 2)
        else:
            hostile = stage.worker(2)
            stage.submit()
            login = hostile.hear()
            assert login.id == 2
            if packet == messages.encode_result(Result(2, ACCEPTED)):
                packet = messages.encode_result(Result(1, ACCEPTED))
        hostile.say(packet)
        stage.turn()
        assert ("kill", 2) in stage.asked
        assert ACCEPTED not in stage.answers
        honest.answer()
        stage.until(1 if is_greeting else 2)
        assert stage.answers.count(ACCEPTED) == 1

"""Who is next, and who is not."""

import random
from collections import Counter

import pytest

from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.fair_queue import (
    MOST_BEHIND,
    NAME_IS_FULL,
    QUEUE_IS_FULL,
    TRUSTED_LATELY,
    FairQueue,
    QueueOptions,
)
from pysaslauthd.front.known_names import KnownNames, Standing
from pysaslauthd.front.ticket import Ticket

REFUSED = rejected(Cause.WRONG_PASSWORD, "Incorrect password")
LOST = unavailable(Cause.CRASH, "worker died")
LONG_AGO = -100.0


class Hall:
    """A queue and five workers, who do nothing until they are told."""

    def __init__(
        self, *, length: int = 1000, places: int = 5, failures: int = 0, workers: int = 5, unknown: int = 1000
    ) -> None:
        self.names = KnownNames(100)
        self.queue = FairQueue(QueueOptions(length, places, failures, unknown), self.names)
        self.workers = workers
        self.busy: list[Ticket] = []
        self.now = 0.0

    def ticket(self, name: bytes, password: bytes = b"guess") -> Ticket:
        def on_end(*_: object) -> None: ...

        return Ticket(Identity(name, b"", b"", None), Secret(password), name, password, [], on_end)

    def come(self, name: bytes, password: bytes = b"guess", times: int = 1) -> list[str]:
        return [self.queue.add(self.ticket(name, password), self.now) for _ in range(times)]

    def work(self) -> list[bytes]:
        """The workers take what they may; whom they took."""
        taken = []
        while len(self.busy) < self.workers:
            ticket = self.queue.choose(self.workers, self.now)
            if ticket is None:
                break
            self.queue.take(ticket, self.now)
            self.busy.append(ticket)
            taken.append(ticket.identity.login)
        return taken

    def finish(self, name: bytes, answer: Answer = REFUSED) -> Ticket:
        """One that works for this name is done; its place is still held."""
        ticket = next(ticket for ticket in self.busy if ticket.name == name)
        self.busy.remove(ticket)
        self.queue.finished(ticket, answer, self.now)
        return ticket

    def end(self, name: bytes, answer: Answer = REFUSED) -> None:
        self.queue.release(self.finish(name, answer), self.now)

    def know(self, *names: bytes) -> None:
        """They logged in long ago, with the password "right"."""
        for name in names:
            self.names.accepted(name, b"right")


class TestANameThatIsGuessed:
    def test_has_no_more_than_its_places_and_the_others_do_not_wait_for_it(self) -> None:
        hall = Hall(workers=10)
        hall.come(b"victim", times=20)
        hall.come(b"other")
        assert hall.work() == [b"victim"] * 5 + [b"other"]

    def test_has_its_next_when_the_delay_of_one_is_over_and_not_before(self) -> None:
        hall = Hall(workers=10)
        hall.come(b"victim", times=7)
        hall.work()
        refused = hall.finish(b"victim")
        assert hall.work() == []
        hall.queue.release(refused, hall.now)
        assert hall.work() == [b"victim"]

    def test_has_so_many_wait_behind_and_no_more(self) -> None:
        hall = Hall()
        assert (
            hall.come(b"victim", times=5 + MOST_BEHIND + 3) == [""] * (5 + MOST_BEHIND) + [NAME_IS_FULL] * 3
        )
        assert len(hall.queue) == 5 + MOST_BEHIND
        assert hall.queue.ready == 5

    def test_is_free_again_when_all_is_over(self) -> None:
        hall = Hall()
        hall.come(b"victim", times=25)
        for _ in range(25):
            hall.work()
            hall.end(b"victim", LOST)
        assert len(hall.queue) == 0
        assert hall.come(b"victim", times=26) == [""] * 25 + [NAME_IS_FULL]

    def test_lets_its_owner_in_at_once(self) -> None:
        hall = Hall()
        hall.know(b"victim")
        hall.come(b"victim", b"first guess")
        hall.work()
        hall.end(b"victim")
        hall.come(b"victim", times=25)
        assert hall.come(b"victim", b"right") == [""]
        hall.work()
        assert Secret(b"right") in [ticket.password for ticket in hall.busy]

    def test_keeps_half_of_the_workers_from_its_guessers_while_its_owner_comes(self) -> None:
        hall = Hall()
        hall.know(b"victim")
        hall.come(b"victim")
        hall.work()
        hall.end(b"victim")
        hall.come(b"victim", b"right")
        hall.work()
        hall.end(b"victim", ACCEPTED)
        hall.come(b"victim", times=25)
        assert len(hall.work()) == 2

    def test_does_not_go_first_with_a_password_that_is_right_no_more(self) -> None:
        hall = Hall(workers=100)
        hall.know(b"owner")
        hall.come(b"owner", b"right")
        hall.work()
        hall.end(b"owner", REFUSED)
        hall.come(b"owner", b"right", times=20)
        assert len(hall.work()) == 5

    def test_needs_no_place_for_its_owner(self) -> None:
        hall = Hall(workers=100)
        hall.know(b"owner")
        assert hall.come(b"owner", b"right", times=50) == [""] * 50
        assert len(hall.work()) == 50
        for _ in range(50):
            hall.end(b"owner", ACCEPTED)
        assert len(hall.queue) == 0

    def test_has_those_vouched_for_by_the_first_success_go_on(self) -> None:
        hall = Hall(workers=100)
        hall.come(b"new", b"right", times=15)
        hall.come(b"new", b"wrong", times=5)
        assert len(hall.work()) == 5
        hall.end(b"new", ACCEPTED)
        assert len(hall.work()) == 10 + 1, (
            "ten that wait with the same password, and one that the place went to"
        )

    def test_is_no_other_name(self) -> None:
        hall = Hall(places=1, workers=10)
        hall.come(b"a")
        hall.come(b"b")
        assert hall.work() == [b"a", b"b"]


class TestManyNamesThatAreGuessed:
    def crowd(self, hall: Hall, number: int = 200) -> None:
        for each in range(number):
            hall.come(b"nobody-%d" % each)

    def test_leave_half_of_the_workers_to_known_names(self) -> None:
        hall = Hall()
        hall.know(b"u1", b"u2", b"u3", b"u4")
        self.crowd(hall)
        for name in (b"u1", b"u2", b"u3", b"u4"):
            hall.come(name, b"right")
        assert sum(name.startswith(b"u") for name in hall.work()) == 3

    def test_get_the_other_half_in_turn(self) -> None:
        hall = Hall()
        hall.know(b"u1", b"u2", b"u3", b"u4", b"u5")
        hall.come(b"u1", b"right")
        self.crowd(hall)
        for name in (b"u2", b"u3", b"u4", b"u5"):
            hall.come(name, b"right")
        assert hall.work() == [b"u1", b"u2", b"u3", b"nobody-0", b"nobody-1"]

    def test_have_no_more_than_that_as_long_as_known_names_come(self) -> None:
        hall = Hall()
        hall.know(b"u")
        hall.come(b"u", b"right")
        hall.work()
        hall.end(b"u", ACCEPTED)
        self.crowd(hall)
        hall.now = TRUSTED_LATELY * 0.9
        assert len(hall.work()) == 2
        assert hall.work() == []
        hall.now = TRUSTED_LATELY
        assert len(hall.work()) == 3

    def test_have_even_less_where_the_processors_are_fewer_than_the_workers(self) -> None:
        hall = Hall(unknown=1)
        hall.know(b"u")
        hall.come(b"u", b"right")
        self.crowd(hall)
        assert hall.work() == [b"u", b"nobody-0"]
        hall.end(b"u", ACCEPTED)
        hall.now = TRUSTED_LATELY
        assert len(hall.work()) == 4

    def test_have_all_workers_when_nobody_else_comes(self) -> None:
        hall = Hall()
        self.crowd(hall)
        assert len(hall.work()) == 5

    @pytest.mark.parametrize("workers", [1, 2, 3, 5])
    def test_and_known_names_both_get_on(self, workers: int) -> None:
        hall = Hall(workers=workers)
        hall.know(*(b"u%d" % each for each in range(1000)))
        served: Counter[bytes] = Counter()
        for each in range(1000):
            hall.come(b"u%d" % each, b"right")
            hall.come(b"nobody-%d" % each)
            hall.work()
            login = hall.busy[0].identity.login
            served[login[:1]] += 1
            hall.end(login, ACCEPTED if login.startswith(b"u") else REFUSED)
        assert min(served[b"u"], served[b"n"]) >= 300

    def test_wait_where_failures_have_a_rate(self) -> None:
        hall = Hall(failures=3, workers=100)
        hall.know(b"u")
        self.crowd(hall)
        hall.come(b"u", b"right")
        hall.come(b"u", b"right")
        assert hall.work() == [b"u", b"u", *(b"nobody-%d" % each for each in range(3))]
        hall.now = 1.0
        assert len(hall.work()) == 3

    def test_cost_nothing_of_that_rate_when_they_are_right(self) -> None:
        hall = Hall(failures=1, workers=100)
        self.crowd(hall, 10)
        for each in range(10):
            assert hall.work() == [b"nobody-%d" % each]
            hall.end(b"nobody-%d" % each, ACCEPTED)


class TestTheQueue:
    def test_has_an_end(self) -> None:
        hall = Hall(length=3)
        assert hall.come(b"a", times=2) + hall.come(b"b", times=2) == ["", "", "", QUEUE_IS_FULL]

    def test_has_room_for_those_whom_something_speaks_for_when_it_is_full_of_strangers(self) -> None:
        hall = Hall(length=10)
        hall.know(b"u", b"v")
        for each in range(20):
            hall.come(b"nobody-%d" % each)
        assert len(hall.queue) == 10
        assert hall.come(b"u", b"right", times=6) == [""] * 6
        assert hall.come(b"v", b"another") == [""]
        assert hall.come(b"u", b"right", times=5) == ["", "", "", QUEUE_IS_FULL, QUEUE_IS_FULL]
        assert len(hall.queue) == 20

    def test_counts_those_behind_too(self) -> None:
        hall = Hall(length=10)
        hall.come(b"victim", times=10)
        assert hall.come(b"other") == [QUEUE_IS_FULL]

    def test_lets_go_who_waits_no_longer(self) -> None:
        hall = Hall(places=2)
        tickets = [hall.ticket(b"a") for _ in range(4)]
        for ticket in tickets:
            hall.queue.add(ticket, 0)
        hall.queue.withdraw(tickets[2], 0)  # one behind
        hall.queue.withdraw(tickets[0], 0)  # one with a place, which the last one gets
        assert list(hall.queue.waiting()) == [tickets[1], tickets[3]]
        assert hall.queue.ready == 2
        assert len(hall.work()) == 2

    def test_forgets_every_name_in_the_end(self) -> None:
        """Whatever comes in whatever order, nothing is left and nothing is counted twice."""
        game = Game(random.Random(7))
        for step in range(20_000):
            game.hall.now = step / 1000
            game.move()
            assert max(game.places_held().values(), default=0) <= 2
        game.finish()
        assert len(game.hall.queue) == 0
        assert game.hall.queue._lines == {}  # noqa: SLF001  (what would grow for ever)


class Game:
    """All that can happen, by chance."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.hall = Hall(length=50, places=2)
        self.hall.know(b"u0", b"u1")
        self.delayed: list[Ticket] = []

    def move(self) -> None:
        moves = (self.come, self.come, self.hall.work, self.be_done, self.withdraw, self.release)
        self.dice.choice(moves)()

    def come(self) -> None:
        self.hall.come(b"u%d" % self.dice.randrange(6), self.dice.choice([b"right", b"a", b"b"]))

    def be_done(self) -> None:
        if self.hall.busy:
            answer = self.dice.choice([ACCEPTED, REFUSED, LOST])
            self.delayed.append(self.hall.finish(self.dice.choice(self.hall.busy).identity.login, answer))

    def withdraw(self) -> None:
        waiting = list(self.hall.queue.waiting())
        if waiting and self.dice.random() < 0.2:
            self.hall.queue.withdraw(self.dice.choice(waiting), self.hall.now)

    def release(self) -> None:
        if self.delayed:
            self.hall.queue.release(self.delayed.pop(0), self.hall.now)

    def places_held(self) -> Counter[bytes]:
        tickets = [*self.hall.queue.waiting(), *self.hall.busy, *self.delayed]
        return Counter(ticket.identity.login for ticket in tickets if ticket.has_place)

    def finish(self) -> None:
        while len(self.hall.queue) or self.hall.busy or self.delayed:
            self.hall.work()
            self.be_done()
            self.release()


def test_what_is_only_explained_speaks_for_nobody_and_against_nobody() -> None:
    hall = Hall()
    for password, answer in ((b"right", ACCEPTED), (b"guess", REFUSED)):
        hall.names.accepted(b"alice", b"old")
        ticket = hall.ticket(b"alice", password)
        ticket.is_to_explain = True
        assert hall.queue.add(ticket, hall.now) == ""
        assert hall.queue.choose(hall.workers, hall.now) is ticket
        hall.queue.take(ticket, hall.now)
        hall.queue.finished(ticket, answer, hall.now)
        hall.queue.release(ticket, hall.now)
        assert hall.names.standing(b"alice", b"old", hall.now) is Standing.VOUCHED
        assert hall.names.standing(b"alice", password, hall.now) is Standing.KNOWN

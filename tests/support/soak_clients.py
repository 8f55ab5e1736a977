"""The clients of the soak test: those that mail servers are, and those that nobody wants."""

import itertools
import random
import socket
import time
from collections.abc import Callable, Sequence

from support.mux import field
from support.soak_exchange import Ask, Attempt, Question, as_they_end, connect, end, hear_all, send, send_all
from support.soak_judge import Judge, Trouble
from support.soak_subjects import (
    CONNECTIONS,
    GUESSED,
    HANGS,
    LIMITS,
    SHARED_REALM,
    USERS,
    Subject,
    password_of,
)

SURPLUS = 30
"""Clients beyond the limit of connections that a flood brings."""

GUESSES = 30
"""At a time, of one name: more than have places and may wait behind."""

_serials = itertools.count(1)
"""Makes each realm another, so that the log says of each login what became of it."""


class Clients:
    """All clients of one daemon, one at a time. Each thread has its own, with its own ``chance``."""

    def __init__(self, subject: Subject, judge: Judge, chance: random.Random) -> None:
        self._subject = subject
        self._judge = judge
        self._chance = chance
        self._quick: dict[Callable[[], None], int] = {
            self._plain: 60,
            self._with_address: 15,
            self._in_pieces: 10,
            self._that_leaves: 5,
            self._garbage: 5,
            self._owner: 5,
        }
        self._slow: dict[Callable[[], None], int] = {
            self._bytewise: 40,
            self._half: 15,
            self._silent: 10,
            self._deaf: 15,
            self._with_much_behind: 10,
            self._that_hangs: 10,
        }

    def quick(self) -> None:
        """One that is done at once, if all is well."""
        self._one_of(self._quick)

    def slow(self) -> None:
        """One that takes its time."""
        self._one_of(self._slow)

    def guess(self) -> None:
        """Many at once who try one name."""
        questions = [self._wrong("guesser", GUESSED) for _ in range(self._chance.randint(2, GUESSES))]
        self._at_once(questions, [])

    def flood(self) -> None:
        """More clients than may be connected: some ask, at once or late, and some never do."""
        with self._judge.during(self._subject.name, Trouble.FLOOD):
            asking = [self._question("flood") for _ in range(CONNECTIONS // 2 + SURPLUS)]
            self._at_once(asking, [b"", b"\0", b"\0\5user"] * (CONNECTIONS // 6))

    def calm(self, count: int) -> None:
        """One after the other, each with a right and a wrong password."""
        for user in itertools.islice(itertools.cycle(USERS), count):
            service = self._subject.services[0]
            for expected, password in (("OK", password_of(user)), ("NO", b"~" + password_of(user))):
                self._ask(Question("calm", expected, user, password, service, self._new_realm()))

    def _one_of(self, clients: dict[Callable[[], None], int]) -> None:
        self._chance.choices(list(clients), list(clients.values()))[0]()

    # Questions.

    def _question(self, kind: str) -> Question:
        """Mostly with the right password."""
        user = self._chance.choice(USERS)
        make = self._chance.choices((self._right, self._wrong, self._unknown), (70, 22, 8))[0]
        return make(kind, user)

    def _right(self, kind: str, user: str) -> Question:
        service = self._chance.choice(self._subject.services)
        return Question(kind, "OK", user, password_of(user), service, self._realm())

    def _wrong(self, kind: str, user: str) -> Question:
        other = self._chance.choice(USERS)
        right = password_of(user)
        wrong = self._chance.choice(
            (b"~" + right, right + b"x", right[:-1], right + b" ", password_of(other + "x"), right.swapcase())
        )
        service = self._chance.choice(self._subject.services)
        return Question(kind, "NO", user, wrong, service, self._realm())

    def _unknown(self, kind: str, user: str) -> Question:
        service = self._chance.choice(self._subject.services)
        return Question(kind, "NO", f"no-{user}", password_of(user), service, self._realm())

    def _realm(self) -> str:
        """One that others have, too, for those who may be remembered; else a new one."""
        return SHARED_REALM if self._subject.has_cache and self._chance.random() < 0.7 else self._new_realm()

    def _new_realm(self) -> str:
        return f"t{next(_serials)}"

    # Clients whose request is complete.

    def _plain(self) -> None:
        self._ask(self._question("plain"))

    def _owner(self) -> None:
        """Of the name that is guessed."""
        self._ask(self._right("owner", GUESSED))

    def _with_address(self) -> None:
        question = self._question("address")
        # The same for some, so that they may be joined.
        port = self._chance.randint(1, 3)
        self._ask(question._replace(address=f"192.0.2.{port};{port}"))

    def _in_pieces(self) -> None:
        question = self._question("pieces")
        if self._chance.random() < 0.5:
            question = question._replace(address="192.0.2.9;9")
        # Not behind the fourth field, where a request of four ends.
        end = len(b"".join(map(field, question.fields[:4])))
        cuts = sorted(self._chance.sample(range(1, end), self._chance.randint(1, 4)))
        data = question.data
        pieces = [data[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(data)])]
        self._ask(question, lambda connection: send(connection, pieces, 0.001))

    def _bytewise(self) -> None:
        question = self._question("bytewise")
        pieces = [bytes((byte,)) for byte in question.data]
        self._ask(question, lambda connection: send(connection, pieces, 0.003))

    def _deaf(self) -> None:
        """Reads its answer long after it came."""
        self._ask(self._question("deaf"), wait=self._chance.uniform(0.5, 3.0))

    def _with_much_behind(self) -> None:
        """Goes on sending, and reads nothing meanwhile."""
        question = self._question("much behind")
        junk = b"\xff\xff" + bytes(self._chance.choices(range(256), k=1000)) * 40

        def go_on(connection: socket.socket) -> None:
            send_all(connection, question.data + junk)
            end(connection)

        attempt = Attempt(self._subject, question)
        attempt.ask(go_on)
        login = attempt.login()
        # What it sends is too much to be read, so the end may be a reset; its answer comes before that.
        self._judge.hear(login if login.error in {"late", "refused"} else login._replace(error=""))

    def _that_hangs(self) -> None:
        """Its service keeps a worker until the deadline; where there is none, it is one like any other."""
        if self._subject.name != "pam":
            self._plain()
            return
        user = self._chance.choice(USERS)
        with self._judge.during(self._subject.name, Trouble.HANGING):
            self._ask(Question("hangs", "-", user, password_of(user), HANGS, self._new_realm()))

    # Clients that are none.

    def _that_leaves(self) -> None:
        """Does not wait for the answer."""
        question = self._question("leaves")
        with connect(self._subject) as connection:
            send_all(connection, question.data)

    def _garbage(self) -> None:
        size = self._chance.randint(1, 300)
        first = self._chance.choice((b"\xff", b"GET / HTTP/1.0\r\n\r\n", b"", b"\0\0\0\0\0\0\0\0"))
        data = first + bytes(self._chance.choices(range(256), k=size))
        self._closed_without(b"\0\2OK", data)

    def _half(self) -> None:
        data = self._right("half", self._chance.choice(USERS)).data
        self._closed_without(b"\0", data[: self._chance.randrange(1, len(data) - 8)])

    def _silent(self) -> None:
        self._closed_without(b"\0", b"")

    def _closed_without(self, beginning: bytes, data: bytes) -> None:
        """It is closed in time, and hears nothing that begins so."""
        begin = time.monotonic()
        with connect(self._subject) as connection:
            send_all(connection, data)
            heard, error = hear_all(connection)
        if error == "late" or time.monotonic() - begin > LIMITS.bound or heard.startswith(beginning):
            took = time.monotonic() - begin
            self._judge.fail(f"{self._subject.name}: {data!r} heard {heard!r} {error} after {took:.1f} s")

    # How they ask.

    def _ask(self, question: Question, ask: Ask | None = None, wait: float = 0.0) -> None:
        """Ask, by default in one piece, and have the judge hear what came."""
        attempt = Attempt(self._subject, question)
        attempt.ask(ask or (lambda connection: connection.sendall(question.data)))
        time.sleep(wait)
        self._judge.hear(attempt.login())

    def _at_once(self, questions: Sequence[Question], scraps: Sequence[bytes]) -> None:
        """All connect before the first reads; ``scraps`` are sent by some who never ask."""
        idle = [connect(self._subject) for _ in scraps]
        for connection, scrap in zip(idle, scraps, strict=True):
            send_all(connection, scrap)
        attempts = [Attempt(self._subject, question) for question in questions]
        for attempt in attempts:
            data = attempt.question.data
            attempt.ask(lambda connection, data=data: connection.sendall(data))  # type: ignore[misc]
        for attempt in as_they_end(attempts):
            self._judge.hear(attempt.login())
        for connection in idle:
            connection.close()

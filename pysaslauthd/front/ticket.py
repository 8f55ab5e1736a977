"""A login between the gate and its answer."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pysaslauthd.core.answer import Answer
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.request_id import shown_id
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.known_names import Name, Standing


class Caller(NamedTuple):
    """Who asked, for the log."""

    request_id: int
    """See :mod:`~pysaslauthd.core.request_id`."""
    pid: int
    """Of the process that connected, and its user."""
    uid: int

    @property
    def mark(self) -> dict[str, object]:
        """What a line about his request has, for those who look for all of them."""
        return {"request": shown_id(self.request_id), "pid": self.pid, "uid": self.uid}


class Asker(Protocol):
    """Who asked: a connected client."""

    @property
    def caller(self) -> Caller:
        """What is known of it."""

    @property
    def asked_at(self) -> float:
        """When its request was there, in seconds of the monotonic clock."""

    def may_wait(self) -> bool:
        """Whether there is room for it to wait for an answer; called once, when there is none to be had at once."""

    def is_there(self) -> bool:
        """Whether it still waits for an answer. Costs a system call."""

    def hear(self, answer: Answer) -> None:
        """The answer to its login, once; what has to be held back it holds back itself."""


class Ticket:
    """One question to a mechanism. Several may have asked it.

    ``on_end`` gets the ticket and its answer, exactly once.
    """

    __slots__ = (
        "_on_end",
        "askers",
        "digest",
        "has_place",
        "has_waited",
        "identity",
        "is_to_explain",
        "mechanism",
        "name",
        "password",
        "serial",
        "standing",
        "submitted",
        "taken",
        "took",
    )

    def __init__(
        self,
        identity: Identity,
        password: Secret,
        name: Name,
        digest: bytes,
        askers: list[Asker],
        on_end: "Callable[[Ticket, Answer], None]",
    ) -> None:
        self.identity = identity
        self.password: Secret | None = password
        """None once a worker has it."""
        self.name = name
        self.digest = digest
        """What stands for the password after that."""
        self.askers = askers
        self.is_to_explain = False
        """Whether an administrator wants to see how it goes, so that nothing is to be remembered of it."""
        self.mechanism = ""
        """Who is asked, for the log."""
        self._on_end: Callable[[Ticket, Answer], None] | None = on_end
        self.has_waited = False
        self.submitted = 0.0
        """When it began to wait for a worker, by the monotonic clock, in seconds; the loop's knows whole milliseconds."""
        self.taken = 0.0
        """When a worker took it; 0 if none has."""
        self.took = 0.0
        """Seconds that the worker had it."""
        # The queue's notes.
        self.serial = 0
        self.standing = Standing.UNKNOWN
        self.has_place = False

    @property
    def request_id(self) -> int:
        """Of the first who asked it; 0 if nobody did."""
        return self.askers[0].caller.request_id if self.askers else 0

    @property
    def mark(self) -> dict[str, object]:
        """What a line about it has, see :class:`Caller`."""
        return {"request": shown_id(self.request_id)}

    @property
    def waited(self) -> float:
        """Seconds until a worker took it."""
        return self.taken - self.submitted if self.taken else 0.0

    def is_wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        return any(asker.is_there() for asker in self.askers)

    def end(self, answer: Answer) -> None:
        """Pass the answer on, if there has been none before."""
        on_end, self._on_end, self.password = self._on_end, None, None
        if on_end is not None:
            on_end(self, answer)

"""What came of a login, as log and statistics hear of it once it has its answer."""

import enum
from typing import NamedTuple

from pysaslauthd.core.answer import Answer
from pysaslauthd.core.identity import Identity
from pysaslauthd.front.ticket import Asker, Ticket


class Way(enum.StrEnum):
    """How its answer was found."""

    GATE = "gate"
    """Nobody was asked: the request itself will not do, or there was no room for it."""
    CACHE = "cache"
    STALE = "stale"
    """From an entry past its end, as the backend could not be asked."""
    MECHANISM = "mechanism"
    JOINED = "joined"
    """With another request, which was the same in all its fields and had been asked already."""


class Outcome(NamedTuple):
    """One login and its answer. Times are seconds. There is no password in it, nor what stands for one."""

    identity: Identity
    answer: Answer
    mechanism: str
    """Whose answer it is; where nobody was asked, all that would have been."""
    way: Way
    asker: Asker
    waited: float = 0.0
    """For a worker, of the mechanism whose answer it is."""
    took: float = 0.0
    """That mechanism, once it had it."""
    asked_by: int = 0
    """The request id of whoever asked first, whose answer it is too if this one joined; 0 if no mechanism was asked."""

    @classmethod
    def of(cls, ticket: Ticket, answer: Answer, way: Way, asker: Asker) -> "Outcome":
        """What came for ``asker`` of a question that he asked alone or with others."""
        return cls(
            ticket.identity,
            answer,
            ticket.mechanism,
            way,
            asker,
            ticket.waited,
            ticket.took,
            ticket.request_id,
        )

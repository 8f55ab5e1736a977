"""What the front counts.

All numbers begin at zero with the front. What strangers choose is bounded: a login's service is
counted by its name only as long as there are few of them.
"""

import dataclasses
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from pysaslauthd import logs
from pysaslauthd.core.answer import Cause, Verdict
from pysaslauthd.front.losses import Loss
from pysaslauthd.front.outcome import Outcome, Way

MOST_SERVICES = 32
"""Services that are counted by their name, whoever named them."""

MOST_ACCEPTED_SERVICES = 64
"""The same where a login of the service was right, so that nobody hides it behind names of his own making."""

LONGEST_SERVICE = 64
"""Characters of a service's name that count."""

OTHER = "other"
"""All further services."""

VERDICTS = {Verdict.ACCEPT: "accepted", Verdict.REJECT: "rejected", Verdict.UNAVAILABLE: "unavailable"}


class Tally:
    """A number that several hold, so that whoever counts need not look for it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Kind(NamedTuple):
    """What logins are told apart by."""

    mechanism: str
    service: str
    """As it may be shown."""
    verdict: str
    way: Way


@dataclasses.dataclass(slots=True)
class WorkerCounts:
    """The workers of one mechanism."""

    started: int = 0
    retired: int = 0
    lost: Counter[str] = dataclasses.field(default_factory=Counter)
    """By the cause."""

    def lose(self, loss: Loss) -> None:
        """One ended that had not been retired."""
        self.lost[loss.cause] += 1


def _counted(explanation: str) -> Any:
    """A number that has no labels."""
    return dataclasses.field(default=0, metadata={"help": explanation})


@dataclasses.dataclass(slots=True)
class Statistics:
    """Totals since this front started."""

    cache_misses: int = _counted("Logins that could have been in the cache and were not.")
    joined: int = _counted(
        "Logins that wait for the answer to another, equal in every field and asked already."
    )
    gone: int = _counted("Logins that nobody was asked for, as their client left while they waited.")
    malformed: int = _counted("Requests that were none: a field over its limit, an empty login, a NUL.")
    timed_out: int = _counted("Clients closed because their request did not come in time.")
    not_allowed: int = _counted(
        "Clients closed unread, as the list of who may ask by their socket has them not."
    )
    evicted: int = _counted(
        "Clients closed to make room: silent ones, or refused ones before they heard of it."
    )
    unheard: int = _counted("Answers whose client had gone.")
    compared_equal: int = _counted("Logins of which another saslauthd said the same as ours.")
    compared_different: int = _counted("Logins of which it said something else.")
    compared_unavailable: int = _counted("Logins of which it, or ours, could not say.")
    compared_dropped: int = _counted("Logins of which it was not asked, as it was too slow.")
    logins: dict[Kind, Tally] = dataclasses.field(default_factory=lambda: defaultdict(Tally))
    """Those that got an answer."""
    shed: Counter[str] = dataclasses.field(default_factory=Counter)
    """Logins and clients for whom there was no room, by the reason."""
    workers: dict[str, WorkerCounts] = dataclasses.field(default_factory=lambda: defaultdict(WorkerCounts))
    """By the mechanism."""
    _services: dict[bytes, str] = dataclasses.field(default_factory=dict)

    def note(self, outcome: Outcome) -> None:
        """Count a login that has its answer."""
        answer = outcome.answer
        if answer.cause is Cause.GONE:
            self.gone += 1
        else:
            self.tally(outcome.mechanism, outcome.identity.service, answer.verdict, outcome.way).count += 1

    def tally(self, mechanism: str, service: bytes, verdict: Verdict, way: Way) -> Tally:
        """Where logins of this kind are counted."""
        label = self._services.get(service)
        if label is None:
            label = self._named(service, is_right=verdict is Verdict.ACCEPT)
        return self.logins[Kind(mechanism, label, VERDICTS[verdict], way)]

    def total(self, *, verdict: Verdict | None = None, way: Way | None = None) -> int:
        """Logins of a verdict, of those found in a way, or all."""
        wanted = None if verdict is None else VERDICTS[verdict]
        return sum(
            tally.count
            for kind, tally in self.logins.items()
            if (wanted is None or kind.verdict == wanted) and (way is None or kind.way is way)
        )

    @property
    def workers_lost(self) -> int:
        """Of all mechanisms, for any cause."""
        return sum(counts.lost.total() for counts in self.workers.values())

    def summary(self) -> dict[str, int]:
        """The totals that the log tells. Who was turned away is unavailable too."""
        shed = self.shed.total()
        return {
            "accepted": self.total(verdict=Verdict.ACCEPT),
            "rejected": self.total(verdict=Verdict.REJECT),
            "unavailable": self.total(verdict=Verdict.UNAVAILABLE) + shed,
            "shed": shed,
            "cache_hits": self.total(way=Way.CACHE),
            "cache_stale": self.total(way=Way.STALE),
            "workers_lost": self.workers_lost,
            **{name: getattr(self, name) for name in PLAIN},
        }

    def _named(self, service: bytes, *, is_right: bool) -> str:
        if len(self._services) >= (MOST_ACCEPTED_SERVICES if is_right else MOST_SERVICES):
            return OTHER
        label = self._services[service] = logs.escaped(service, "")[:LONGEST_SERVICE]
        return label


PLAIN = {field.name: field.metadata["help"] for field in dataclasses.fields(Statistics) if field.metadata}
"""The numbers without labels, and what each is."""

"""The mechanisms in the order in which they are asked, and when the next one is.

Each has workers and a waiting room of its own, so one that hangs holds up nobody who needs another.
An account that is known and may not log in ends the matter: the next mechanism must not let in whom
this one has locked out.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.known_names import name_of
from pysaslauthd.front.ticket import Asker, Ticket
from pysaslauthd.front.waiting_room import WaitingRoom

REJECT, UNKNOWN, UNAVAILABLE = "reject", "unknown", "unavailable"
"""Why the next may be asked, as ``next_on`` names it."""

OnEnd = Callable[[Ticket, Answer], None]


class Link(NamedTuple):
    """A mechanism, and where those wait who are to ask it."""

    mechanism: Mechanism
    room: WaitingRoom


class Question(NamedTuple):
    """A request, all of it, with what stands for its password."""

    identity: Identity
    digest: bytes


class Chain:
    """Asks the mechanisms of ``links`` in turn. ``limit``: seconds after which no further one is asked."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, links: Sequence[Link], next_on: frozenset[str], limit: float
    ) -> None:
        self.loop = loop
        self.links = tuple(links)
        self.next_on = next_on
        self.limit = limit
        self.names = ",".join(link.mechanism.name for link in links)
        self.names_service_files = any(link.mechanism.names_service_files for link in links)

    def ask(self, question: Question, password: Secret, askers: list[Asker], on_end: OnEnd) -> None:
        """Have it checked; ``on_end`` gets the answer that counts, with the ticket of the mechanism that gave it.

        Who joins ``askers`` meanwhile is among them then.
        """
        if len(self.links) == 1:
            _submit(self.links[0], question, password, askers, on_end)
        else:
            _Course(self, question, password, askers, on_end).ask_next()


class Route(NamedTuple):
    """Requests that have a chain of their own: those of these services and these realms, in small letters; none for all."""

    services: frozenset[bytes]
    realms: frozenset[bytes]
    chain: Chain

    def fits(self, service: bytes, realm: bytes) -> bool:
        """Whether a request is one of them."""
        return (not self.services or service.lower() in self.services) and (
            not self.realms or realm.lower() in self.realms
        )


def lowered(names: Iterable[str]) -> frozenset[bytes]:
    """Names of a setting as :meth:`Route.fits` compares them."""
    return frozenset(os.fsencode(name.lower()) for name in names)


class Routes:
    """Which chain a request goes: that of the first route that fits, else the one of all others."""

    def __init__(self, routes: Sequence[Route], others: Chain) -> None:
        self._routes = tuple(routes)
        self._others = others

    def chain_for(self, service: bytes, realm: bytes) -> Chain:
        """The chain for a request of this service and this realm."""
        for route in self._routes:
            if route.fits(service, realm):
                return route.chain
        return self._others


class _Course:
    """One login on its way along the chain."""

    def __init__(
        self, chain: Chain, question: Question, password: Secret, askers: list[Asker], on_end: OnEnd
    ) -> None:
        self._chain = chain
        self._question = question
        self._password = password
        self._askers = askers
        self._on_end = on_end
        self._ends = chain.loop.time() + chain.limit
        self._heard: list[tuple[Ticket, Answer]] = []

    def ask_next(self) -> None:
        link = self._chain.links[len(self._heard)]
        _submit(link, self._question, self._password, self._askers, self._take)

    def _take(self, ticket: Ticket, answer: Answer) -> None:
        self._heard.append((ticket, answer))
        if (
            reason_to_go_on(answer) in self._chain.next_on
            and len(self._heard) < len(self._chain.links)
            and self._chain.loop.time() < self._ends
        ):
            self.ask_next()
        else:
            self._on_end(*final(self._heard))


def _submit(link: Link, question: Question, password: Secret, askers: list[Asker], on_end: OnEnd) -> None:
    link.room.submit(ticket_for(link, question, password, askers, on_end))


def ticket_for(
    link: Link, question: Question, password: Secret, askers: list[Asker], on_end: OnEnd
) -> Ticket:
    """The question as it waits for this mechanism."""
    name = name_of(question.identity, uses_realm=link.mechanism.uses_realm)
    ticket = Ticket(question.identity, password, name, question.digest, askers, on_end)
    ticket.mechanism = link.mechanism.name
    return ticket


def reason_to_go_on(answer: Answer) -> str:
    """For which of the reasons of ``next_on`` another mechanism may be asked; "" if for none at all."""
    match answer.verdict, answer.cause:
        case Verdict.REJECT, Cause.UNKNOWN_USER:
            return UNKNOWN
        case Verdict.REJECT, Cause.WRONG_PASSWORD:
            return REJECT
        case Verdict.UNAVAILABLE, Cause.BACKEND | Cause.DEADLINE | Cause.CRASH:
            return UNAVAILABLE
        case _:
            return ""


def final(heard: Sequence[tuple[Ticket, Answer]]) -> tuple[Ticket, Answer]:
    """What counts of several answers, of which only the last may have ended the matter.

    If one could not say, nobody knows, whatever the others said; of refusals the last by one who knows the user, held
    back for as long as the longest of them.
    """
    ticket, answer = heard[-1]
    if not reason_to_go_on(answer):
        return ticket, answer
    for each in heard:
        if each[1].verdict is Verdict.UNAVAILABLE:
            return each
    known = [each for each in heard if each[1].cause is not Cause.UNKNOWN_USER]
    ticket, answer = (known or heard)[-1]
    return ticket, answer._replace(delay_ms=max(each.delay_ms for _, each in heard))

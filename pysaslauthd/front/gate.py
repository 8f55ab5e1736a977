"""The path of one login, from the parsed request to its answer."""

import asyncio
import functools
import os
from collections.abc import Callable
from typing import NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected, unavailable
from pysaslauthd.core.identity import Identity, identify, is_service_name, realm_of
from pysaslauthd.core.wire import ProtocolError, Request
from pysaslauthd.front.cache import CredentialCache, Dispatch, cache_options, is_of, key_of
from pysaslauthd.front.chain import Chain, Question, Routes, lowered
from pysaslauthd.front.comparison import Comparison
from pysaslauthd.front.digests import Digests
from pysaslauthd.front.journal import Journal
from pysaslauthd.front.known_names import Standing
from pysaslauthd.front.outcome import Outcome, Way
from pysaslauthd.front.shedding import Shedding
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Asker, Caller, Ticket
from pysaslauthd.logs import is_debug, log

_NO_SERVICE_NAME = rejected(Cause.REQUEST, "service is no name of a file")
_NO_REALM = rejected(Cause.REQUEST, "realm is not accepted")
NO_SEAT = unavailable(Cause.SHED, "too many clients are connected")
_ACCEPTED_STALE = ACCEPTED._replace(details=("accepted from the cache: the backend cannot be asked",))


class _Pending(NamedTuple):
    """A question that was asked, and when."""

    askers: list[Asker]
    dispatch: Dispatch
    request: bytes | None
    """The digest of the whole of it, if it came in one piece."""
    mechanisms: str
    """Who would be asked again, once the answer is forgotten."""


class Course(NamedTuple):
    """How a request would go, if it came now."""

    question: Question
    realm: bytes
    """What it is about; see :func:`realm_of`."""
    chain: Chain
    refusal: Answer | None
    """Why nobody would be asked."""
    memory: str
    """What the cache has of it."""


class Gate:
    """Every login comes through here once, and leaves with exactly one answer and its log line."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        routes: Routes,
        options: Options,
        statistics: Statistics,
        comparison: Comparison | None = None,
    ) -> None:
        self._loop = loop
        self._routes = routes
        self._statistics = statistics
        self._comparison = comparison
        self._realm_policy = options.settings.realm_policy
        self._realms = lowered(options.settings.realms)
        self._logs_successes = options.settings.log_successes
        self._journal = Journal(successes=self._logs_successes)
        self._digests = Digests()
        self._cache = CredentialCache(cache_options(options)) if options.cache else None
        settings = options.settings
        self._uncached = lowered(settings.uncached_services)
        self._default_service = os.fsencode(settings.service)
        self._pending: dict[Question, _Pending] = {}
        self._shedding = Shedding(loop)

    def login(self, request: Request, asker: Asker, whole: bytes | None = None) -> None:
        """Find the answer to ``request``; ``asker`` hears it. ``whole``: the same as it came, if in one piece."""
        identity = identify(request, self._realm_policy)
        realm = realm_of(request)
        chain = self._routes.chain_for(identity.service, realm)
        is_uncached = self._is_uncached(identity.service, chain)
        comparison = None if is_uncached else self._comparison
        refusal = self._refusal(identity, realm, chain)
        if refusal is not None:
            self._tell(Outcome(identity, refusal, chain.names, Way.GATE, asker))
            if comparison is not None:
                comparison.compare(request, refusal, asker)
            return
        question = Question(identity, self._digests.of(request.password))
        cache = None if is_uncached else self._cache
        remembered = None if cache is None else self._remembered(cache, question)
        if remembered is not None:
            self._tell(Outcome(identity, remembered, chain.names, Way.CACHE, asker))
        elif not asker.may_wait():
            self.shed(NO_SEAT.reason)
            asker.hear(NO_SEAT)
        else:
            on_end = self._ended if comparison is None else comparison.after(request, self._ended)
            ask = functools.partial(chain.ask, question, request.password, on_end=on_end)
            if cache is None:
                ask([asker])
            else:
                self._join_or_ask(cache, chain, question, ask, asker, whole)

    def course(self, request: Request) -> Course:
        """How ``request`` would go. Nothing changes by it; without a password it is one of whatever password."""
        identity = identify(request, self._realm_policy)
        realm = realm_of(request)
        chain = self._routes.chain_for(identity.service, realm)
        question = Question(identity, self._digests.of(request.password))
        if self._cache is None:
            memory = "there is none"
        elif self._is_uncached(identity.service, chain):
            memory = "nothing of this service is cached"
        else:
            digest = question.digest if request.password else None
            known = self._cache.describe(key_of(identity), digest, self._loop.time())
            memory = f"{known}; an explanation does not use it"
        return Course(question, realm, chain, self._refusal(identity, realm, chain), memory)

    def remembers(self, whole: bytes) -> bool:
        """Whether a request is the same, byte for byte, as one that is known to be right.

        Then it is counted, and there is nothing more to do for it. This is the way of most logins
        where there is a cache, so nothing else happens on it; where each is to be in the log, none goes it.
        """
        if self._cache is None or is_debug():
            return False
        tally = self._cache.recalls(self._digests.of_bytes(whole), self._loop.time())
        if tally is None:
            return False
        tally.count += 1
        return True

    @property
    def cache_size(self) -> int | None:
        """How many entries the cache has; None if there is no cache."""
        return None if self._cache is None else len(self._cache)

    @property
    def cache_capacity(self) -> int:
        """How many it may have."""
        return 0 if self._cache is None else self._cache.capacity

    def forget(self, login: bytes | None = None) -> int:
        """What was right of this login, or of all, may not be so any more; the number of entries that are gone.

        What is on its way is not remembered when it comes. A login is named as it is sent or as it is cached, so
        ``igor@ex.org`` is that of realm ``ex.org`` as well, and ``igor`` is so in all realms.
        """
        if self._cache is None:
            return 0
        if login is None:
            return self._cache.flush()
        for question in [each for each in self._pending if is_of(key_of(each.identity), login)]:
            del self._pending[question]
        return self._cache.forget(login)

    def shed(self, reason: str) -> float:
        """Note that somebody is turned away, for whom there was no room; the seconds until he may hear of it."""
        self._statistics.shed[reason] += 1
        return self._shedding.add(reason)

    def _refusal(self, identity: Identity, realm: bytes, chain: Chain) -> Answer | None:
        """What is said without asking anybody, as the request itself will not do."""
        if self._realms and not self._is_accepted(realm):
            return _NO_REALM
        if chain.names_service_files and not is_service_name(identity.service):
            return _NO_SERVICE_NAME
        return None

    def _is_accepted(self, realm: bytes) -> bool:
        return not realm or realm.lower() in self._realms

    def _is_uncached(self, service: bytes, chain: Chain) -> bool:
        # As PAM sees it: by its default, and in small letters.
        if chain.names_service_files:
            service = service or self._default_service
        return service.lower() in self._uncached

    def _remembered(self, cache: CredentialCache, question: Question) -> Answer | None:
        key = key_of(question.identity)
        now = self._loop.time()
        remembered = (
            ACCEPTED if cache.has(key, question.digest, now) else cache.rejection(key, question.digest, now)
        )
        if remembered is None:
            self._statistics.cache_misses += 1
        return remembered

    def _join_or_ask(
        self,
        cache: CredentialCache,
        chain: Chain,
        question: Question,
        ask: Callable[[list[Asker]], None],
        asker: Asker,
        whole: bytes | None,
    ) -> None:
        pending = self._pending.get(question)
        if pending is not None and cache.is_current(pending.dispatch):
            # The same in every field, so it is the same client's, asking twice: one answer does for both.
            pending.askers.append(asker)
            self._statistics.joined += 1
            return
        askers = [asker]
        request = None if whole is None or self._logs_successes else self._digests.of_bytes(whole)
        self._pending[question] = _Pending(askers, cache.dispatch(self._loop.time()), request, chain.names)
        ask(askers)

    def _ended(self, ticket: Ticket, answer: Answer) -> None:
        """The mechanism has spoken, or will not."""
        learned = answer if self._cache is None else self._learn(self._cache, ticket, answer)
        way = Way.MECHANISM if learned is answer else Way.STALE
        for asker in ticket.askers:
            if learned.cause is Cause.SHED:
                hold = self.shed(learned.reason)
                is_stranger = ticket.standing is Standing.UNKNOWN
                asker.hear(learned._replace(delay_ms=int(hold * 1000) if is_stranger else 0))
            else:
                self._tell(Outcome.of(ticket, learned, way, asker))
                way = Way.JOINED if way is Way.MECHANISM else way

    def _learn(self, cache: CredentialCache, ticket: Ticket, answer: Answer) -> Answer:
        """Remember what may be; the answer that counts."""
        question = Question(ticket.identity, ticket.digest)
        pending = self._pending.get(question)
        if pending is None or pending.askers is not ticket.askers:
            return answer  # not cached; or all was forgotten since, and the same has been asked anew
        del self._pending[question]
        key = key_of(ticket.identity)
        cache.learn(key, ticket.digest, answer, pending.dispatch)
        if answer.verdict is Verdict.ACCEPT and pending.request is not None:
            tally = self._statistics.tally(
                pending.mechanisms, ticket.identity.service, Verdict.ACCEPT, Way.CACHE
            )
            cache.note(pending.request, key, ticket.digest, tally)
        if answer.cause is Cause.BACKEND and cache.has_stale(key, ticket.digest, self._loop.time()):
            return _ACCEPTED_STALE
        return answer

    def refuse(self, error: ProtocolError, caller: Caller) -> None:
        """Note a request that was none. There is no failure line: nobody tried to log in."""
        self._statistics.malformed += 1
        log.error(str(error), extra=caller.mark)

    def _tell(self, outcome: Outcome) -> None:
        self._statistics.note(outcome)
        self._journal.note(outcome)
        outcome.asker.hear(outcome.answer)

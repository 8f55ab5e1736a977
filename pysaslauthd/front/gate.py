"""The path of one login, from the parsed request to its answer, and what the log says of it."""

import asyncio
import os
from typing import NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected
from pysaslauthd.core.identity import Identity, identify, is_service_name
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import ProtocolError, Request
from pysaslauthd.front.cache import CredentialCache, cache_options, key_of
from pysaslauthd.front.pool import Deliver, Pool
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.logs import log

LONGEST_DELAY = 10.0
"""Seconds; no module can have an answer held back for longer."""

_NO_SERVICE_NAME = rejected(Cause.REQUEST, "service is no name of a file")
_ACCEPTED_STALE = ACCEPTED._replace(details=("accepted from the cache: the backend cannot be asked",))


class _Question(NamedTuple):
    """A request, all of it, with what stands for its password."""

    identity: Identity
    digest: bytes


class Gate:
    """Every login comes through here once, and leaves with exactly one answer and its log line."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pool: Pool, options: Options, statistics: Statistics
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._statistics = statistics
        self._append_realm = options.append_realm
        self._mechanism = options.mechanism.name
        self._names_service_files = options.mechanism.names_service_files
        self._verbose = options.verbose
        self.has_cache = options.cache
        self._cache = CredentialCache(cache_options(options)) if options.cache else None
        self._uncached = frozenset(map(os.fsencode, options.settings.uncached_services))
        self._asked: dict[_Question, list[Deliver]] = {}

    def login(self, request: Request, deliver: Deliver) -> None:
        """Find the answer to ``request``; ``deliver`` gets it when the client may have it."""
        identity = identify(request, append_realm=self._append_realm)
        if self._names_service_files and not is_service_name(identity.service):
            self._answered(identity, _NO_SERVICE_NAME, deliver)
        elif self._cache is None or identity.service in self._uncached:
            self._pool.submit(
                identity, request.password, lambda answer: self._answered(identity, answer, deliver)
            )
        else:
            self._remember_or_ask(self._cache, identity, request.password, deliver)

    def remembers(self, request: Request) -> bool:
        """Whether it is known to be right without a question to anybody; then it is noted, too."""
        cache = self._cache
        if cache is None or request.service in self._uncached:
            return False
        identity = identify(request, append_realm=self._append_realm)
        if not cache.has(key_of(identity), cache.digest(request.password), self._loop.time()):
            return False
        self._statistics.cache_hits += 1
        self._note(identity, ACCEPTED)
        return True

    def forget(self) -> None:
        """What was right may not be so any more."""
        if self._cache is not None:
            self._cache.flush()

    def _remember_or_ask(
        self, cache: CredentialCache, identity: Identity, password: Secret, deliver: Deliver
    ) -> None:
        key = key_of(identity)
        digest = cache.digest(password)
        now = self._loop.time()
        if cache.has(key, digest, now):
            self._statistics.cache_hits += 1
            self._answered(identity, ACCEPTED, deliver)
            return
        rejection = cache.rejection(key, digest, now)
        if rejection is not None:
            self._statistics.cache_hits += 1
            self._answered(identity, rejection, deliver)
            return
        self._statistics.cache_misses += 1
        question = _Question(identity, digest)
        askers = self._asked.get(question)
        if askers is not None:
            # The same in every field, so it is the same client's, asking twice: one answer does for both.
            askers.append(deliver)
            self._statistics.joined += 1
            return
        self._asked[question] = [deliver]
        dispatch = cache.dispatch(now)

        def answered(answer: Answer) -> None:
            cache.learn(key, digest, answer, dispatch)
            if answer.cause is Cause.BACKEND and cache.has_stale(key, digest, self._loop.time()):
                self._statistics.cache_stale += 1
                answer = _ACCEPTED_STALE
            for each in self._asked.pop(question):
                self._answered(identity, answer, each)

        self._pool.submit(identity, password, answered)

    def refuse(self, error: ProtocolError) -> None:
        """Note a request that was none. There is no failure line: nobody tried to log in."""
        self._statistics.malformed += 1
        log.error(str(error))

    def _answered(self, identity: Identity, answer: Answer, deliver: Deliver) -> None:
        self._note(identity, answer)
        if answer.verdict is Verdict.REJECT and answer.delay_ms:
            # The mechanism's delay is waited here, on a timer: no worker ever sleeps for it.
            self._loop.call_later(min(answer.delay_ms / 1000, LONGEST_DELAY), deliver, answer)
        else:
            deliver(answer)

    def _note(self, identity: Identity, answer: Answer) -> None:
        match answer.verdict:
            case Verdict.ACCEPT:
                self._statistics.accepted += 1
                if self._verbose:
                    log.debug("auth success", **self._fields(identity))
            case Verdict.REJECT:
                self._statistics.rejected += 1
                log.info("auth failure", **self._fields(identity), reason=answer.reason or "Unknown")
            case Verdict.UNAVAILABLE:
                self._statistics.unavailable += 1
                log.error("auth unavailable", **self._fields(identity), reason=answer.reason or "Unknown")
        if self._verbose:
            for line in answer.details:
                log.debug(line)

    def _fields(self, identity: Identity) -> dict[str, bytes | str]:
        # The order is that of the original's line; filters match it as a whole.
        fields: dict[str, bytes | str] = {
            "user": identity.login,
            "service": identity.service,
            "realm": identity.realm,
        }
        if identity.client_address is not None:
            fields["remote"] = identity.client_address
        fields["mech"] = self._mechanism
        return fields

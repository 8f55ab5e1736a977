"""The path of one login, from the parsed request to its answer, and what the log says of it."""

import asyncio

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import Answer, Cause, Verdict, rejected
from pysaslauthd.core.identity import Identity, identify, is_service_name
from pysaslauthd.core.wire import ProtocolError, Request
from pysaslauthd.front.pool import Deliver, Pool
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.logs import log

LONGEST_DELAY = 10.0
"""Seconds; no module can have an answer held back for longer."""

_NO_SERVICE_NAME = rejected(Cause.REQUEST, "service is no name of a file")


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

    def login(self, request: Request, deliver: Deliver) -> None:
        """Find the answer to ``request``; ``deliver`` gets it when the client may have it."""
        identity = identify(request, append_realm=self._append_realm)
        if self._names_service_files and not is_service_name(identity.service):
            self._answered(identity, _NO_SERVICE_NAME, deliver)
            return
        self._pool.submit(
            identity, request.password, lambda answer: self._answered(identity, answer, deliver)
        )

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

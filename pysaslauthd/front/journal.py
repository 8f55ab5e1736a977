"""What the log says of each login: one line of its verdict, in the original's words and order.

The formats that are ours have more to say of it: by which request, whose, and where its time went.
"""

import time

from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.request_id import shown_id
from pysaslauthd.front.outcome import Outcome, Way
from pysaslauthd.logs import is_debug, log

_BRACKETS = str.maketrans({"[": r"\x5b", "]": r"\x5d"})
"""A detail may quote a login or a server, and none of them is to put a ``[remote=...]`` of its choice in a line."""


class Journal:
    """Writes it. Who got in is news with ``successes``, else a detail; what the mechanism had to say always is."""

    def __init__(self, *, successes: bool) -> None:
        self._successes = successes

    def note(self, outcome: Outcome) -> None:
        """The line of one login."""
        answer = outcome.answer
        match answer.verdict:
            case Verdict.ACCEPT if self._successes:
                log.info("auth success", **_fields(outcome), extra=_extra(outcome))
            case Verdict.ACCEPT if is_debug():
                log.debug("auth success", **_fields(outcome), extra=_extra(outcome))
            case Verdict.REJECT:
                log.info("auth failure", **_fields(outcome), **_reason(answer), extra=_extra(outcome))
            case Verdict.UNAVAILABLE if answer.cause is not Cause.GONE:
                log.error("auth unavailable", **_fields(outcome), **_reason(answer), extra=_extra(outcome))
        if is_debug():
            for line in answer.details:
                log.debug(line.translate(_BRACKETS), extra=outcome.asker.caller.mark)


def _extra(outcome: Outcome) -> dict[str, object]:
    asker = outcome.asker
    extra: dict[str, object] = {**asker.caller.mark, "way": outcome.way.value}
    if outcome.way is Way.JOINED:
        extra["joined"] = shown_id(outcome.asked_by)
    if outcome.answer.cause is not Cause.NONE:
        extra["cause"] = outcome.answer.cause.name.lower()
    # Without what follows: the client hears of a wrong password when its delay is over.
    extra["duration"] = round(time.monotonic() - asker.asked_at, 6)
    extra["wait"] = round(outcome.waited, 6)
    return extra


def _fields(outcome: Outcome) -> dict[str, bytes | str]:
    # The order is that of the original's line; filters match it as a whole.
    identity = outcome.identity
    fields: dict[str, bytes | str] = {
        "user": identity.login,
        "service": identity.service,
        "realm": identity.realm,
    }
    if identity.client_address is not None:
        fields["remote"] = identity.client_address
    fields["mech"] = outcome.mechanism
    return fields


def _reason(answer: Answer) -> dict[str, str]:
    return {"reason": answer.reason or "Unknown"}

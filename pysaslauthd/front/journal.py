"""What the log says of each login: one line of its verdict, in the original's words and order."""

from pysaslauthd.core.answer import Cause, Verdict
from pysaslauthd.front.outcome import Outcome
from pysaslauthd.logs import is_debug, log


class Journal:
    """Writes it. With debug lines also of those who got in, and what the mechanism had to say."""

    def note(self, outcome: Outcome) -> None:
        """The line of one login."""
        answer = outcome.answer
        match answer.verdict:
            case Verdict.ACCEPT:
                if is_debug():
                    log.debug("auth success", **_fields(outcome))
            case Verdict.REJECT:
                log.info("auth failure", **_fields(outcome), reason=answer.reason or "Unknown")
            case Verdict.UNAVAILABLE if answer.cause is not Cause.GONE:
                log.error("auth unavailable", **_fields(outcome), reason=answer.reason or "Unknown")
        if is_debug():
            for line in answer.details:
                log.debug(line)


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

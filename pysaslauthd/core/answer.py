"""What a mechanism says of a login, and why.

The wire knows OK and NO; inside there are three verdicts, because "the password is wrong" and "our
side broke" are different things all the way: a mail program that hears the second tries again, and
one that hears the first asks its owner for a new password.
"""

import enum
from typing import NamedTuple


class Verdict(enum.IntEnum):
    """The outcome. UNAVAILABLE is never cached and never counted as a wrong password."""

    ACCEPT = 1
    REJECT = 2
    UNAVAILABLE = 3


class Cause(enum.IntEnum):
    """What led to the verdict.

    Up to ACCOUNT it is the user's side, REQUEST is the mail server's; the rest is ours and belongs to
    UNAVAILABLE, and so does GONE: the client left while its login waited, so nobody was asked.
    """

    NONE = 0
    WRONG_PASSWORD = 1
    UNKNOWN_USER = 2
    ACCOUNT = 3
    BACKEND = 4
    DEADLINE = 5
    CRASH = 6
    SHED = 7
    REQUEST = 8
    GONE = 9


LONGEST_DELAY = 10.0
"""Seconds; no module can have an answer held back for longer."""


class Answer(NamedTuple):
    """A verdict with all that front and log need to know of it.

    ``reason`` is the text of the failure line, in the original's words where it has some;
    ``delay_ms`` is how long a REJECT is held back, in milliseconds; ``details`` are lines for the
    log at debug. None of them ever holds a password or a hash.
    """

    verdict: Verdict
    cause: Cause = Cause.NONE
    reason: str = ""
    delay_ms: int = 0
    details: tuple[str, ...] = ()

    @property
    def delay(self) -> float:
        """Seconds for which the client does not get it: a REJECT is held back, and who is turned away may be."""
        if self.verdict is not Verdict.REJECT and self.cause is not Cause.SHED:
            return 0.0
        return min(self.delay_ms / 1000, LONGEST_DELAY)


ACCEPTED = Answer(Verdict.ACCEPT)


def rejected(cause: Cause, reason: str) -> Answer:
    """The user's side: wrong password, unknown user, or an account that may not log in."""
    return Answer(Verdict.REJECT, cause, reason)


def unavailable(cause: Cause, reason: str) -> Answer:
    """Our side broke: nothing is known about the password."""
    return Answer(Verdict.UNAVAILABLE, cause, reason)

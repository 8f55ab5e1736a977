"""How the daemon is: what the master knows of it and tells the front that administrators ask."""

import json
from typing import NamedTuple

from pysaslauthd.core.messages import MessageError

LONGEST_REASON = 512
"""Characters of why something failed that are passed on; the log has all of it."""


class State(NamedTuple):
    """Times are seconds since the epoch."""

    started: float
    """When the daemon began."""
    fronts_lost: int = 0
    """How many have ended without having been told to, and their counts with them."""
    workers_lost: int = 0
    """How many have, while their front lived."""
    reloaded: float | None = None
    """When the last reload came to its end; None if there has been none."""
    not_reloaded: str = ""
    """Why it changed nothing, if it did not."""
    log_level: str = "info"
    """From which on lines are logged."""


def encode(state: State) -> str:
    """As the text of a verb."""
    shortened = state._replace(not_reloaded=state.not_reloaded[:LONGEST_REASON])
    return json.dumps(shortened._asdict(), ensure_ascii=False)


def decode(text: str) -> State:
    """What the master said.

    :raises MessageError: it is no such text.
    """
    try:
        return State(**json.loads(text))
    except (ValueError, TypeError):
        raise MessageError("a state that is none") from None

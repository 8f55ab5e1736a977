"""Why workers are lost: what the statistics call it, and what the logins hear that they held."""

from typing import NamedTuple


class Loss(NamedTuple):
    """A way for a worker to end that nobody wanted."""

    cause: str
    reason: str


DIED = Loss("died", "worker died")
DEADLINE = Loss("deadline", "worker was killed for another login's deadline")
STALLED = Loss("stalled", "worker got nothing done")
DEAF = Loss("stalled", "worker reads nothing")
PROTOCOL = Loss("protocol", "worker broke the protocol")
NEVER_CAME_UP = Loss("start", "worker did not come up")

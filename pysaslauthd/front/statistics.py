"""What the front counts."""

import dataclasses


@dataclasses.dataclass(slots=True)
class Statistics:
    """Totals since this front started, except where a field says "now"."""

    clients: int = 0
    """Connected now."""
    queued: int = 0
    """Logins waiting for a worker now."""
    accepted: int = 0
    rejected: int = 0
    unavailable: int = 0
    shed: int = 0
    """Of those: turned away, as there was no room, in the queue or for another client."""
    gone: int = 0
    """Logins that nobody was asked for, as their client left while they waited."""
    cache_hits: int = 0
    cache_misses: int = 0
    cache_stale: int = 0
    """Accepted from an entry past its end, as the backend could not be asked."""
    joined: int = 0
    """Requests that got the answer to another, which was the same in all its fields."""
    malformed: int = 0
    """Requests that were none: a field over its limit, an empty login, a NUL."""
    timed_out: int = 0
    """Clients closed because their request did not come in time."""
    not_allowed: int = 0
    """Clients closed before they were read from, as a list of who may ask by their socket has them not."""
    evicted: int = 0
    """Clients closed to make room for others: silent ones, or refused ones before they heard of it."""
    unheard: int = 0
    """Answers whose client had gone."""
    compared_equal: int = 0
    """Logins of which another saslauthd said the same as ours."""
    compared_different: int = 0
    compared_unavailable: int = 0
    """Of which either could not say."""
    compared_dropped: int = 0
    """Which it was not asked, as it was too slow."""
    workers_lost: int = 0
    """Workers that ended without having been retired."""

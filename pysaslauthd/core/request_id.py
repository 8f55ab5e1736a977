"""The number by which all lines in the log about one request can be found.

It is for people and their tools; nothing goes by it. Fronts are many in a daemon's life, one after each
reload and often two at a time, and know nothing of each other: so each begins at random.
"""

_COUNT_BITS = 40
"""For a trillion requests of one front."""

START_BITS = 24
"""The random part. Of a hundred fronts of one daemon two have the same once in 3,000 daemons."""


def first_id(start: int) -> int:
    """The first of a front's ids, of which each is one more than the last. ``start`` has :data:`START_BITS` bits."""
    return (start << _COUNT_BITS) + 1


def shown_id(request_id: int) -> str:
    """As it stands in the log, such as ``9f3c01-1a``."""
    return f"{request_id >> _COUNT_BITS:06x}-{request_id & ((1 << _COUNT_BITS) - 1):x}"

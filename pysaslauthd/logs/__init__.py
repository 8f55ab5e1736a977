"""Log lines that no reader can hold up and no stranger can forge.

An event is a text and its values, :class:`~pysaslauthd.logs.entry.Entry`. structlog makes them, as
:mod:`~pysaslauthd.logs.setup` says; :mod:`~pysaslauthd.logs.formats` make a line of each, by default the
original's, with :mod:`~pysaslauthd.logs.text` escaped; and sinks deliver them without waiting: to syslog
(:mod:`~pysaslauthd.logs.datagrams`), the journal (:mod:`~pysaslauthd.logs.journald`) and standard error
(:mod:`~pysaslauthd.logs.streams`).
"""

from pysaslauthd.logs.entry import IDENT
from pysaslauthd.logs.setup import (
    LEVELS,
    configure,
    counting_repeats,
    detach,
    is_debug,
    log,
    reopen,
    set_level,
)
from pysaslauthd.logs.text import describe, escaped

__all__ = [
    "IDENT",
    "LEVELS",
    "configure",
    "counting_repeats",
    "describe",
    "detach",
    "escaped",
    "is_debug",
    "log",
    "reopen",
    "set_level",
]

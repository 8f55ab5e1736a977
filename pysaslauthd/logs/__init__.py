"""Log lines, in the original's shape, that no reader can hold up.

An event is a text and its values, and becomes ``text: [name=value] [name=value]``, the form of the
original's failure line. :mod:`~pysaslauthd.logs.setup` has structlog make the events,
:mod:`~pysaslauthd.logs.text` takes out of values what could forge a line, and
:mod:`~pysaslauthd.logs.sinks` deliver without waiting.
"""

from pysaslauthd.logs.setup import LEVELS, configure, detach, is_debug, log, render, reopen, set_level
from pysaslauthd.logs.sinks import IDENT, PRIORITIES, StreamSink, SyslogSink
from pysaslauthd.logs.text import describe, escaped

__all__ = [
    "IDENT",
    "LEVELS",
    "PRIORITIES",
    "StreamSink",
    "SyslogSink",
    "configure",
    "describe",
    "detach",
    "escaped",
    "is_debug",
    "log",
    "render",
    "reopen",
    "set_level",
]

"""From events to lines: structlog makes them, this module says which there are and where they go."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from pysaslauthd.logs.datagrams import SyslogSink
from pysaslauthd.logs.entry import PRIORITIES, Entry
from pysaslauthd.logs.formats import format_named
from pysaslauthd.logs.journald import JournalSink
from pysaslauthd.logs.repeats import CallLater, Repeats
from pysaslauthd.logs.sinks import Sink
from pysaslauthd.logs.streams import StreamSink

LEVELS = ("debug", "info", "warning")
"""From which on lines are written, if it is asked for; errors always are."""

log: FilteringBoundLogger = structlog.get_logger()


class _Output:
    """What structlog calls, by the name of the level; each entry goes to every sink."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.level = "info"
        self.repeats: Repeats | None = None

    def write(self, entry: Entry) -> None:
        if self.repeats is None:
            self.deliver(entry)
        else:
            self.repeats.take(entry)

    debug = info = warning = error = critical = write

    def deliver(self, entry: Entry) -> None:
        for sink in self.sinks:
            sink.write(entry)


class _Processor(Protocol):
    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> Any: ...


_output = _Output()


def _as_entry(_logger: WrappedLogger, level: str, event: EventDict) -> tuple[tuple[Entry], dict[str, object]]:
    """The structlog processor; what it returns are the arguments of the method of :class:`_Output`."""
    # Not structlog's to filter: it would have to put a logger together for each line, as the level may change.
    if PRIORITIES[level] > PRIORITIES[_output.level]:
        raise structlog.DropEvent
    text, extra = event.pop("event"), event.pop("extra", {})
    return (Entry(level, text, event, extra),), {}


_processors = cast("list[_Processor]", [_as_entry])
"""One list for ever: a logger that was used once keeps the one that it began with."""


def configure(
    *,
    verbose: bool,
    syslog: Path | None,
    stderr: bool,
    journal: Path | None = None,
    log_format: str = "saslauthd",
) -> None:
    """Say where lines go and how they look, once, before the first of them. Debug lines only if ``verbose``.

    ``syslog`` and ``journal`` are where their daemons listen. ``log_format`` is a name of the setting.
    """
    form = format_named(log_format)
    _output.sinks = []
    if stderr:
        _output.sinks.append(StreamSink(form=format_named(log_format, in_colors=_likes_colors(2))))
    if syslog is not None:
        _output.sinks.append(SyslogSink(syslog, form))
    if journal is not None:
        _output.sinks.append(JournalSink(journal, form))
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=lambda *_: _output,
        cache_logger_on_first_use=True,
    )
    set_level("debug" if verbose else "info")


def _likes_colors(descriptor: int) -> bool:
    """A terminal, unless somebody said by the usual variable that he wants none."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def set_level(name: str) -> None:
    """From now on lines of this level of :data:`LEVELS` and above are written, in this process and in those it forks."""
    _output.level = name


def is_debug() -> bool:
    """Whether debug lines are written. It may change at any time, so who does more for them asks each time."""
    return _output.level == "debug"


@contextlib.contextmanager
def counting_repeats(call_later: CallLater | None = None) -> Iterator[None]:
    """Within this the same error again and again is written once and counted; see :mod:`~pysaslauthd.logs.repeats`.

    For processes that hear strangers. ``call_later`` is their loop's, if they have one.
    """
    _output.repeats = repeats = Repeats(_output.deliver, call_later)
    try:
        yield
    finally:
        _output.repeats = None
        repeats.finish()


def detach() -> None:
    """From now on nothing to standard error, which has become ``/dev/null``."""
    for sink in _output.sinks:
        if isinstance(sink, StreamSink):
            sink.close()
    _output.sinks = [sink for sink in _output.sinks if not isinstance(sink, StreamSink)]


def reopen() -> None:
    """After a fork, when all but 0, 1 and 2 is closed: get descriptors of this process's own."""
    for sink in _output.sinks:
        sink.reopen()

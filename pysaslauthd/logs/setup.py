"""From events to lines: structlog makes them, this module says how they look, which there are and where they go."""

from pathlib import Path
from typing import Any, Protocol, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from pysaslauthd.logs.sinks import PRIORITIES, Sink, StreamSink, SyslogSink
from pysaslauthd.logs.text import cut, escaped

LEVELS = ("debug", "info", "warning")
"""From which on lines are written, if it is asked for; errors always are."""

log: FilteringBoundLogger = structlog.get_logger()


class _Output:
    """What structlog calls: a method for each level, each sending to every sink."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.is_debug = False

    def debug(self, line: str) -> None:
        self._write("debug", line)

    def info(self, line: str) -> None:
        self._write("info", line)

    def warning(self, line: str) -> None:
        self._write("warning", line)

    def error(self, line: str) -> None:
        self._write("error", line)

    def critical(self, line: str) -> None:
        self._write("critical", line)

    def _write(self, level: str, line: str) -> None:
        for sink in self.sinks:
            sink.write(PRIORITIES[level], line)


class _Processor(Protocol):
    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> Any: ...


_output = _Output()


def render(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """The structlog processor that turns an event into its line."""
    # The text is ours and may hold brackets of its own; the values come from strangers.
    text = escaped(event.pop("event"), delimiters="")
    fields = " ".join(f"[{name}={cut(escaped(value))}]" for name, value in event.items())
    return f"{text}: {fields}" if fields else text


def configure(*, verbose: bool, syslog: Path | None, stderr: bool) -> None:
    """Say where lines go, once, before the first of them. Debug lines only if ``verbose``."""
    _output.sinks = []
    if stderr:
        _output.sinks.append(StreamSink())
    if syslog is not None:
        _output.sinks.append(SyslogSink(syslog))
    processors = cast("list[_Processor]", [render])
    # A cached logger would keep the level that it began with.
    structlog.configure(
        processors=processors, logger_factory=lambda *_: _output, cache_logger_on_first_use=False
    )
    set_level("debug" if verbose else "info")


def set_level(name: str) -> None:
    """From now on lines of this level of :data:`LEVELS` and above are written, in this process and in those it forks."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(name))
    _output.is_debug = name == "debug"


def is_debug() -> bool:
    """Whether debug lines are written. It may change at any time, so who does more for them asks each time."""
    return _output.is_debug


def detach() -> None:
    """From now on only syslog: standard error has become ``/dev/null``."""
    for sink in _output.sinks:
        if isinstance(sink, StreamSink):
            sink.close()
    _output.sinks = [sink for sink in _output.sinks if not isinstance(sink, StreamSink)]


def reopen() -> None:
    """After a fork, when all but 0, 1 and 2 is closed: get descriptors of this process's own."""
    for sink in _output.sinks:
        sink.reopen()

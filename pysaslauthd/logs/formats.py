"""How a line looks: as the original's, as logfmt, as JSON, or for a person at a terminal.

Whoever reads lines has to find in them what was sent and nothing else, so each format escapes what
would be layout in it; structlog lays out, :func:`~pysaslauthd.logs.text.spelled` takes care of the rest.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer, LogfmtRenderer, TimeStamper

from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.text import cut, escaped, is_utf8, spelled

LONGEST_VALUES = (1024, 256, 64, 16)
"""Characters of a value; the first at which the line is short enough. A field of the default 256 bytes fits the first,
all of it escaped."""

LONGEST_LINE = 4000
"""Bytes of a line that has to come whole, as half of an object in JSON is none. A pipe takes as many at once."""

_Laying = Callable[[dict[str, object]], str]


class Format(NamedTuple):
    """A way to render, and whether lines have in front what the original puts there."""

    render: Callable[[Entry], str]
    is_originals: bool = False


def render_as_original(entry: Entry) -> str:
    """``text: [name=value] [name=value]``, the form of the original's failure line."""
    # The text is ours and may hold brackets of its own; the values come from strangers.
    text = escaped(entry.text, delimiters="")
    fields = " ".join(
        f"[{name}={cut(escaped(value), LONGEST_VALUES[0])}]" for name, value in entry.fields.items()
    )
    return f"{text}: {fields}" if fields else text


SASLAUTHD = Format(render_as_original, is_originals=True)


def format_named(name: str, *, in_colors: bool = False) -> Format:
    """The format of this name of the setting; ``in_colors`` if it has any."""
    match name:
        case "logfmt":
            return Format(_Structured(_logfmt, _plain))
        case "json":
            return Format(_Structured(_json, _for_json))
        case "console":
            return Format(_Structured(_console(in_colors=in_colors), _plain, _AT_THE_TERMINAL))
        case _:
            return SASLAUTHD


_IN_UTC = TimeStamper(fmt="iso", utc=True, key="time")
_AT_THE_TERMINAL = TimeStamper(fmt="%H:%M:%S", utc=False, key="time")


class _Structured:
    """Renders names and values, all of them, cut until the line is short enough."""

    def __init__(
        self, lay_out: _Laying, shown: Callable[[object], object], stamp: TimeStamper = _IN_UTC
    ) -> None:
        self._lay_out = lay_out
        self._shown = shown
        self._stamp = stamp

    def __call__(self, entry: Entry) -> str:
        head = cast("dict[str, object]", self._stamp(None, "", {}))
        head["level"] = entry.level
        values = {"event": entry.text, "procid": os.getpid(), **entry.values}
        line = ""
        for longest in LONGEST_VALUES:
            shown = {name: self._cut(value, longest) for name, value in values.items()}
            line = self._lay_out({**head, **shown})
            if len(line.encode(errors="replace")) <= LONGEST_LINE:
                break
        return line

    def _cut(self, value: object, longest: int) -> object:
        shown = self._shown(value)
        return cut(shown, longest) if isinstance(shown, str) else shown


def _plain(value: object) -> object:
    match value:
        case float():
            return f"{value:.6f}"
        case int():
            return value
        case _:
            return spelled(value)


def _for_json(value: object) -> object:
    # JSON escapes control characters itself, and all that is not ASCII.
    return value if isinstance(value, int | float) else spelled(value, is_utf8)


def _logfmt(values: dict[str, object]) -> str:
    return _render_logfmt(None, "", values)


def _json(values: dict[str, object]) -> str:
    return str(_render_json(None, "", values))


def _console(*, in_colors: bool) -> _Laying:
    renderer: Any = ConsoleRenderer(colors=in_colors, sort_keys=False, timestamp_key="time")
    return lambda values: str(renderer(None, "", values))


_render_logfmt = LogfmtRenderer(bool_as_flag=False)
_render_json = JSONRenderer()

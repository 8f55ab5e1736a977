"""``pysaslauthctl top``: the daemon's metrics again and again, on a terminal or as lines."""

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pysaslauthd.commands import stats, top_view
from pysaslauthd.commands.control_client import ControlError, show
from pysaslauthd.commands.readings import Between, Reading
from pysaslauthd.commands.screen import Screen, is_one

DEFAULT_INTERVAL = 2.0
SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.1, 3600.0
"""Seconds. A reading costs the front one or two milliseconds."""

TIMEOUT = 2.0
"""Seconds for the daemon to tell them; there is always another time."""

_QUIT = frozenset("qQ\x04")


class _Seen(NamedTuple):
    """What is to be shown: the last two readings, and why there is none that is newer."""

    between: Between
    trouble: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How often, and how long."""
    parser.add_argument(
        "-i",
        "--interval",
        type=_interval,
        default=DEFAULT_INTERVAL,
        metavar="seconds",
        help=f"between two readings, default {DEFAULT_INTERVAL:g}",
    )
    parser.add_argument(
        "-c",
        "--count",
        type=_count,
        metavar="number",
        help="readings to show before it ends; without it, until q",
    )


def _interval(text: str) -> float:
    expected = f"expected {SHORTEST_INTERVAL:g} to {LONGEST_INTERVAL:g} seconds"
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(expected) from None
    if not SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL:
        raise argparse.ArgumentTypeError(expected)
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("expected a whole number above 0")
    return int(text)


def run(given: argparse.Namespace) -> None:
    """Show them until the end is asked for."""
    first = Reading(stats.ask(given), time.monotonic())  # which says what is wrong, if anything is
    seen = _watch(given, first)
    turns = range(given.count) if given.count else itertools.count()
    try:
        if is_one():
            _draw(given.interval, turns, seen)
        else:
            next(seen)  # the first has no rates
            _print(given.interval, turns, seen)
    except KeyboardInterrupt:
        pass


def _watch(given: argparse.Namespace, first: Reading) -> Iterator[_Seen]:
    """One after the other, whatever becomes of the daemon meanwhile."""
    seen = _Seen(Between(None, first))
    while True:
        yield seen
        try:
            reading = Reading(stats.ask(given, TIMEOUT), time.monotonic())
            seen = _Seen(Between.of(seen.between.after, reading))
        except ControlError as error:
            seen = _Seen(Between(None, seen.between.after), str(error))


def _draw(interval: float, turns: Iterable[int], seen: Iterator[_Seen]) -> None:
    with Screen() as screen:
        for _ in turns:
            between, trouble = next(seen)
            lines = [*([f"WAITING: {trouble}", ""] if trouble else []), *top_view.screen(between)]
            due = time.monotonic() + interval
            while (left := due - time.monotonic()) > 0:
                screen.draw(lines)
                if screen.wait(left) in _QUIT:
                    return


def _print(interval: float, turns: Iterable[int], seen: Iterator[_Seen]) -> None:
    for _ in turns:
        time.sleep(interval)
        between, trouble = next(seen)
        what = f"waiting: {trouble}" if trouble else top_view.sample(between)
        show(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {what}")

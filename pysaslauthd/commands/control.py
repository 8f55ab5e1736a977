"""``pysaslauthctl``: what an administrator asks of the running daemon, and has it do."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import __version__
from pysaslauthd.commands import explain, stats, top
from pysaslauthd.commands.control_client import ControlError, NoDaemonError, show, told
from pysaslauthd.commands.doctor import command as doctor
from pysaslauthd.config.options import DEFAULT_RUN_PATH
from pysaslauthd.core.control import CONTROL_NAME, Line, as_text
from pysaslauthd.logs import LEVELS, describe, escaped

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_DAEMON = 3


RELOAD_TIMEOUT = 120.0
"""Seconds for a reload, which waits for those before it to answer their last logins."""


class Subcommand(NamedTuple):
    """What stands behind ``pysaslauthctl``. ``run`` prints what is to be said; :class:`ControlError` is the rest."""

    name: str
    explanation: str
    run: Callable[[argparse.Namespace], None]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None
    """Adds its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    given = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        given.run(given)
    except ControlError as error:
        print(f"pysaslauthctl: {escaped(error, delimiters='')}", file=sys.stderr)
        return EXIT_NO_DAEMON if isinstance(error, NoDaemonError) else EXIT_FAILED
    except (BrokenPipeError, KeyboardInterrupt):
        return EXIT_FAILED  # who reads what we print has seen enough
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = f"the daemon's answer is not understood, it may be of another version ({describe(error)})"
        print(f"pysaslauthctl: {what}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        "pysaslauthctl", description="Asks the running pysaslauthd, and has it do things.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pysaslauthctl {__version__}")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "-m",
        "--run-path",
        type=Path,
        default=DEFAULT_RUN_PATH,
        metavar="path",
        help=f"the daemon's run path, default {DEFAULT_RUN_PATH}",
    )
    place.add_argument(
        "--socket",
        type=Path,
        metavar="path",
        help=f"its control socket, if that is not {CONTROL_NAME} in the run path",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for each in SUBCOMMANDS:
        own = commands.add_parser(each.name, help=each.explanation, description=each.explanation)
        each.arguments(own)
        own.set_defaults(run=each.run)
    return parser


def _status(given: argparse.Namespace) -> None:
    for line in told(given, {"do": "status"}):
        for name, text in _rows(line):
            show(f"{name + ':' if name else '':<12} {text}".rstrip())


def _rows(status: Line) -> Iterator[tuple[str, str]]:
    yield "version", status["version"]
    yield "running", _since(status["since"])
    yield "master", f"process {status['master']}"
    lost = f"; {status['fronts_lost']} before it were lost" if status["fronts_lost"] else ""
    yield "front", f"process {status['front']}, {_since(status['front_since'])}{lost}"
    for each in status["mechanisms"]:
        workers = ", ".join(f"{count} {state}" for state, count in each["workers"].items() if count)
        yield (
            each["name"],
            f"workers: {workers or 'none'}; logins: {each['logins']} in hand, {each['waiting']} waiting",
        )
    yield "clients", str(status["clients"])
    yield "cache", "off" if status["cache"] is None else f"{status['cache']} entries"
    for number, name in enumerate(status["sockets"]):
        yield "" if number else "sockets", name
    yield "reload", _last_reload(status)
    yield "log level", status["log_level"]


def _last_reload(status: Line) -> str:
    if status["reloaded"] is None:
        return "none since the start"
    ended = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(status['reloaded']))}"
    why_not = status["not_reloaded"]
    return f"failed {ended}: {why_not}; what was in force stays so" if why_not else f"done {ended}"


def _since(moment: float) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return f"since {stamp}, for {_in_words(time.time() - moment)}"


def _in_words(seconds: float) -> str:
    """A time, roughly."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"


def _flush(given: argparse.Namespace) -> None:
    login = None if given.login is None else as_text(os.fsencode(given.login))
    for line in told(given, {"do": "flush", "login": login}):
        show(f"{line['forgotten']} forgotten")


def _flush_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("login", nargs="?", help="the login, with its realm or without; all if not given")


def _reload(given: argparse.Namespace) -> None:
    for _ in told(given, {"do": "reload"}, RELOAD_TIMEOUT):
        show("reloaded")


def _log_level(given: argparse.Namespace) -> None:
    for line in told(given, {"do": "log-level", "level": given.level}):
        show(f"{line['level']}, {line['before']} before")


def _log_level_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", choices=LEVELS, help="from which on lines are logged")


def _explain(given: argparse.Namespace) -> None:
    for line in explain.lines(told(given, explain.order_of(given), explain.TIMEOUT)):
        show(line)


SUBCOMMANDS = (
    Subcommand("status", "how the daemon is", _status),
    Subcommand(
        "stats", "the daemon's metrics, as a table, in JSON or for Prometheus", stats.run, stats.arguments
    ),
    Subcommand("top", "the daemon's metrics again and again, until q", top.run, top.arguments),
    Subcommand("flush", "forget cached logins", _flush, _flush_arguments),
    Subcommand("reload", "have the configuration read anew, and say what came of it", _reload),
    Subcommand(
        "log-level", "have more or less in the log, until the next restart", _log_level, _log_level_arguments
    ),
    Subcommand("explain", "how a login goes, step by step", _explain, explain.add_arguments),
    Subcommand("doctor", doctor.EXPLANATION, doctor.run, doctor.add_arguments),
)
"""All, in the order of the usage text."""


if __name__ == "__main__":
    sys.exit(main())

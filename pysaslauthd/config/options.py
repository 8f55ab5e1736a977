"""The command line: every option of saslauthd with its meaning and default, and ours beside them.

Differences on purpose: a usage error exits 64 (the original: 0, so a mistyped init script "works"),
and a number that is none is refused (the original reads ``-n abc`` as 0).
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Never

from pysaslauthd import __version__
from pysaslauthd.config.mechanisms import MECHANISMS, Mechanism
from pysaslauthd.config.settings import SettingError, Settings, did_you_mean, explanations, read_settings

EXIT_FAILURE = 1
EXIT_ALREADY_RUNNING = 2
EXIT_USAGE = 64

DEFAULT_RUN_PATH = Path("/run/saslauthd")
"""Red Hat's; Debian's ``/var/run/saslauthd`` is the same directory by another name."""

DEFAULT_USER = "pysaslauthd"
DEFAULT_CACHE_SECONDS = 28_800

_SUMMARY = (
    ("-a, --mechanism <mech>", "selects the authentication mechanism to use"),
    ("-c, --cache", "enable credential caching"),
    ("-d, --debug", "debugging (don't detach from tty, implies -V)"),
    ("-f, --foreground", "don't detach from tty"),
    ("-r, --append-realm", "combine the realm with the login before passing to the mechanism"),
    ("-O, --mechanism-option <option>", "optional argument to pass to the mechanism"),
    ("-l, --no-accept-lock", "accepted without effect: no lock is needed here"),
    ("-m, --run-path <path>", f"directory of the socket and pid file, default {DEFAULT_RUN_PATH}"),
    ("-n, --processes <procs>", "number of worker processes, default 5; 0: a fresh one for each login"),
    ("-s, --cache-size <kilobytes>", "size of the credential cache"),
    ("-t, --cache-timeout <seconds>", f"lifetime of a cached credential, default {DEFAULT_CACHE_SECONDS}"),
    ("-u, --user <name>", f"whose rights the unprivileged parts have, default {DEFAULT_USER}"),
    ("-o, --option <name=value>", "one of the settings below; may be given several times"),
    ("-v, --version", "version and mechanisms"),
    ("-V, --verbose", "log details and successful logins"),
    ("-h, --help", "this text"),
)


class OptionError(Exception):
    """An option that is understood and cannot be. The message is what the original prints."""


class _Usage(Exception):  # noqa: N818  (the wish to see the usage text, not always an error)
    """Print the usage text and exit; ``complaint`` first, if there is one."""

    def __init__(self, status: int, complaint: str = "") -> None:
        super().__init__(complaint)
        self.status = status


class _Version(Exception):  # noqa: N818  (see _Usage)
    """Print the version text and exit."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The command line, understood. Paths are absolute; ``cache_seconds`` None never expires."""

    mechanism: Mechanism
    mechanism_option: str | None = None
    run_path: Path = DEFAULT_RUN_PATH
    processes: int = 5
    cache: bool = False
    cache_kib: int | None = None
    cache_seconds: int | None = DEFAULT_CACHE_SECONDS
    append_realm: bool = False
    verbose: bool = False
    foreground: bool = False
    user: str = DEFAULT_USER
    settings: Settings = Settings()
    warnings: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise _Usage(EXIT_USAGE, f"pysaslauthd: {message}")


class _Once(argparse.Action):
    """Store the value; a second time is a usage error, as ``-a`` twice is in the original."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option}: only one mechanism can be used")
        setattr(namespace, self.dest, values)


def _raising(exception: Callable[[], Exception]) -> type[argparse.Action]:
    class Raise(argparse.Action):
        def __call__(self, *_: object, **__: object) -> None:
            raise exception()

    return Raise


def _parser() -> _Parser:
    parser = _Parser(prog="pysaslauthd", add_help=False, allow_abbrev=False)
    parser.add_argument("-a", "--mechanism", action=_Once)
    parser.add_argument("-c", "--cache", action="store_true")
    parser.add_argument("-d", "--debug", action="store_true")
    parser.add_argument("-f", "--foreground", action="store_true")
    parser.add_argument("-h", "--help", nargs=0, action=_raising(lambda: _Usage(0)))
    parser.add_argument("-H", dest="host")
    parser.add_argument("-l", "--no-accept-lock", action="store_true")
    parser.add_argument("-m", "--run-path", default=str(DEFAULT_RUN_PATH))
    parser.add_argument("-n", "--processes", default="5")
    parser.add_argument("-o", "--option", action="append", default=[])
    parser.add_argument("-O", "--mechanism-option")
    parser.add_argument("-r", "--append-realm", action="store_true")
    parser.add_argument("-s", "--cache-size")
    parser.add_argument("-t", "--cache-timeout", default=str(DEFAULT_CACHE_SECONDS))
    parser.add_argument("-T", dest="time_of_day", action="store_true")
    parser.add_argument("-u", "--user", default=DEFAULT_USER)
    parser.add_argument("-v", "--version", nargs=0, action=_raising(_Version))
    parser.add_argument("-V", "--verbose", action="store_true")
    return parser


def read_options(arguments: Sequence[str]) -> Options:
    """Understand the command line, or print what has to be said of it and exit.

    :raises OptionError: to be printed and logged, exit 1.
    :raises SystemExit: 0 after ``-h`` and ``-v``, 64 after a usage error.
    """
    try:
        given, ignored = _parser().parse_known_args(list(arguments))
        unknown = [word for word in ignored if word.startswith("-") and word not in {"-", "--"}]
        if unknown:
            raise _Usage(EXIT_USAGE, f"pysaslauthd: invalid option -- '{unknown[0].lstrip('-')}'")
        if given.mechanism is None:
            raise _Usage(EXIT_USAGE, "no authentication mechanism specified")
    except _Version:
        _print_version(sys.stderr)
        raise SystemExit(0) from None
    except _Usage as usage:
        _print_usage(sys.stderr, str(usage))
        raise SystemExit(usage.status) from None
    return _checked(given)


def _checked(given: argparse.Namespace) -> Options:
    if not given.run_path.startswith("/"):
        raise OptionError("-m requires an absolute pathname")
    processes = _number(given.processes)
    if processes is None or processes < 0:
        raise OptionError("invalid number of worker processes defined")
    cache_kib = _number(given.cache_size) if given.cache_size is not None else None
    if given.cache_size is not None and (cache_kib is None or cache_kib <= 0):
        raise OptionError("cache size must be positive and non zero")
    seconds = _number(given.cache_timeout)
    if seconds is None or seconds == 0:
        raise OptionError("cache timeout must be positive")
    try:
        settings = read_settings(given.option)
    except SettingError as error:
        raise OptionError(str(error)) from None
    mechanism = MECHANISMS.get(given.mechanism.lower())
    if mechanism is None:
        hint = did_you_mean(given.mechanism.lower(), MECHANISMS)
        raise OptionError(
            f"unknown authentication mechanism: {given.mechanism}{hint}\nthis version has: {' '.join(MECHANISMS)}"
        )
    option = given.mechanism_option if given.mechanism_option is not None else given.host
    return Options(
        mechanism=mechanism,
        mechanism_option=option,
        run_path=Path(given.run_path),
        processes=processes,
        cache=given.cache,
        cache_kib=cache_kib,
        cache_seconds=seconds if seconds > 0 else None,
        append_realm=given.append_realm,
        verbose=given.verbose or given.debug,
        foreground=given.foreground or given.debug,
        user=given.user,
        settings=settings,
        warnings=tuple(_warnings(given, mechanism, option)),
    )


def _warnings(given: argparse.Namespace, mechanism: Mechanism, option: str | None) -> list[str]:
    warnings = []
    if given.time_of_day:
        warnings.append("-T has no effect: no saslauthd ever checked the time of day; PAM's pam_time does")
    if given.host is not None:
        warnings.append("-H is an old name of -O; use -O")
    if option is not None and not mechanism.uses_option:
        warnings.append(f"-O has no effect: mechanism {mechanism.name} takes no option")
    if given.cache:
        warnings.append("-c has no effect yet: this version has no credential cache")
    return warnings


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _print_version(stream: IO[str]) -> None:
    print(f"pysaslauthd {__version__}", file=stream)
    print(f"authentication mechanisms: {' '.join(MECHANISMS)}", file=stream)
    print(file=stream)


def _print_usage(stream: IO[str], complaint: str) -> None:
    if complaint:
        print(complaint, file=stream)
    print("usage: pysaslauthd [options]\n\noption information:", file=stream)
    for option, explanation in _SUMMARY:
        print(f"  {option:<32} {explanation}", file=stream)
    print("\nsettings:", file=stream)
    for name, explanation in explanations().items():
        print(f"  {name:<18} {explanation}", file=stream)
    print(file=stream)
    _print_version(stream)

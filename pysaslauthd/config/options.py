"""The command line: every option of saslauthd with its meaning and default, and ours beside them.

Differences on purpose: a usage error exits 64 (the original: 0, so a mistyped init script "works"),
and a number that is none is refused (the original reads ``-n abc`` as 0).
"""

import dataclasses
import getopt
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import __version__
from pysaslauthd.config.mechanisms import MECHANISMS, Mechanism
from pysaslauthd.config.settings import SettingError, Settings, did_you_mean, explanations, read_settings

EXIT_FAILURE = 1
EXIT_ALREADY_RUNNING = 2
EXIT_USAGE = 64

DEFAULT_RUN_PATH = Path("/run/saslauthd")
"""Red Hat's; Debian's ``/var/run/saslauthd`` is the same directory by another name."""

DEFAULT_USER = "pysaslauthd"
DEFAULT_PROCESSES = 5
DEFAULT_CACHE_SECONDS = 28_800


class _Flag(NamedTuple):
    """An option: its letter, long name, argument (``""`` for none) and explanation."""

    letter: str
    name: str
    argument: str
    explanation: str


_FLAGS = (
    _Flag("a", "mechanism", "mech", "selects the authentication mechanism to use"),
    _Flag("c", "cache", "", "enable credential caching"),
    _Flag("d", "debug", "", "debugging (don't detach from tty, implies -V)"),
    _Flag("f", "foreground", "", "don't detach from tty"),
    _Flag("r", "append-realm", "", "combine the realm with the login before passing to the mechanism"),
    _Flag("O", "mechanism-option", "option", "optional argument to pass to the mechanism"),
    _Flag("l", "no-accept-lock", "", "accepted without effect: no lock is needed here"),
    _Flag("m", "run-path", "path", f"directory of the socket and pid file, default {DEFAULT_RUN_PATH}"),
    _Flag(
        "n",
        "processes",
        "procs",
        f"worker processes, default {DEFAULT_PROCESSES}; 0: a fresh one for each login",
    ),
    _Flag("s", "cache-size", "kilobytes", "size of the credential cache"),
    _Flag(
        "t", "cache-timeout", "seconds", f"lifetime of a cached credential, default {DEFAULT_CACHE_SECONDS}"
    ),
    _Flag("u", "user", "name", f"whose rights the unprivileged parts have, default {DEFAULT_USER}"),
    _Flag("o", "option", "name=value", "one of the settings below; may be given several times"),
    _Flag("v", "version", "", "version and mechanisms"),
    _Flag("V", "verbose", "", "log details and successful logins"),
    _Flag("h", "help", "", "this text"),
    _Flag("H", "host", "option", "an old name of -O"),
    _Flag("T", "time-of-day", "", "accepted without effect"),
)


class OptionError(Exception):
    """An option that is understood and cannot be. The message is what the original prints."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The command line, understood. Paths are absolute; ``cache_seconds`` None never expires."""

    mechanism: Mechanism
    mechanism_option: str | None = None
    run_path: Path = DEFAULT_RUN_PATH
    processes: int = DEFAULT_PROCESSES
    cache: bool = False
    cache_kib: int | None = None
    cache_seconds: int | None = DEFAULT_CACHE_SECONDS
    append_realm: bool = False
    verbose: bool = False
    foreground: bool = False
    user: str = DEFAULT_USER
    settings: Settings = Settings()
    warnings: tuple[str, ...] = ()

    @property
    def configuration(self) -> Path | None:
        """The mechanism's configuration file, if it has one. A relative path begins at the run path, as the original's."""
        default = self.mechanism.configuration
        return default and self.run_path / (self.mechanism_option or default)

    @property
    def workers(self) -> int:
        """How many are kept ready. Under ``-n 0``, where each serves one login, as many as by default."""
        if not self.processes:
            return DEFAULT_PROCESSES
        return min(self.processes, self.mechanism.most_kept or self.processes)

    @property
    def concurrency(self) -> int:
        """Logins that one worker has in hand at a time."""
        return self.mechanism.concurrency if self.processes else 1

    @property
    def most_workers(self) -> int:
        """How many there may be while logins wait."""
        return max(self.workers, self.settings.most_workers if self.mechanism.is_elastic else 0)

    @property
    def name_places(self) -> int:
        """Logins of one name that may be under way, as many as saslauthd could have at least."""
        return self.settings.name_places or max(DEFAULT_PROCESSES, self.processes)

    @property
    def share(self) -> int:
        """Logins after which a worker is replaced: ``-n 0`` is a share of one, not another code path."""
        return (self.settings.worker_share or self.mechanism.share) if self.processes else 1


class _Given:
    """The words of the command line, by long name; an option without argument has the empty one."""

    def __init__(self, words: Iterable[tuple[str, str]]) -> None:
        self.values: dict[str, list[str]] = {}
        for name, value in words:
            self.values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def last(self, name: str, default: str | None = None) -> str | None:
        """What counts of an option that was given several times."""
        return self.values[name][-1] if name in self.values else default


def read_options(arguments: Sequence[str]) -> Options:
    """Understand the command line, or print what has to be said of it and exit.

    By getopt, as the original does: its grammar is what existing scripts were written for, down to
    an argument that begins with a dash and to words that are ignored.

    :raises OptionError: to be printed and logged, exit 1.
    :raises SystemExit: 0 after ``-h`` and ``-v``, 64 after a usage error.
    """
    names = {word: flag.name for flag in _FLAGS for word in (f"-{flag.letter}", f"--{flag.name}")}
    short = "".join(flag.letter + (":" if flag.argument else "") for flag in _FLAGS)
    long = [flag.name + ("=" if flag.argument else "") for flag in _FLAGS]
    try:
        words, _ignored = getopt.gnu_getopt(list(arguments), short, long)
    except getopt.GetoptError as error:
        raise _usage(EXIT_USAGE, f"pysaslauthd: {error.msg}") from None
    given = _Given((names[word], value) for word, value in words)
    for name in given.values:
        if name == "help":
            raise _usage(0)
        if name == "version":
            _print_version()
            raise SystemExit(0)
    if "mechanism" not in given:
        raise _usage(EXIT_USAGE, "no authentication mechanism specified")
    if len(given.values["mechanism"]) > 1:
        raise _usage(EXIT_USAGE, "pysaslauthd: only one mechanism can be used")
    return _checked(given)


def _checked(given: _Given) -> Options:
    run_path = given.last("run-path", str(DEFAULT_RUN_PATH)) or ""
    if not run_path.startswith("/"):
        raise OptionError("-m requires an absolute pathname")
    processes = _number(given.last("processes", str(DEFAULT_PROCESSES)))
    if processes is None or processes < 0:
        raise OptionError("invalid number of worker processes defined")
    cache_kib = _number(given.last("cache-size"))
    if "cache-size" in given and (cache_kib is None or cache_kib <= 0):
        raise OptionError("cache size must be positive and non zero")
    seconds = _number(given.last("cache-timeout", str(DEFAULT_CACHE_SECONDS)))
    if seconds is None or seconds == 0:
        raise OptionError("cache timeout must be positive")
    try:
        settings = read_settings(given.values.get("option", ()))
    except SettingError as error:
        raise OptionError(str(error)) from None
    mechanism = _mechanism(given.last("mechanism") or "")
    return Options(
        mechanism=mechanism,
        mechanism_option=given.last("mechanism-option", given.last("host")),
        run_path=Path(run_path),
        processes=processes,
        cache="cache" in given,
        cache_kib=cache_kib,
        cache_seconds=seconds if seconds > 0 else None,
        append_realm="append-realm" in given,
        verbose="verbose" in given or "debug" in given,
        foreground="foreground" in given or "debug" in given,
        user=given.last("user") or DEFAULT_USER,
        settings=settings,
        warnings=tuple(_warnings(given, mechanism)),
    )


def _mechanism(name: str) -> Mechanism:
    try:
        return MECHANISMS[name.lower()]
    except KeyError:
        hint = did_you_mean(name.lower(), MECHANISMS)
        raise OptionError(
            f"unknown authentication mechanism: {name}{hint}\nthis version has: {' '.join(MECHANISMS)}"
        ) from None


def _warnings(given: _Given, mechanism: Mechanism) -> Iterator[str]:
    if "time-of-day" in given:
        yield "-T has no effect: no saslauthd ever checked the time of day; PAM's pam_time does"
    if "host" in given:
        yield "-H is an old name of -O; use -O"
    if not mechanism.uses_option and ("mechanism-option" in given or "host" in given):
        yield f"-O has no effect: mechanism {mechanism.name} takes no option"


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _print_version() -> None:
    print(f"pysaslauthd {__version__}", file=sys.stderr)
    print(f"authentication mechanisms: {' '.join(MECHANISMS)}\n", file=sys.stderr)


def _usage(status: int, complaint: str = "") -> SystemExit:
    """Print the usage text, behind a complaint if there is one; what to raise."""
    if complaint:
        print(complaint, file=sys.stderr)
    print("usage: pysaslauthd [options]\n\noption information:", file=sys.stderr)
    for flag in _FLAGS:
        option = f"-{flag.letter}, --{flag.name}" + (f" <{flag.argument}>" if flag.argument else "")
        print(f"  {option:<32} {flag.explanation}", file=sys.stderr)
    print("\nsettings:", file=sys.stderr)
    for name, explanation in explanations().items():
        print(f"  {name:<18} {explanation}", file=sys.stderr)
    print(file=sys.stderr)
    _print_version()
    return SystemExit(status)

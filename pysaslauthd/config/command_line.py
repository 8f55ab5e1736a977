"""The command line: every option of saslauthd with its meaning and default, and ours beside them.

Differences on purpose: a usage error exits 64 (the original: 0, so a mistyped init script "works"),
and a number that is none is refused (the original reads ``-n abc`` as 0).
"""

import enum
import getopt
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import __version__
from pysaslauthd.config.declared import DECLARED, OURS
from pysaslauthd.config.given import Found, Given
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import EXIT_USAGE
from pysaslauthd.config.settings import SettingError, did_you_mean
from pysaslauthd.core.identity import RealmPolicy

DEFAULT_FILE = Path("/etc/pysaslauthd.toml")
"""Read if it is there, unless another is named."""

Word = tuple[str, str]
"""An option by its long name, and its argument."""


class Action(enum.Enum):
    """What the command is to do. The value is the flag that says so."""

    RUN = ""
    CHECK = "check"
    SHOW = "show-config"
    IMPORT = "import"
    GET = "get"
    STATUS = "status"
    STOP = "stop"
    RELOAD = "reload"


class CommandFlag(NamedTuple):
    """An option: its letter if it has one, long name, argument (``""`` for none) and explanation."""

    letter: str
    name: str
    argument: str
    explanation: str

    @property
    def usage(self) -> str:
        """How it is written, as usage text and manual page show it."""
        short = f"-{self.letter}, " if self.letter else "    "
        return f"{short}--{self.name}" + (f" <{self.argument}>" if self.argument else "")


_OTHERS = (
    CommandFlag("d", "debug", "", "debugging (don't detach from tty, implies -V)"),
    CommandFlag("f", "foreground", "", "don't detach from tty"),
    CommandFlag("r", "append-realm", "", "combine the realm with the login before passing to the mechanism"),
    CommandFlag("l", "no-accept-lock", "", "accepted without effect: no lock is needed here"),
    CommandFlag("o", "option", "name=value", "one of the settings below, or of those above by its long name"),
    CommandFlag("", "config", "file", f"the configuration file, default {DEFAULT_FILE} if there is one"),
    CommandFlag(
        "", "defaults", "file", "also run as /etc/default/saslauthd or /etc/sysconfig/saslauthd says"
    ),
    CommandFlag("", "check", "", "say what is wrong or weak, and do no more; exit 1 if anything is wrong"),
    CommandFlag("", "show-config", "", "print what counts, and who said so"),
    CommandFlag("", "import", "file", "print what a file such as --defaults takes as a configuration file"),
    CommandFlag("", "get", "setting", "print what counts for one setting, alone"),
    CommandFlag("", "status", "", "say whether a daemon is running on the run path; exit 0 if so"),
    CommandFlag("", "stop", "", "end it, and wait until it has ended"),
    CommandFlag("", "reload", "", "have it read its files anew"),
    CommandFlag("v", "version", "", "version and mechanisms"),
    CommandFlag("h", "help", "", "this text"),
    CommandFlag("H", "host", "option", "an old name of -O"),
    CommandFlag("T", "time-of-day", "", "accepted without effect"),
)
_SETTINGS = {each.name.replace("_", "-"): each for each in DECLARED.values() if each.flag is not None}
FLAGS = (
    *(
        CommandFlag(each.flag.letter, name, each.flag.argument, each.explanation)
        for name, each in _SETTINGS.items()
        if each.flag is not None
    ),
    *_OTHERS,
)
"""All options, in the order of the usage text."""

_SHORTHANDS = {"debug": ("-d", "verbose", True), "append-realm": ("-r", "realm_policy", RealmPolicy.APPEND)}
"""By the name of an option that gives a setting a value: its letter, the setting and the value."""

_FOREGROUND = {"debug", "foreground"}


class CommandLine(NamedTuple):
    """What was asked for."""

    found: Found
    action: Action = Action.RUN
    foreground: bool = False
    config: Path | None = None
    """The configuration file, if one was named."""
    defaults: Path | None = None
    imported: Path | None = None
    wanted: str = ""
    """The setting to print."""


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Understand the command line, or print what has to be said of it and exit.

    By getopt, as the original does: its grammar is what existing scripts were written for, down to
    an argument that begins with a dash and to words that are ignored. A value that cannot be is an
    error of what was found.

    :raises SystemExit: 0 after ``-h`` and ``-v``, 64 after a usage error.
    """
    try:
        words = split(arguments)
    except getopt.GetoptError as error:
        raise usage(EXIT_USAGE, f"pysaslauthd: {error.msg}") from None
    names = [name for name, _ in words]
    for name in names:
        if name == "help":
            raise usage(0)
        if name == "version":
            _print_version()
            raise SystemExit(0)
    if names.count("mechanism") > 1:
        raise usage(EXIT_USAGE, "pysaslauthd: only one mechanism can be used")
    actions = {action for action in Action if action.value in names}
    if len(actions) > 1:
        both = " and ".join(sorted(f"--{each.value}" for each in actions))
        raise usage(EXIT_USAGE, f"pysaslauthd: only one of {both} can be used")
    return CommandLine(
        found=settings_in(words),
        action=actions.pop() if actions else Action.RUN,
        foreground=is_foreground(words),
        config=file_named(words, "config"),
        defaults=file_named(words, "defaults"),
        imported=file_named(words, "import"),
        wanted=_setting_named(words),
    )


def split(arguments: Sequence[str]) -> list[Word]:
    """The options by their long names, in their order, with their arguments.

    :raises getopt.GetoptError: there is no such option, or its argument is missing.
    """
    names = {f"--{flag.name}": flag.name for flag in FLAGS}
    names |= {f"-{flag.letter}": flag.name for flag in FLAGS if flag.letter}
    short = "".join(flag.letter + (":" if flag.argument else "") for flag in FLAGS if flag.letter)
    long = [flag.name + ("=" if flag.argument else "") for flag in FLAGS]
    words, _ignored = getopt.gnu_getopt(list(arguments), short, long)
    return [(names[word], value) for word, value in words]


def is_foreground(words: Iterable[Word]) -> bool:
    """Whether not to detach."""
    return any(name in _FOREGROUND for name, _ in words)


def file_named(words: Iterable[Word], flag: str) -> Path | None:
    """The last file that ``flag`` names, absolute: the daemon changes its directory."""
    named = [value for name, value in words if name == flag]
    return Path(named[-1]).absolute() if named else None


def _setting_named(words: Iterable[Word]) -> str:
    """The last setting that was asked for, by the one name that it has everywhere."""
    wanted = [value.replace("-", "_") for name, value in words if name == "get"]
    if wanted and wanted[-1] not in DECLARED:
        complaint = f"pysaslauthd: --get {wanted[-1]}: no such setting{did_you_mean(wanted[-1], DECLARED)}"
        raise usage(EXIT_USAGE, complaint)
    return wanted[-1] if wanted else ""


def settings_in(words: Sequence[Word], place: str = "", origin: str = "") -> Found:
    """The settings that options give. ``place`` is what messages begin with, ``origin`` who gave them if not the flags."""
    given: list[Given] = []
    errors: list[str] = []
    # -O is the one that counts of the two, wherever it stands.
    for name, text in sorted(words, key=lambda word: word[0] != "host"):
        try:
            each = _setting(name, text)
        except SettingError as error:
            errors += [place + line for line in str(error).splitlines()]
        else:
            if each is not None:
                given.append(each._replace(origin=origin or each.origin, subject=place + each.subject))
    return Found(tuple(given), tuple(errors), tuple(place + line for line in _warnings(words)))


def _setting(name: str, text: str) -> Given | None:
    if name == "option":
        return _assigned(text)
    if name in _SHORTHANDS:
        short, setting, value = _SHORTHANDS[name]
        return Given(setting, value, short, short)
    declared = _SETTINGS.get("mechanism-option" if name == "host" else name)
    if declared is None:
        return None
    assert declared.flag is not None
    flag = declared.flag
    if not flag.argument:
        text = "yes"
    try:
        value = (flag.read or declared.read)(text)
    except SettingError as error:
        raise SettingError(flag.complaint.format(found=text, hint=error.hint)) from None
    letter = "-H" if name == "host" else f"-{flag.letter}"
    return Given(declared.name, value, letter, letter)


def _assigned(assignment: str) -> Given:
    """What ``-o NAME=VALUE`` gives."""
    name, equals, text = assignment.partition("=")
    name = name.strip()
    if not equals:
        raise SettingError(f"-o {assignment}: expected NAME=VALUE")
    if name not in DECLARED:
        raise SettingError(f"-o {name}: no such setting{did_you_mean(name, DECLARED)}")
    try:
        value = DECLARED[name].read(text)
    except SettingError as error:
        raise SettingError(f"-o {name}={text}: expected {error}{error.hint}") from None
    return Given(name, value, "-o", f"-o {name}")


def _warnings(words: Iterable[Word]) -> Iterator[str]:
    names = {name for name, _ in words}
    if "time-of-day" in names:
        yield "-T has no effect: no saslauthd ever checked the time of day; PAM's pam_time does"
    if "host" in names:
        yield "-H is an old name of -O; use -O"


def _print_version() -> None:
    print(f"pysaslauthd {__version__}", file=sys.stderr)
    print(f"authentication mechanisms: {' '.join(MECHANISMS)}\n", file=sys.stderr)


def usage(status: int, complaint: str = "") -> SystemExit:
    """Print the usage text, behind a complaint if there is one; what to raise."""
    if complaint:
        print(complaint, file=sys.stderr)
    print("usage: pysaslauthd [options]\n\noption information:", file=sys.stderr)
    for flag in FLAGS:
        print(f"  {flag.usage:<32} {flag.explanation}", file=sys.stderr)
    print("\nsettings:", file=sys.stderr)
    for name in (each for each in DECLARED if each in OURS):
        print(f"  {name:<18} {DECLARED[name].explanation}", file=sys.stderr)
    print(file=sys.stderr)
    _print_version()
    return SystemExit(status)

"""``pysaslauthd --check``, ``--show-config`` and ``--import``: what would count, without a daemon."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from pysaslauthd.commands.configuration import LARGEST_FILE, Configuration
from pysaslauthd.commands.planner import files_of
from pysaslauthd.config.declared import DECLARED
from pysaslauthd.config.defaults_file import read_defaults
from pysaslauthd.config.given import Effective
from pysaslauthd.config.options import EXIT_FAILURE, OptionError, Options
from pysaslauthd.config.weak import weaknesses
from pysaslauthd.config.written import written
from pysaslauthd.master import privileges


def check(configuration: Configuration) -> int:
    """Look through all that a start would read, and say on standard error what is wrong and what is weak."""
    try:
        effective = configuration.read()
    except OptionError as error:
        return _told(str(error).splitlines(), [])
    weak = (f"{name} ({effective.origins[name]}): {text}" for name, text in weaknesses(effective.options))
    errors, warnings = _examined(effective.options)
    return _told(errors, [*effective.options.warnings, *weak, *warnings])


def _told(errors: list[str], warnings: list[str]) -> int:
    for kind, lines in (("error", errors), ("warning", warnings)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    print(f"errors: {len(errors)}, warnings: {len(warnings)}")
    return EXIT_FAILURE if errors else 0


def _examined(options: Options) -> tuple[list[str], list[str]]:
    """What is wrong with the user, the mechanism and its configuration file, and what is odd about them."""
    try:
        user, warning = privileges.unprivileged_user(options.user)
        module = importlib.import_module(options.mechanism.module)
    except LookupError as error:
        return [str(error.args[0])], []
    except ImportError as error:
        return [f"failed to initialize mechanism {options.mechanism.name}", str(error)], []
    warnings = [warning] if warning else []
    path = options.configuration
    if path is not None and os.geteuid() != 0 and path.exists() and not os.access(path, os.R_OK):
        return [], [*warnings, f"{path}: not checked, as this user cannot read it"]
    files, found = files_of(options, user, module)
    files.close()
    return list(found.errors), [*warnings, *found.warnings]


def show(configuration: Configuration) -> int:
    """Print what counts as a configuration file, with who gave it. No setting is secret; another file's keys are not shown."""
    try:
        effective = configuration.read()
    except OptionError as error:
        return _told(str(error).splitlines(), [])
    for line in (*written(effective.values()), *_notes(effective)):
        print(line)
    return 0


def _notes(effective: Effective) -> Iterator[str]:
    path = effective.options.configuration
    if path is not None:
        yield f"# mechanism {effective.options.mechanism.name} reads {path}, of which nothing is shown: it holds a password"


def convert(path: Path) -> int:
    """Print what a file of shell variables gives as a configuration file."""
    try:
        with path.open("rb") as file:
            defaults = read_defaults(file.read(LARGEST_FILE), str(path))
    except OSError as error:
        return _told([f"{path}: {error.strerror}"], [])
    for line in defaults.found.warnings:
        print(f"warning: {line}", file=sys.stderr)
    if defaults.found.errors:
        return _told(list(defaults.found.errors), [])
    last = {given.name: given for given in defaults.found.given}
    ordered = (last[name] for name in DECLARED if name in last)
    for line in written((DECLARED[each.name], each.value, each.origin) for each in ordered):
        print(line)
    if defaults.foreground:
        print("# -d or -f stays a flag: it is for who starts the daemon")
    return 0

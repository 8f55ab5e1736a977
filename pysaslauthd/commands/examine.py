"""``pysaslauthd --check``, ``--show-config``, ``--get`` and ``--import``: what would count, without a daemon."""

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pysaslauthd.commands import metrics_port
from pysaslauthd.commands.configuration import LARGEST_FILE, Configuration
from pysaslauthd.commands.metrics_port import MetricsPortError
from pysaslauthd.commands.planner import files_of, worker_rights
from pysaslauthd.commands.sockets import UnknownNameError, wanted
from pysaslauthd.config.declared import DECLARED
from pysaslauthd.config.defaults_file import read_defaults
from pysaslauthd.config.given import DEFAULT, Effective
from pysaslauthd.config.options import EXIT_FAILURE, SOCKET_NAME, OptionError, Options
from pysaslauthd.config.settings import LONGEST_SOCKET_PATH
from pysaslauthd.config.socket_tables import SocketTable
from pysaslauthd.config.weak import weaknesses
from pysaslauthd.config.written import written, written_chain, written_socket
from pysaslauthd.master import places, privileges
from pysaslauthd.master.places import UnsafePlaceError
from pysaslauthd.master.privileges import User


def check(configuration: Configuration) -> int:
    """Look through all that a start would read, and say on standard error what is wrong and what is weak."""
    try:
        effective = configuration.read()
    except OptionError as error:
        return _told(str(error).splitlines(), [])
    return _told(*complaints(effective))


def complaints(effective: Effective) -> tuple[list[str], list[str]]:
    """What is wrong and what is weak about what a start would read, as lines."""
    report = _Report(effective)
    report.add_places()
    report.add_sockets()
    report.add_metrics()
    report.add_weak()
    report.add_mechanism()
    return report.errors, report.warnings


def _told(errors: list[str], warnings: list[str]) -> int:
    for kind, lines in (("error", errors), ("warning", warnings)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    print(f"errors: {len(errors)}, warnings: {len(warnings)}")
    return EXIT_FAILURE if errors else 0


class _Report:
    """What is wrong and what is weak, gathered."""

    def __init__(self, effective: Effective) -> None:
        self._effective = effective
        self._options = effective.options
        self.errors: list[str] = []
        self.warnings = list(effective.options.warnings)

    def add_places(self) -> None:
        """The directory that a start would make or enter, and the files that settings name."""
        run_path = self._options.run_path
        if len(os.fsencode(run_path / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
            limit = f"the socket's path, {SOCKET_NAME} included, may have {LONGEST_SOCKET_PATH} bytes"
            self.errors.append(self._of("run_path", f"{run_path}: {limit}"))
        elif not run_path.parent.is_dir():
            self.errors.append(self._of("run_path", f"{run_path.parent} is no directory"))
        else:
            is_there = run_path.exists()
            self._add_directory(
                run_path if is_there else run_path.parent, self._of("run_path", ""), is_above=not is_there
            )
        for file in {file for row in self._options.mechanisms for file in row.reads}:
            path = file.path(self._options.settings)
            if self._effective.origins.get(file.setting, DEFAULT) == DEFAULT:
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                self.errors.append(self._of(file.setting, f"{path}: {error.strerror}"))
            else:
                if mode & stat.S_IROTH:
                    self.warnings.append(self._of(file.setting, f"{path} can be read by everybody"))

    def _add_directory(self, path: Path, subject: str, *, is_above: bool = False) -> None:
        try:
            places.make_sure_of(path, is_above=is_above)
        except PermissionError:
            self.warnings.append(f"{subject}{path}: not checked, as this user cannot look at it")
        except UnsafePlaceError as error:
            self.errors.append(f"{subject}{error}")
        except OSError as error:
            self.errors.append(f"{subject}{path}: {error.strerror}")

    def add_sockets(self) -> None:
        """The names that the tables of sockets say, and where they are to be."""
        try:
            for each in wanted(self._options):
                if each.table.path is not None:
                    self._add_directory(each.path.parent, f"{each.table.origin_of('path')}: socket.path: ")
        except UnknownNameError as error:
            self.errors += str(error).splitlines()

    def add_metrics(self) -> None:
        """Where the metrics are to go."""
        settings = self._options.settings
        if settings.metrics_file is not None and not settings.metrics_file.parent.is_dir():
            self.errors.append(self._of("metrics_file", f"{settings.metrics_file.parent} is no directory"))
        if settings.metrics_port:
            try:
                metrics_port.load()
            except MetricsPortError as error:
                self.errors.append(str(error))

    def add_weak(self) -> None:
        """Settings that somebody may be sorry for."""
        self.warnings += [self._of(name, text) for name, text in weaknesses(self._options)]

    def _of(self, name: str, text: str) -> str:
        return f"{name} ({self._effective.origins[name]}): {text}"

    def add_mechanism(self) -> None:
        """The user, the mechanisms and their configuration files."""
        try:
            user, warning = privileges.unprivileged_user(self._options.user)
        except LookupError as error:
            self.errors.append(str(error.args[0]))
            return
        self.warnings += filter(None, (warning,))
        for options in self._options.pools():
            self._add_one(options, user)

    def _add_one(self, options: Options, user: User | None) -> None:
        try:
            module = importlib.import_module(options.row.module)
        except ImportError as error:
            self.errors.append(f"failed to initialize mechanism {options.row.name}: {error}")
            return
        self.warnings += filter(None, (privileges.missing_rights(worker_rights(options, user)),))
        path = options.configuration
        if path is not None and _is_forbidden(path):
            self.warnings.append(f"{path}: not checked, as this user cannot read it")
            return
        files, found = files_of(options, user, module)
        files.close()
        self.errors += found.errors
        self.warnings += found.warnings


def _is_forbidden(path: Path) -> bool:
    """Whether it is there, or may be, for others than this user."""
    try:
        path.open("rb").close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def show(configuration: Configuration) -> int:
    """Print what counts as a configuration file, with who gave it. No setting is secret; another file's keys are not shown."""
    try:
        effective = configuration.read()
    except OptionError as error:
        return _told(str(error).splitlines(), [])
    for line in (*written(effective.values()), *_notes(effective), *_tables(effective)):
        print(line)
    return 0


def get(configuration: Configuration, name: str) -> int:
    """Print what counts for the setting ``name``, for a script: text and paths without quotes, nothing for what is not set."""
    try:
        effective = configuration.read()
    except OptionError as error:
        return _told(str(error).splitlines(), [])
    ((declared, value),) = ((each, value) for each, value, _ in effective.values() if each.name == name)
    text = str(value) if isinstance(value, str | Path) else declared.in_toml(value)
    print("" if value is None else text)
    return 0


def _notes(effective: Effective) -> Iterator[str]:
    for options in effective.options.split():
        if options.configuration is not None:
            path = options.configuration
            yield f"# mechanism {options.row.name} reads {path}, of which nothing is shown: it holds a password"


def _tables(effective: Effective) -> Iterator[str]:
    options = effective.options
    for chain in options.chains:
        yield from written_chain(chain)
    for table in options.sockets or (SocketTable(),):
        yield from written_socket(table, options.default_socket)


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

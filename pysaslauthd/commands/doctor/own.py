"""What our daemon would do: the settings that it would read, and the sockets that it would make."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands import examine
from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.commands.doctor import cures, listeners
from pysaslauthd.commands.doctor.accounts import Accounts
from pysaslauthd.commands.doctor.findings import Finding, fine, problem, warning
from pysaslauthd.commands.doctor.tree import Tree
from pysaslauthd.commands.sockets import Names, UnknownNameError, Wanted, wanted
from pysaslauthd.config.command_line import DEFAULT_FILE, read_command_line
from pysaslauthd.config.declared import quoted_in_toml
from pysaslauthd.config.given import DEFAULT, Effective, NoMechanismError
from pysaslauthd.config.options import DEFAULT_RUN_PATH, SOCKET_NAME, OptionError, Options
from pysaslauthd.config.socket_tables import SocketTable
from pysaslauthd.master.mux import Look

_USUAL_RUN_PATHS = {DEFAULT_RUN_PATH, Path("/var/run/saslauthd")}
"""What ``pysaslauthctl`` takes without being told, and Debian's name for it."""

DEFAULT_SOCKETS = {each / SOCKET_NAME for each in _USUAL_RUN_PATHS}
"""That of the packages' unit, by both of its names."""

STARTERS = (Path("/etc/default/pysaslauthd"), Path("/etc/sysconfig/pysaslauthd"))
"""What says, on Debian and on Red Hat, how the packages' service is started."""

UNIT = "pysaslauthd"
UNIT_FILES = (
    Path("/etc/init.d", UNIT),
    Path("/lib/systemd/system", f"{UNIT}.service"),
    Path("/usr/lib/systemd/system", f"{UNIT}.service"),
    Path("/etc/systemd/system", f"{UNIT}.service"),
)

ORIGINALS = (Path("/etc/default/saslauthd"), Path("/etc/sysconfig/saslauthd"))
"""The same for Cyrus saslauthd."""

USUAL_SOCKETS = (
    Path("/run/saslauthd/mux"),
    Path("/var/spool/postfix/var/run/saslauthd/mux"),
    Path("/run/sasl2/mux"),
    Path("/var/state/saslauthd/mux"),
    Path("/var/sasl2/mux"),
)
"""Where clients of one system or another look; ``/var/run`` is ``/run``."""


class Own(NamedTuple):
    """Our daemon as it would run. ``options`` is None where the configuration will not do."""

    options: Options | None
    origins: dict[str, str]
    sockets: tuple[Wanted, ...]
    named_defaults: Path | None
    """The file of flags that the command line names."""
    words: tuple[str, ...]
    """The command line that leads to this."""
    file: Path
    """Where a setting goes that is to be added."""
    text: str
    """What it holds now."""
    unit: str
    """The service by which the daemon is started here; empty where none is installed."""
    is_machine: bool
    """Whether it would run on this machine, so that there are processes to look at."""

    @property
    def run_path(self) -> Path:
        """The directory that the daemon runs in."""
        return self.options.run_path if self.options else DEFAULT_RUN_PATH

    def reload(self) -> tuple[str, ...]:
        """Have a running daemon read its configuration anew."""
        where = () if self.run_path in _USUAL_RUN_PATHS else ("-m", str(self.run_path))
        return (cures.command_line(("pysaslauthctl", *where, "reload")),)

    def set(self, name: str, value: str) -> tuple[str, ...]:
        """Give a setting of the configuration file another value."""
        line = f"{name} = {value}"
        place, _, number = self.origins.get(name, DEFAULT).rpartition(":")
        if place == str(self.file) and number.isdecimal():
            return cures.replace_line(self.file, int(number), line)
        advice = (
            ()
            if self.origins.get(name, DEFAULT) == DEFAULT
            else (cures.comment(f"not by {self.origins[name]}, but so:"),)
        )
        if not self.text.strip():
            return (*advice, *cures.append(self.file, line))
        # Behind a table it would be a key of that.
        return (*advice, *cures.insert_first(self.file, line))

    def extend_list(self, origin: str, name: str, values: Sequence[str]) -> tuple[str, ...]:
        """Write a list anew that is in one line of a file; of another, say where it is."""
        place, _, number = origin.rpartition(":")
        lines = self.text.split("\n")
        if place != str(self.file) or not number.isdecimal() or "]" not in lines[int(number) - 1]:
            return (cures.comment(f"in {origin}, add {values[-1]} to {name}"),)
        listed = ", ".join(map(quoted_in_toml, values))
        return cures.replace_line(self.file, int(number), f"{name} = [{listed}]")

    def add_socket(self, path: Path) -> tuple[str, ...]:
        """Listen on one more socket; with any table there are those of the tables alone."""
        lines = (*(() if self.options and self.options.sockets else ("[[socket]]",)), "[[socket]]")
        text = quoted_in_toml(str(path))
        if not text:
            return (cures.comment(f"no name in {self.file} can be {path}, which is not UTF-8"),)
        return cures.append(self.file, *lines, f"path = {text}")


def starting_words(tree: Tree, given: Sequence[str], run_path: Path | None) -> tuple[str, ...]:
    """The daemon's command line: as given, else as one runs with, else as the packages' service would have it."""
    where = ("-m", str(run_path)) if run_path else ()
    if given:
        return (*given, *where)
    if tree.is_machine:
        for path in (run_path / SOCKET_NAME,) if run_path else USUAL_SOCKETS:
            with contextlib.suppress(PermissionError):
                listener = listeners.listener_on(tree.real(path))
                if listener and (words := listeners.words_of(listener)):
                    return words
    return (*next((("--defaults", str(path)) for path in STARTERS if tree.has(path)), ()), *where)


def own_of(tree: Tree, accounts: Accounts, words: Sequence[str]) -> tuple[Own, list[Finding]]:
    """What ``pysaslauthd WORDS`` would do in that tree, and what is wrong with it."""
    line = read_command_line(words)
    file, named_defaults = line.config or DEFAULT_FILE, line.defaults
    if not tree.is_machine:
        # A file that was named counts also where it is not there; the default one need not be.
        config = tree.real(file) if line.config or tree.has(file) else None
        defaults = tree.real(line.defaults) if line.defaults else None
        line = line._replace(config=config, defaults=defaults)
    unit = UNIT if any(map(tree.has, UNIT_FILES)) else ""
    own = Own(None, {}, (), named_defaults, tuple(words), file, tree.read(file) or "", unit, tree.is_machine)
    try:
        effective = Configuration(line).read()
    except NoMechanismError as error:
        return own._replace(sockets=_default_sockets()), [_no_mechanism(tree, own, str(error))]
    except OptionError as error:
        found = [problem("configuration", text, _check(own)) for text in str(error).splitlines()]
        return own._replace(sockets=_default_sockets()), found
    own = own._replace(options=effective.options, origins=dict(effective.origins))
    try:
        sockets = wanted(effective.options, Names(_user(accounts), _group(accounts)))
    except UnknownNameError as error:
        sockets = _default_sockets()
        found = [problem("unknown-name", text, _check(own)) for text in str(error).splitlines()]
        return own._replace(sockets=sockets), found
    return own._replace(sockets=sockets), _of_configuration(tree, accounts, own, effective)


def _of_configuration(tree: Tree, accounts: Accounts, own: Own, effective: Effective) -> list[Finding]:
    """What ``--check`` says; it looks at this machine and no other."""
    if not tree.is_machine:
        return []
    errors, warnings = examine.complaints(effective)
    if not errors and not warnings:
        return [fine("configuration", "nothing is wrong with the configuration")]
    return [
        *(problem("configuration", text, *_cure(text, tree, accounts, own)) for text in errors),
        *(warning("configuration", text) for text in warnings),
    ]


def _cure(text: str, tree: Tree, accounts: Accounts, own: Own) -> tuple[str, ...]:
    """The daemon makes its run directory, but none above it."""
    if text.endswith(f"{own.run_path.parent} is no directory") and not own.run_path.parent.exists():
        return cures.Cures(tree, accounts).make_directory(own.run_path, accounts.sasl_group(None))
    return (_check(own),)


def _check(own: Own) -> str:
    return cures.command_line(("pysaslauthd", "--check", *own.words))


def _no_mechanism(tree: Tree, own: Own, text: str) -> Finding:
    for path in ORIGINALS:
        if tree.has(path):
            cure = f"pysaslauthd --import {cures.quoted(path)} >>{cures.quoted(own.file)}"
            return problem(
                "no-mechanism", f"{text}: neither a flag nor {own.file} says one, but {path} does", cure
            )
    lines = own.set("mechanism", '"pam"')
    return problem("no-mechanism", f"{text}: neither a flag nor {own.file} says one", *lines)


def _default_sockets() -> tuple[Wanted, ...]:
    return (Wanted(DEFAULT_RUN_PATH / SOCKET_NAME, Look(), None, SocketTable()),)


def _user(accounts: Accounts) -> Callable[[str], int]:
    def find(name: str) -> int:
        person = accounts.person(name)
        if person is None:
            raise KeyError(name)
        return person.uid

    return find


def _group(accounts: Accounts) -> Callable[[str], int]:
    def find(name: str) -> int:
        number = accounts.group(name)
        if number is None:
            raise KeyError(name)
        return number

    return find

"""The commands that cure: lines for a shell, as an administrator of this machine would type them. No I/O but looking."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from pysaslauthd import logs
from pysaslauthd.commands.doctor.accounts import Accounts, Person
from pysaslauthd.commands.doctor.tree import Tree

OPEN_TO_GROUP = "0710"
"""The mode of a run directory that only members of its group may pass, as Debian has it."""


class Cures:
    """How things are done on the machine that ``tree`` is."""

    def __init__(self, tree: Tree, accounts: Accounts) -> None:
        self._accounts = accounts
        self._has_systemd = tree.has(Path("/run/systemd/system"))
        self._has_adduser = tree.has(Path("/usr/sbin/adduser")) and tree.has(Path("/etc/debian_version"))
        self._has_update_rc = tree.has(Path("/usr/sbin/update-rc.d"))
        self._overrides = tree.has(Path("/usr/bin/dpkg-statoverride"))

    def restart(self, unit: str) -> tuple[str, ...]:
        """Have a program read its files, and get its groups, anew."""
        return self._service("restart", unit) if unit else ()

    def start(self, unit: str) -> tuple[str, ...]:
        """Have a service run."""
        return self._service("start", unit)

    def stop_for_good(self, unit: str) -> tuple[str, ...]:
        """End a service that is not to come back with the machine."""
        if self._has_systemd:
            return (f"systemctl disable --now {unit}",)
        for_good = (f"update-rc.d {unit} disable",) if self._has_update_rc else (f"chkconfig {unit} off",)
        return (*self._service("stop", unit), *for_good)

    def _service(self, what: str, unit: str) -> tuple[str, ...]:
        return (f"systemctl {what} {unit}" if self._has_systemd else f"service {unit} {what}",)

    def join(self, person: Person, group: str) -> tuple[str, ...]:
        """Make somebody a member of a group, unless he is."""
        if self._accounts.group(group) in person.groups:
            return ()
        name, word = shlex.quote(person.name), shlex.quote(group)
        join = f"adduser {name} {word}" if self._has_adduser else f"usermod -a -G {word} {name}"
        return (*self._have_group(group), join)

    def _have_group(self, group: str) -> tuple[str, ...]:
        if self._accounts.group(group) is not None or group.isdecimal():
            return ()
        return (f"groupadd -f -r {shlex.quote(group)}",)

    def give_to_group(self, directory: Path, group: str) -> tuple[str, ...]:
        """Have only root and the group pass a directory that is there, also when it is made anew."""
        name, word = quoted(directory), shlex.quote(group)
        lines = (*self._have_group(group), f"chgrp {word} {name}", f"chmod {OPEN_TO_GROUP} {name}")
        if not self._overrides:
            return lines
        return (
            *lines,
            f"dpkg-statoverride --force-statoverride-add --add root {word} {OPEN_TO_GROUP} {name}",
        )

    def make_directory(self, directory: Path, group: str) -> tuple[str, ...]:
        """Make a run directory that only root and the group pass."""
        install = f"install -d -o root -g {shlex.quote(group)} -m {OPEN_TO_GROUP} {quoted(directory)}"
        return (*self._have_group(group), install)


def comment(text: str) -> str:
    """What no command can do. A name in it, which may be anybody's, begins no line of its own."""
    return f"# {logs.escaped(text, delimiters='')}"


def quoted(path: Path) -> str:
    """A path as a word of a shell."""
    return shlex.quote(str(path))


def append(path: Path, *lines: str) -> tuple[str, ...]:
    """Lines at the end of a file, which need not be there nor end with a newline."""
    words = " ".join(map(shlex.quote, ("", *lines)))
    return (f"printf '%s\\n' {words} >>{quoted(path)}",)


def replace_line(path: Path, number: int, line: str) -> tuple[str, ...]:
    """Another text in place of a line."""
    return _sed(path, f"{number}c", line)


def insert_first(path: Path, line: str) -> tuple[str, ...]:
    """A line at the beginning of a file that is not empty."""
    return _sed(path, "1i", line)


def insert_behind(path: Path, number: int, line: str) -> tuple[str, ...]:
    """A line behind another."""
    return _sed(path, f"{number}a", line)


def _sed(path: Path, command: str, line: str) -> tuple[str, ...]:
    script = command + "\\" + line.replace("\\", "\\\\")
    return (f"sed -i {shlex.quote(script)} {quoted(path)}",)


def command_line(words: Sequence[str]) -> str:
    """Words as somebody would type them."""
    return shlex.join(words)

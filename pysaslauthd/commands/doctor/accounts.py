"""Users and groups: the machine's, or those of the files below another root."""

import abc
import grp
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor.tree import Tree

SASL_GROUPS = ("sasl", "saslauth")
"""Whose members may ask: Debian's, Red Hat's."""


_NUMBER = re.compile(r"[0-9]{1,10}")


class Person(NamedTuple):
    """A user with all of his groups."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]


class Accounts(abc.ABC):
    """Who is who."""

    @abc.abstractmethod
    def person(self, name: str) -> Person | None:
        """The user of this name."""

    @abc.abstractmethod
    def group(self, name: str) -> int | None:
        """The number of a group."""

    @abc.abstractmethod
    def group_name(self, gid: int) -> str:
        """What a group is called; its number, if nothing."""

    @abc.abstractmethod
    def user_name(self, uid: int) -> str:
        """What a user is called; his number, if nothing."""

    def first(self, names: Iterable[str]) -> Person | None:
        """The first of the users that there is."""
        return next((person for name in names if (person := self.person(name)) is not None), None)

    def sasl_group(self, person: Person | None) -> str:
        """The group by which clients are let in here: the distribution's, or the person's own."""
        for name in SASL_GROUPS:
            if self.group(name) is not None:
                return name
        return self.group_name(person.gid) if person else SASL_GROUPS[0]


class _Machine(Accounts):
    """By whatever ``nsswitch.conf`` names."""

    def person(self, name: str) -> Person | None:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        groups = frozenset(os.getgrouplist(name, entry.pw_gid))
        return Person(name, entry.pw_uid, entry.pw_gid, groups)

    def group(self, name: str) -> int | None:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def group_name(self, gid: int) -> str:
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return str(gid)

    def user_name(self, uid: int) -> str:
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)


class _Files(Accounts):
    """By ``/etc/passwd`` and ``/etc/group`` of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._users = {row[0]: (int(row[2]), int(row[3])) for row in _rows(tree, "passwd", 4, (2, 3))}
        groups = list(_rows(tree, "group", 4, (2,)))
        self._groups = {row[0]: int(row[2]) for row in groups}
        self._members = {int(row[2]): set(row[3].split(",")) for row in groups}

    def person(self, name: str) -> Person | None:
        if name not in self._users:
            return None
        uid, gid = self._users[name]
        more = {number for number, members in self._members.items() if name in members}
        return Person(name, uid, gid, frozenset({gid, *more}))

    def group(self, name: str) -> int | None:
        return self._groups.get(name)

    def group_name(self, gid: int) -> str:
        return next((name for name, number in self._groups.items() if number == gid), str(gid))

    def user_name(self, uid: int) -> str:
        return next((name for name, (number, _) in self._users.items() if number == uid), str(uid))


def accounts_of(tree: Tree) -> Accounts:
    """Those that count there."""
    return _Machine() if tree.is_machine else _Files(tree)


def _rows(tree: Tree, name: str, least: int, numbers: tuple[int, ...]) -> Iterable[list[str]]:
    for line in (tree.read(Path("/etc", name)) or "").splitlines():
        row = line.split(":")
        if len(row) >= least and all(_NUMBER.fullmatch(row[number]) for number in numbers):
            yield row

"""The sockets that the settings ask for: names looked up, those that are there kept, the others made."""

import grp
import os
import pwd
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import LONGEST_SOCKET_PATH
from pysaslauthd.config.socket_tables import SocketTable
from pysaslauthd.core.entrance import Access
from pysaslauthd.logs import log
from pysaslauthd.master import places
from pysaslauthd.master.activation import InheritedSocket
from pysaslauthd.master.entrances import Entrances, Listened
from pysaslauthd.master.mux import UNCHANGED, LiveSocketError, Look, MuxSocket, OwnSocket
from pysaslauthd.master.places import UnsafePlaceError
from pysaslauthd.master.runpath import RunPathError

CONTROL_MODE = 0o600


class UnknownNameError(Exception):
    """Nobody is called so, two sockets are one, or one may not be asked; a line for each, with file and line where it has them."""


class Wanted(NamedTuple):
    """A socket as a table asks for it, in numbers."""

    path: Path
    look: Look
    access: Access | None
    table: SocketTable


class Names(NamedTuple):
    """How the numbers of users and groups are found; each raises KeyError for a name that nobody has."""

    user: Callable[[str], int]
    group: Callable[[str], int]


def wanted(options: Options, names: Names | None = None) -> tuple[Wanted, ...]:
    """The sockets that the settings ask for, with this machine's ``names`` or others.

    :raises UnknownNameError: there is no such user or group, two are the same by a link, or another daemon's may not be asked.
    """
    lookup = _Lookup(names or Names(_user, _group))
    tables = options.sockets or (SocketTable(),)
    sockets = tuple(lookup.wanted(table, options.default_socket) for table in tables)
    seen: dict[Path, Wanted] = {}
    for each in sockets:
        first = seen.setdefault(_real(each.path), each)
        if first is not each:
            lookup.errors.append(
                f"{each.table.origin_of('path')}: socket.path: {each.path} leads to {_real(each.path)}, "
                f"as that of {first.table.origin_of('path')} does"
            )
    lookup.errors += _unfit(options, seen)
    if lookup.errors:
        raise UnknownNameError("\n".join(lookup.errors))
    return sockets


def _unfit(options: Options, ours: Container[Path]) -> Iterator[str]:
    """A line for each socket of another daemon that is our own, or that somebody could put another in the place of."""
    for each in options.pools():
        path = each.asked_socket
        if path is None:
            continue
        real = Path(os.path.realpath(path))  # it may be a link itself, which connecting follows
        if real in ours:
            yield f"{each.row.asks}: {path} is a socket of this daemon, which would ask itself"
        try:
            for place in (path, real):
                _make_sure_of_all_there(place)
        except UnsafePlaceError as error:
            yield f"{each.row.asks}: {error} and be told passwords"


def _make_sure_of_all_there(path: Path) -> None:
    """As :func:`places.make_sure_of`, of the last directory to ``path`` that is there already."""
    for directory in path.parents:
        try:
            places.make_sure_of(directory)
        except FileNotFoundError:
            continue
        except OSError:
            pass  # not to be looked at by this user, or none; who asks says so
        return


def made(
    sockets: Iterable[Wanted],
    inherited: tuple[InheritedSocket, ...],
    before: Entrances | None = None,
    *,
    control: Path | None = None,
) -> Entrances:
    """Sockets to listen on: those that were handed to us, those that ``before`` has already, the others made.

    ``control`` is where administrators are to ask. Logins do not depend on that, so it is no error if it cannot be made.

    :raises LiveSocketError: somebody answers on one.
    :raises RunPathError: one cannot be made. None is left of those that were.
    """
    given = {each.path: each for each in inherited if each.path is not None}
    here = {
        _real(each.mux.path): each.mux
        for each in before or ()
        if isinstance(each.mux, OwnSocket) and not each.is_control
    }
    listened: list[Listened] = []
    fresh: list[OwnSocket] = []
    for each in sockets:
        real = _real(each.path)
        if inherited and (real in given or not each.table.origins):
            continue
        mux = here.get(real)
        if mux is None:
            try:
                mux = OwnSocket(each.path, each.look)
            except (LiveSocketError, RunPathError):
                for one in fresh:
                    one.remove()
                    one.socket.close()
                raise
            fresh.append(mux)
        listened.append(Listened(mux, each.look, each.access))
    tables = {_real(each.path): each for each in sockets if each.table.origins}
    for handed in inherited:
        table = tables.get(handed.path) if handed.path is not None else None
        if table is not None and table.look != Look():
            log.warning(
                f"{table.table.origin}: owner, group and mode of {handed.name} have no effect: another made it"
            )
        listened.append(Listened(handed, access=table.access if table else None))
    return Entrances((*listened, *_control(control, before)))


def _control(path: Path | None, before: Entrances | None) -> Iterator[Listened]:
    """The control socket, if there is to be one and it can be made, or is there."""
    there = [each for each in before or () if each.is_control]
    if there or path is None:
        yield from there
        return
    look = Look(mode=CONTROL_MODE)
    try:
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            raise RunPathError(f"{path} has more than {LONGEST_SOCKET_PATH} bytes")
        mux = OwnSocket(path, look)
    except LiveSocketError:
        log.error(f"no control socket: another program listens on {path}")
    except RunPathError as error:
        log.error(f"no control socket: {': '.join(str(error).splitlines())}")
    else:
        yield Listened(mux, look, Access(frozenset({0, os.geteuid()}), frozenset()), is_control=True)


def announce(now: Entrances, before: Entrances | None = None) -> None:
    """Say in the log where we listen, if not all know it."""
    known: set[MuxSocket] = {each.mux for each in before or ()}
    for each in now:
        if each.mux not in known and each.is_control:
            log.debug(f"control socket: {each.mux.name}")
        elif each.mux not in known:
            log.info(f"listening on socket: {each.mux.name}")


def _real(path: Path) -> Path:
    """``path`` by a directory without links; the socket itself may be none."""
    return Path(os.path.realpath(path.parent)) / path.name


class _Lookup:
    """Looks up all names, and gathers those that nobody has."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.errors: list[str] = []

    def wanted(self, table: SocketTable, default: Path) -> Wanted:
        """A table, in numbers."""
        users, groups = self._users(table), self._groups(table)
        return Wanted(
            table.path or default,
            Look(
                self._number(table, "owner", table.owner, self._names.user),
                self._number(table, "group", table.group, self._names.group),
                table.mode,
            ),
            Access(users, groups) if table.allow_users or table.allow_groups else None,
            table,
        )

    def _users(self, table: SocketTable) -> frozenset[int]:
        return frozenset(
            self._number(table, "allow_users", name, self._names.user) for name in sorted(table.allow_users)
        )

    def _groups(self, table: SocketTable) -> frozenset[int]:
        return frozenset(
            self._number(table, "allow_groups", name, self._names.group)
            for name in sorted(table.allow_groups)
        )

    def _number(self, table: SocketTable, key: str, name: str | None, find: Callable[[str], int]) -> int:
        if name is None:
            return UNCHANGED
        if name.isdecimal():
            return int(name)
        try:
            return find(name)
        except KeyError:
            kind = "user" if find is self._names.user else "group"
            self.errors.append(f"{table.origin_of(key)}: socket.{key}: no {kind} {name} here")
            return UNCHANGED


def _user(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return grp.getgrnam(name).gr_gid

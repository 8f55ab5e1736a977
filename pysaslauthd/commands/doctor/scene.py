"""Who asks where, who listens there, and who is let in: the facts that the checks of sockets are about."""

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor.accounts import Accounts, Person
from pysaslauthd.commands.doctor.cures import Cures
from pysaslauthd.commands.doctor.listeners import Listener, listener_on
from pysaslauthd.commands.doctor.own import USUAL_SOCKETS, Own
from pysaslauthd.commands.doctor.programs import Client
from pysaslauthd.commands.doctor.tree import Tree, Way
from pysaslauthd.commands.sockets import Wanted


class Spot(NamedTuple):
    """A socket of ours, or a place where one is looked for, by the name that an administrator has for it."""

    path: Path
    way: Way
    listener: Listener | None = None
    served: Wanted | None = None
    """The socket of ours that this is, by whatever name."""

    @property
    def is_directory(self) -> bool:
        """Whether there is a directory in place of a socket."""
        return self.way.end is not None and stat.S_ISDIR(self.way.end.mode)


class Asked(NamedTuple):
    """A client, and where it looks. ``person`` is who it runs as, if there is one that can be known."""

    client: Client
    spot: Spot
    person: Person | None


class Scene(NamedTuple):
    """All facts about sockets."""

    own: Own
    accounts: Accounts
    cures: Cures
    sockets: tuple[Spot, ...]
    """Ours."""
    asked: tuple[Asked, ...]
    elsewhere: tuple[Spot, ...]
    """Usual places that are none of ours, with somebody who listens."""
    people: tuple[Person, ...]
    """Named users who are to be let in."""


class _Look:
    """Looks at sockets of a tree."""

    def __init__(self, tree: Tree, own: Own) -> None:
        self._tree = tree
        self._own = {tree.real(each.path): each for each in own.sockets}

    def spot(self, path: Path, jail: Path | None = None) -> Spot:
        """The socket ``path`` of who has his root at ``jail``."""
        tree = self._tree if jail is None else self._tree.below(jail)
        real = tree.real(path)
        listener = None
        if self._tree.is_machine:
            with contextlib.suppress(PermissionError):
                listener = listener_on(real)
        return Spot(tree.shown_as(path), tree.way(path), listener, self._served(real))

    def _served(self, real: Path) -> Wanted | None:
        """Ours by the same name, or by a directory that is mounted in a second place."""
        found = self._own.get(real)
        if found is not None:
            return found
        for path, each in self._own.items():
            with contextlib.suppress(OSError):
                if path.name == real.name and path.parent.samefile(real.parent):
                    return each
        return None


def scene_of(
    tree: Tree, own: Own, accounts: Accounts, clients: Iterable[Client], people: Iterable[Person]
) -> Scene:
    """Look at all sockets that have to do with us."""
    look = _Look(tree, own)
    asked = tuple(
        Asked(client, look.spot(client.socket, client.jail), accounts.first(client.users))
        for client in clients
    )
    places = {tree.real(each.spot.path) for each in asked}
    usual = (look.spot(path) for path in USUAL_SOCKETS if tree.real(path) not in places)
    return Scene(
        own,
        accounts,
        Cures(tree, accounts),
        tuple(look.spot(each.path) for each in own.sockets),
        asked,
        tuple(spot for spot in usual if spot.listener is not None and spot.served is None),
        tuple(people),
    )

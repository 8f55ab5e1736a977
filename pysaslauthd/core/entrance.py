"""Where clients come by, and who may: what the master says of a socket to the front that accepts there."""

import socket
from collections.abc import Iterable
from typing import NamedTuple


class Access(NamedTuple):
    """The users and groups whose processes may ask. Nobody else may, root no more than others."""

    users: frozenset[int]
    groups: frozenset[int]

    def admits(self, user: int, groups: Iterable[int]) -> bool:
        """Whether a process of this user and these groups may."""
        return user in self.users or not self.groups.isdisjoint(groups)


class Entrance(NamedTuple):
    """A listening socket, as a front gets it."""

    socket: socket.socket
    name: str
    """What the log calls it."""
    access: Access | None = None
    """Who may ask; None for whoever can connect."""
    outlives_us: bool = False
    """Whether somebody listens on it after us, so that a client who waits in its backlog loses nothing by our end."""
    is_control: bool = False
    """Whether administrators come by it, and no logins."""

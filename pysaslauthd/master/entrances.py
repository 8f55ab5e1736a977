"""All the sockets of a plan, and what becomes of them when another plan takes its place."""

from collections.abc import Iterator
from typing import NamedTuple

from pysaslauthd.core.entrance import Access, Entrance
from pysaslauthd.logs import log
from pysaslauthd.master.mux import Look, MuxSocket
from pysaslauthd.master.runpath import RunPathError


class Listened(NamedTuple):
    """A socket, and what the plan wants of it. Two plans may share it."""

    mux: MuxSocket
    look: Look = Look()
    access: Access | None = None
    is_control: bool = False
    """Whether administrators come by it, and no logins."""


class Entrances:
    """The sockets of one plan."""

    def __init__(self, listened: tuple[Listened, ...]) -> None:
        self._listened = listened
        self._broken: list[Listened] = []
        """On which nobody can listen until they are repaired."""

    def __iter__(self) -> Iterator[Listened]:
        return iter(self._listened)

    @property
    def for_a_front(self) -> tuple[Entrance, ...]:
        """What a front gets."""
        return tuple(
            Entrance(each.mux.socket, each.mux.name, each.access, each.mux.outlives_us, each.is_control)
            for each in self
            if each not in self._broken
        )

    @property
    def outlives_us(self) -> bool:
        """Whether somebody listens on one of them after us."""
        return any(each.mux.outlives_us for each in self)

    def repair(self) -> None:
        """See :class:`MuxSocket`. Without one that administrators come by logins are answered all the same."""
        self._broken.clear()
        for each in self:
            try:
                each.mux.repair()
            except RunPathError as error:
                if not each.is_control:
                    raise
                log.error(f"no control socket: {': '.join(str(error).splitlines())}")
                self._broken.append(each)

    def remove(self) -> None:
        """See :class:`MuxSocket`."""
        for each in self:
            each.mux.remove()

    def give_up(self, others: "Entrances") -> None:
        """Remove and close the sockets that ``others`` do not share. Who waits in one is a front's that has it."""
        kept = {id(each.mux) for each in others}
        for each in self:
            if id(each.mux) not in kept:
                each.mux.remove()
                each.mux.socket.close()
                log.info(f"no longer listening on socket: {each.mux.name}")

    def settle(self) -> None:
        """Give them the owners and modes that this plan wants. One that cannot be changed stays as it was."""
        for each in self:
            try:
                each.mux.change(each.look)
            except OSError as error:
                log.error(f"the socket {each.mux.name} keeps its owner and mode: {error.strerror}")

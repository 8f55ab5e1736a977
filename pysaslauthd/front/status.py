"""How things are, for an administrator who asks."""

import os
import time
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from pysaslauthd import __version__
from pysaslauthd.core.control import Line
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.state import State
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.house import House
from pysaslauthd.front.pool import Pool


class Parts(NamedTuple):
    """The front, as far as it is asked how it is."""

    house: House
    gate: Gate
    pools: Sequence[Pool]
    entrances: Sequence[Entrance]


class Status:
    """The command ``status``. Times are seconds since the epoch."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.began = time.time()
        self.daemon = State(self.began)
        """What the master said last."""

    async def command(self, _order: Line) -> AsyncGenerator[Line, None]:
        """One line, of all that is known."""
        parts = self._parts
        yield {
            "version": __version__,
            "since": self.daemon.started,
            "front_since": self.began,
            "fronts_lost": self.daemon.fronts_lost,
            "master": os.getppid(),
            "front": os.getpid(),
            "mechanisms": [
                {"name": each.name, "workers": each.census(), "logins": each.load, "waiting": each.waiting}
                for each in parts.pools
            ],
            "clients": len(parts.house),
            "cache": parts.gate.cache_size,
            "sockets": [each.name for each in parts.entrances],
            "reloaded": self.daemon.reloaded,
            "not_reloaded": self.daemon.not_reloaded,
            "log_level": self.daemon.log_level,
        }

"""The service manager's watchdog, answered by the front and not by the master.

That the front's timers run (its ALIVE) is not enough, and that a login comes back is too much: a
worker may be busy for its whole limit by right, and a wrong password of ours every few seconds
would be noted and counted. A connection of the master's own to the mux is no proof either: who
fills the backlog would then have the daemon killed. So the front is asked to serve a client of its
own making, by all the code that serves a client and beside no limit that strangers can reach. The
master sees a verb, and no byte of the wire.
"""

from pysaslauthd.master.generation import Generation
from pysaslauthd.master.notify import ServiceManager

_SHORTEST = 0.01  # seconds between two probes, whatever was asked for


class Watchdog:
    """Asks twice as often as it has to answer. All times are monotonic seconds."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._interval = None if manager.watchdog is None else max(_SHORTEST, manager.watchdog / 2)
        self._due = 0.0

    def look(self, front: Generation | None, now: float) -> float:
        """Pass on the answer of the front that takes logins, and ask it again when it is time; when to look again."""
        if self._interval is None:
            return float("inf")
        if front is not None and not front.front_ended:
            if front.take_answer():
                self._manager.alive()
            if now >= self._due:
                front.probe()
        if now >= self._due:
            self._due = now + self._interval
        return self._due

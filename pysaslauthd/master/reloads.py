"""Which reloads are wanted, by whom, and who is to hear what came of them.

A signal asks for one at once. A front asks for an administrator, and it may have been taken over: what it
asks for begins no more often than each :data:`PAUSE` seconds. However many ask, at most one waits to begin.
"""

from pysaslauthd.master.generation import Generation

PAUSE = 1.0
"""Seconds from the beginning of one that a front asked for to that of the next."""

Asked = dict[Generation, int]
"""Whose front asks, and the number that it gave to that; the last, as what is done for it is done for those before."""


class Reloads:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether one is to begin."""
        self.not_before = 0.0
        """When that may be."""
        self._last_asked_for = float("-inf")
        self._asked: Asked = {}
        """For the one that is to begin."""
        self._awaited: Asked = {}
        """For the one that is under way."""

    def want(self) -> None:
        """A signal has come."""
        self.is_wanted = True
        self.not_before = 0.0

    def ask(self, generation: Generation, number: int) -> None:
        """A front asks for one."""
        if not self.is_wanted:
            self.is_wanted = True
            self.not_before = self._last_asked_for + PAUSE
        self._asked[generation] = number

    def begin(self, now: float) -> None:
        """The one that is wanted begins."""
        self.is_wanted = False
        if self._asked:
            self._last_asked_for = now
        self._awaited, self._asked = self._asked, {}

    def ended(self, why_not: str) -> None:
        """What is under way has come to its end; ``why_not`` is empty if what was asked for is in force."""
        awaited, self._awaited = self._awaited, {}
        for generation, number in awaited.items():
            generation.reloaded(number, why_not)

    def give_up(self, why: str) -> None:
        """There will be none any more, and whoever asked hears why."""
        self.is_wanted = False
        self._awaited |= self._asked
        self._asked = {}
        self.ended(why)

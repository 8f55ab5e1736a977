"""What a mechanism notes of a login that is to be explained. Neither a password nor a hash is ever part of it."""

import time

from pysaslauthd.core import steps
from pysaslauthd.core.answer import Answer
from pysaslauthd.core.messages import MOST_DETAILS
from pysaslauthd.core.steps import Step


class Steps:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._steps: list[Step] = []
        self._more = 0

    def note(self, text: str) -> None:
        """Something came to pass."""
        if len(self._steps) < MOST_DETAILS - 1:
            self._steps.append(Step((time.monotonic() - self._began) * 1000, text))
        else:
            self._more += 1

    def of(self, answer: Answer) -> Answer:
        """The answer, with the steps as its details."""
        if self._more:
            self._steps.append(Step((time.monotonic() - self._began) * 1000, f"and {self._more} steps more"))
            self._more = 0
        return answer._replace(details=tuple(map(steps.encode, self._steps)))

"""What a worker expects of a mechanism."""

from typing import Protocol

from pysaslauthd.core.answer import Answer
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.steps import Steps


class Mechanism(Protocol):
    """Checks one password at a time, in a process of its own that may block."""

    def check(self, identity: Identity, password: Secret) -> Answer:
        """Whether ``password`` is that of ``identity``.

        What went wrong on our side is an UNAVAILABLE answer, not an exception; an exception is a
        bug, and the worker makes the login UNAVAILABLE for it.
        """

    def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """The same, with a note of each step. With an empty password the answer is what can be said without one.

        ACCEPT means then that nothing speaks against the login so far.
        """


class ConcurrentMechanism(Protocol):
    """Checks many passwords at a time, on one event loop, where nothing may block."""

    @property
    def is_spent(self) -> bool:
        """Whether this process is of no use any more, so that it is to be replaced."""

    def begin(self) -> None:
        """Called once, on the loop, before the first login."""

    async def check(self, identity: Identity, password: Secret) -> Answer:
        """As :meth:`Mechanism.check`. It is cancelled when the login's time is over."""

    async def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """As :meth:`Mechanism.explain`, and cancelled as well."""

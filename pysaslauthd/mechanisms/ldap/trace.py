"""Who wants to know what is done for the login of this task: nobody, but where one is to be explained.

Each login is a task, and tasks do not see each other's, so it need not be handed down to whatever has
something to say.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from pysaslauthd.mechanisms.steps import Steps

_steps: ContextVar[Steps | None] = ContextVar("steps", default=None)


def explained() -> Steps | None:
    """What takes the steps of this login, if anything does. Ask before a text is made for it."""
    return _steps.get()


@contextlib.contextmanager
def explaining(steps: Steps) -> Iterator[None]:
    """Have ``steps`` take them, for what this task does meanwhile."""
    token = _steps.set(steps)
    try:
        yield
    finally:
        _steps.reset(token)

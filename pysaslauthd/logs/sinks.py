"""A place where lines go. Delivery never waits: a full ``/dev/log`` or a stopped terminal would otherwise stop every login.

What does not fit is counted, and the count is logged as soon as lines flow again.
"""

from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.formats import SASLAUTHD, Format


class Sink:
    """One place. Subclasses try once, without waiting."""

    def __init__(self, name: str, form: Format = SASLAUTHD) -> None:
        self._name = name
        self._form = form
        self._lost = 0

    def write(self, entry: Entry) -> None:
        """Deliver its line, or count it as lost."""
        if self._lost:
            notice = Entry("warning", f"{self._lost} log lines were lost, {self._name} did not take them")
            if not self._deliver(notice):
                self._lost += 1
                return
            self._lost = 0
        if not self._deliver(entry):
            self._lost += 1

    def reopen(self) -> None:
        """Get a descriptor of this process's own, after a fork."""

    def close(self) -> None:
        """Close what this sink opened."""

    def _deliver(self, entry: Entry) -> bool:
        raise NotImplementedError

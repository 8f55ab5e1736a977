"""What is wrong with a file, in lines for a person. A file of another kind, named by mistake, must not fill the log."""

MOST_MESSAGES = 50
"""Errors that are told of one file, and warnings."""

LONGEST_MESSAGE = 500
LONGEST_SHOWN = 80
"""Characters of a message, and of a value in it."""


class Complaints:
    """The first messages on the file ``source``, none of them long; those after them are counted."""

    def __init__(self, source: str, kind: str) -> None:
        self._source = source
        self._kind = kind
        self._texts: list[tuple[int, str]] = []
        self._untold = 0

    def add(self, number: int, text: str) -> None:
        """Say something of line ``number``."""
        if self.is_full:
            self._untold += 1
        else:
            self._texts.append((number, f"{self._source}:{number}: {text[:LONGEST_MESSAGE]}"))

    @property
    def is_full(self) -> bool:
        """Whether what comes now is only counted."""
        return len(self._texts) >= MOST_MESSAGES

    def all(self) -> list[str]:
        """The messages, by their lines."""
        texts = [text for _, text in sorted(self._texts, key=lambda each: each[0])]
        return [*texts, f"{self._source}: {self._untold} more {self._kind}"] if self._untold else texts


def cut(text: str) -> str:
    """``text``, or the begin of it if it is long."""
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."

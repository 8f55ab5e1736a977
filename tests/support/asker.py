"""Who asks, played by a test."""

from pysaslauthd.core.answer import Answer
from pysaslauthd.front.ticket import Caller


class PlayedAsker:
    """Waits for ever, and keeps what it hears."""

    caller = Caller((0x9F3C01 << 40) + 26, 4711, 105)
    asked_at = 0.0

    def __init__(self) -> None:
        self.heard: list[Answer] = []

    def may_wait(self) -> bool:
        return True

    def is_there(self) -> bool:
        return True

    def hear(self, answer: Answer) -> None:
        self.heard.append(answer)

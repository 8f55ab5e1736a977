"""The log of a module, played by a test."""

from collections.abc import Mapping


class PlayedLog:
    """Keeps the texts of errors, each of which begins with a count that it names."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def error(self, text: str, extra: Mapping[str, object]) -> None:
        assert text.split(maxsplit=1)[0] == str(extra["count"])
        self.texts.append(text)

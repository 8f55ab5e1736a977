"""Two daemons asked the same, and where they do not agree."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from support.exchanges import Exchange


class Pair(NamedTuple):
    """The original and ours, by what each says to an exchange."""

    reference: Callable[[Exchange], str]
    ours: Callable[[Exchange], str]


class Answer(NamedTuple):
    """What each says to the same bytes."""

    exchange: Exchange
    reference: str
    ours: str


def ask(exchanges: Iterable[Exchange], pair: Pair) -> list[Answer]:
    return [Answer(exchange, pair.reference(exchange), pair.ours(exchange)) for exchange in exchanges]


def unmeant(answers: Iterable[Answer], is_meant: Callable[[Exchange, str, str], bool]) -> list[str]:
    """The disagreements that no list of differences explains, in words."""
    return [
        f"{exchange.name}: the original says {reference}, ours says {ours}"
        for exchange, reference, ours in answers
        if reference != ours and not is_meant(exchange, reference, ours)
    ]

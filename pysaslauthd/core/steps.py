"""What a mechanism did for a login that is to be explained, as lines among the details of its answer."""

from typing import NamedTuple


class Step(NamedTuple):
    """What came to pass, and the milliseconds since the mechanism had the login."""

    milliseconds: float
    text: str


def encode(step: Step) -> str:
    """As a line."""
    return f"{step.milliseconds:.1f} {step.text}"


def decode(line: str) -> Step:
    """What a line says; one that has no time is a text all the same."""
    time, _, text = line.partition(" ")
    try:
        return Step(float(time), text)
    except ValueError:
        return Step(0.0, line)

"""Settings as lines of a configuration file, each with who gave it."""

from collections.abc import Iterable, Iterator

from pysaslauthd.config.declared import Declared

_COLUMN = 48
"""Where the origins begin."""


def written(values: Iterable[tuple[Declared, object, str]]) -> Iterator[str]:
    """A line for each setting. What is not set, or is not to be said in TOML, is a comment."""
    for declared, value, origin in values:
        if value is None and declared.default is None:
            line = f"# {declared.name} is not set"
        elif text := declared.in_toml(value):
            line = f"{declared.name} = {text}"
        else:
            line = f"# {declared.name} is not UTF-8, as TOML has to be"
        yield f"{line:<{_COLUMN}}  # {origin}"

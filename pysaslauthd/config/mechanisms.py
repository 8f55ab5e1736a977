"""The table of mechanisms: what master and front have to know of each, as data.

Neither ever looks at a mechanism itself, so there is no ``if mechanism ==`` anywhere: how many
logins a worker takes at a time, when it is replaced and what it may keep of root's powers all come
from here.
"""

from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config.settings import Settings


class SettingFile(NamedTuple):
    """A file that a setting names, or the system's if it is not set."""

    setting: str
    default: Path

    def path(self, settings: Settings) -> Path:
        """The path that counts under ``settings``."""
        value: Path | None = getattr(settings, self.setting)
        return value or self.default


class Mechanism(NamedTuple):
    """One row. ``module`` holds a class ``Worker``; the master imports it before the first fork."""

    name: str
    module: str
    reads: tuple[SettingFile, ...]
    """Files that a worker reads at each login; of what root may, it keeps the right to read them."""
    uses_option: bool
    """Whether ``-O`` means something to it."""
    concurrency: int
    """Logins that one worker has in hand at a time."""
    share: int
    """Logins after which a worker is replaced."""


MECHANISMS = {
    row.name: row
    for row in (
        Mechanism(
            name="shadow",
            module="pysaslauthd.mechanisms.shadow",
            reads=(SettingFile("shadow_file", Path("/etc/shadow")),),
            uses_option=False,
            concurrency=1,
            share=100_000,
        ),
    )
}

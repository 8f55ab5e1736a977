"""The table of mechanisms: what master and front have to know of each, as data.

Neither ever looks at a mechanism itself, so there is no ``if mechanism ==`` anywhere: how many
logins a worker takes at a time, when it is replaced and what it may keep of root's powers all come
from here.
"""

import enum
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config.settings import MOST_PROXY_CONNECTIONS, SettingError, Settings, did_you_mean


class SettingFile(NamedTuple):
    """A file that a setting names, or the system's if it is not set."""

    setting: str
    """Its name, or nothing for a file that no setting changes."""
    default: Path

    def path(self, settings: Settings) -> Path:
        """The path that counts under ``settings``."""
        value: Path | None = getattr(settings, self.setting) if self.setting else None
        return value or self.default


class Privilege(enum.Enum):
    """What a worker that root started keeps of it."""

    READ_FILES = enum.auto()
    """The right to read the mechanism's files, by a group or by a capability; nothing else."""
    ALL = enum.auto()
    """Everything, in a session of its own: what it calls expects root, and may start processes."""


class Mechanism(NamedTuple):
    """One row. ``module`` holds a class ``Worker``; the master imports it before the first fork."""

    name: str
    module: str
    privilege: Privilege
    reads: tuple[SettingFile, ...]
    """Files that a worker reads at each login; of what root may, it keeps the right to read them."""
    watches: tuple[SettingFile, ...]
    """Files whose change may make a password wrong that was right."""
    uses_realm: bool
    """Whether the realm of a request is part of whom it looks up; else it is not looked at."""
    names_service_files: bool
    """Whether the service of a request becomes the name of a file."""
    is_elastic: bool
    """Whether more workers help when logins wait: they do where a worker waits, not where it computes."""
    configuration: Path | None
    """The file that says how, unless ``-O`` names another; the master copies it for the workers."""
    concurrency: int
    """Logins that one worker can have in hand at a time; above 1 it has them on an event loop."""
    most_kept: int | None
    """Workers kept ready, whatever ``-n`` says; None where only more workers do more logins at a time."""
    share: int
    """Logins after which a worker is replaced."""
    asks: str = ""
    """The setting that names the socket of another daemon, which is asked; nothing for none."""
    bound: str = ""
    """The setting that has a worker hold fewer logins than it can; nothing for none."""

    @property
    def computes(self) -> bool:
        """Whether a worker that is busy keeps a processor busy."""
        return self.concurrency == 1 and not self.is_elastic

    @property
    def uses_option(self) -> bool:
        """Whether ``-O`` means something to it."""
        return self.configuration is not None or bool(self.asks)


_ACCOUNTS = (SettingFile("", Path("/etc/shadow")), SettingFile("", Path("/etc/passwd")))

MECHANISMS = {
    row.name: row
    for row in (
        Mechanism(
            name="ldap",
            module="pysaslauthd.mechanisms.ldap.mechanism",
            privilege=Privilege.READ_FILES,
            reads=(),
            watches=(),
            uses_realm=True,
            names_service_files=False,
            is_elastic=False,
            configuration=Path("/etc/saslauthd.conf"),
            concurrency=512,
            most_kept=2,  # one does all; the second is there while the first is replaced
            share=100_000,
        ),
        Mechanism(
            name="pam",
            module="pysaslauthd.mechanisms.pam",
            privilege=Privilege.ALL,
            reads=(),
            watches=_ACCOUNTS,
            uses_realm=False,
            names_service_files=True,
            is_elastic=True,
            configuration=None,
            concurrency=1,
            most_kept=None,
            share=200,  # modules leak, as Dovecot knows, whose workers serve 100
        ),
        Mechanism(
            name="proxy",
            module="pysaslauthd.mechanisms.proxy",
            privilege=Privilege.READ_FILES,
            reads=(),
            watches=(),
            uses_realm=True,
            names_service_files=False,
            is_elastic=False,
            configuration=None,
            concurrency=MOST_PROXY_CONNECTIONS,
            most_kept=1,  # or there would be twice as many connections
            share=100_000,
            asks="proxy_socket",
            bound="proxy_connections",
        ),
        Mechanism(
            name="shadow",
            module="pysaslauthd.mechanisms.shadow",
            privilege=Privilege.READ_FILES,
            reads=(SettingFile("shadow_file", Path("/etc/shadow")),),
            watches=(SettingFile("shadow_file", Path("/etc/shadow")), _ACCOUNTS[1]),
            uses_realm=False,
            names_service_files=False,
            is_elastic=False,
            configuration=None,
            concurrency=1,
            most_kept=None,
            share=100_000,
        ),
    )
}

COMPARISON = MECHANISMS["proxy"]._replace(name="compare", asks="compare")
"""Of the workers that ask another daemon what ours has answered; nobody is let in by them, so it is in no table."""


def read_mechanisms(text: str) -> tuple[Mechanism, ...]:
    """The rows of mechanisms, by their names in any case, with commas between."""
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in MECHANISMS:
            raise SettingError(f"one of {', '.join(MECHANISMS)}", did_you_mean(name, MECHANISMS))
    if len(set(names)) < len(names):
        raise SettingError("each mechanism once")
    return tuple(MECHANISMS[name] for name in names)

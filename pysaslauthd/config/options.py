"""Everything that a generation starts with: what saslauthd's flags set, and the settings that are ours alone.

A field of :class:`Options` is declared as one of :class:`Settings` is, and with the flag that sets it.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pysaslauthd.config.chain_tables import ChainTable
from pysaslauthd.config.mechanisms import COMPARISON, MECHANISMS, Mechanism, read_mechanisms
from pysaslauthd.config.settings import (
    SettingError,
    Settings,
    count_between,
    read_duration,
    read_path,
    read_size,
    read_switch,
)
from pysaslauthd.config.socket_tables import SocketTable

EXIT_FAILURE = 1
EXIT_ALREADY_RUNNING = 2
EXIT_USAGE = 64

DEFAULT_RUN_PATH = Path("/run/saslauthd")
"""Red Hat's; Debian's ``/var/run/saslauthd`` is the same directory by another name."""

SOCKET_NAME = "mux"
"""Of the socket in the run path."""

DEFAULT_USER = "pysaslauthd"
DEFAULT_PROCESSES = 5
MOST_PROCESSES = 10_000
DEFAULT_CACHE_TIMEOUT = 28_800.0


class OptionError(Exception):
    """What was given is understood and cannot be; a line for each thing that is wrong."""


class Flag(NamedTuple):
    """How saslauthd's command line gives a setting."""

    letter: str
    argument: str = ""
    """What its argument is; nothing for a switch, which is on when given."""
    complaint: str = ""
    """The original's words for an argument that cannot be; ``{found}`` and ``{hint}`` may be in them."""
    read: Callable[[str], object] | None = None
    """How its argument is read, where the original's unit is not ours."""


def read_user(text: str) -> str:
    """The name of a user; whether there is one is seen at the start."""
    if not text.strip():
        raise SettingError("the name of a user")
    return text.strip()


def read_lifetime(text: str) -> float:
    """Seconds, or infinity for ``never``."""
    if text.strip().lower() in {"never", "inf"}:
        return math.inf
    try:
        return read_duration(text)
    except SettingError:
        raise SettingError("a time above zero, such as 8h or 30m, or never") from None


def _read_lifetime_flag(text: str) -> float:
    """The original's: whole seconds, and a negative number for ever."""
    seconds = int(text) if re.fullmatch(r"\s*[+-]?\d{1,12}\s*", text, re.ASCII) else 0
    if not seconds:
        raise SettingError("seconds")
    return float(seconds) if seconds > 0 else math.inf


def read_cache_size(text: str) -> int:
    """Bytes. What is less than a KiB was meant in the unit of ``-s``."""
    try:
        size = read_size(text)
    except SettingError:
        size = 0
    if size < 1024:
        raise SettingError("a size of at least 1 KiB, such as 963KiB or 4MiB")
    return size


def _read_cache_size_flag(text: str) -> int:
    return count_between(1, 999_999_999)(text) << 10


def _option(
    default: object,
    read: Callable[[str], object],
    explanation: str,
    flag: Flag,
    *,
    needs_restart: bool = False,
) -> Any:
    """A field that ``flag`` sets. Without a default (``...``) it has to be given."""
    metadata = {"read": read, "explanation": explanation, "flag": flag, "needs_restart": needs_restart}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What counts, whoever said it. Paths are absolute, times in seconds, sizes in bytes."""

    mechanism: tuple[Mechanism, ...] = _option(
        ...,
        read_mechanisms,
        "selects the authentication mechanism to use; several, with commas between, are asked in turn",
        Flag(
            "a",
            "mech",
            f"unknown authentication mechanism: {{found}}{{hint}}\nthis version has: {' '.join(MECHANISMS)}"
            "; saslauthd's others by asking it: -a proxy",
        ),
        needs_restart=True,
    )
    mechanism_option: str | None = _option(
        None, str, "optional argument to pass to the mechanism", Flag("O", "option")
    )
    run_path: Path = _option(
        DEFAULT_RUN_PATH,
        read_path,
        f"directory of the socket and pid file, default {DEFAULT_RUN_PATH}",
        Flag("m", "path", "-m requires an absolute pathname"),
        needs_restart=True,
    )
    processes: int = _option(
        DEFAULT_PROCESSES,
        count_between(0, MOST_PROCESSES),
        f"worker processes, default {DEFAULT_PROCESSES}; 0: a fresh one for each login",
        Flag("n", "procs", "invalid number of worker processes defined"),
    )
    cache: bool = _option(False, read_switch, "enable credential caching", Flag("c"))
    cache_size: int | None = _option(
        None,
        read_cache_size,
        "size of the credential cache",
        Flag("s", "kilobytes", "cache size must be positive and non zero", _read_cache_size_flag),
    )
    cache_timeout: float = _option(
        DEFAULT_CACHE_TIMEOUT,
        read_lifetime,
        f"lifetime of a cached credential, default {DEFAULT_CACHE_TIMEOUT:.0f}",
        Flag("t", "seconds", "cache timeout must be positive", _read_lifetime_flag),
    )
    verbose: bool = _option(
        False, read_switch, "log details and successful logins", Flag("V"), needs_restart=True
    )
    user: str = _option(
        DEFAULT_USER,
        read_user,
        f"whose rights the unprivileged parts have, default {DEFAULT_USER}",
        Flag("u", "name", "-u requires the name of a user"),
    )
    foreground: bool = False
    settings: Settings = Settings()
    sockets: tuple[SocketTable, ...] = ()
    """Of the configuration file. Without any there is one, with the defaults of all keys."""
    chains: tuple[ChainTable, ...] = ()
    """Of the configuration file: requests with mechanisms of their own."""
    warnings: tuple[str, ...] = ()

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """All that any request is asked of, each once."""
        rows = (*self.mechanism, *(row for table in self.chains for row in table.mechanism))
        return tuple({row.name: row for row in rows}.values())

    def split(self) -> "tuple[Options, ...]":
        """The same for each of all mechanisms alone."""
        return tuple(self._alone(row) for row in self.mechanisms)

    @property
    def comparing(self) -> "Options | None":
        """The same for the workers that compare, if there are any."""
        return self._alone(COMPARISON) if self.settings.compare else None

    def pools(self) -> "tuple[Options, ...]":
        """The same for each kind of worker: those of the mechanisms, and last those that compare."""
        comparing = self.comparing
        return self.split() if comparing is None else (*self.split(), comparing)

    def _alone(self, row: Mechanism) -> "Options":
        return dataclasses.replace(self, mechanism=(row,), chains=())

    @property
    def row(self) -> Mechanism:
        """The mechanism of options that are for one alone; see :meth:`split`."""
        (row,) = self.mechanism
        return row

    @property
    def default_socket(self) -> Path:
        """The path of a socket that names none."""
        return self.run_path / SOCKET_NAME

    @property
    def control_socket(self) -> Path | None:
        """Where administrators ask, if anywhere."""
        place = self.settings.control_socket
        return place and self.run_path / place

    @property
    def configuration(self) -> Path | None:
        """The mechanism's configuration file, if it has one. A relative path begins at the run path, as the original's."""
        default = self.row.configuration
        return default and self.run_path / (self.mechanism_option or default)

    @property
    def asked_socket(self) -> Path | None:
        """The socket of the other daemon that the mechanism asks, if it asks one."""
        path: Path | None = getattr(self.settings, self.row.asks) if self.row.asks else None
        return path

    @property
    def workers(self) -> int:
        """How many are kept ready. Under ``-n 0``, where each serves one login, as many as by default."""
        if not self.processes:
            return DEFAULT_PROCESSES
        return min(self.processes, self.row.most_kept or self.processes)

    @property
    def concurrency(self) -> int:
        """Logins that one worker has in hand at a time."""
        if not self.processes:
            return 1
        row = self.row
        return min(row.concurrency, getattr(self.settings, row.bound)) if row.bound else row.concurrency

    @property
    def most_workers(self) -> int:
        """How many there may be while logins wait."""
        return max(self.workers, self.settings.most_workers if self.row.is_elastic else 0)

    @property
    def name_places(self) -> int:
        """Logins of one name that may be under way, as many as saslauthd could have at least."""
        return self.settings.name_places or max(DEFAULT_PROCESSES, self.processes)

    @property
    def share(self) -> int:
        """Logins after which a worker is replaced: ``-n 0`` is a share of one, not another code path."""
        return (self.settings.worker_share or self.row.share) if self.processes else 1

"""The settings that saslauthd does not have, each given as ``-o NAME=VALUE`` or in the configuration file.

A setting is a field of :class:`Settings`: its type, its default, how its value is read and one
line of explanation. :mod:`~pysaslauthd.config.declared` makes of the fields what all who read, show
or explain settings go by.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pysaslauthd.core.control import CONTROL_NAME
from pysaslauthd.core.identity import RealmPolicy, is_service_name
from pysaslauthd.core.wire import LARGEST_FIELD, Limits

LONGEST_SOCKET_PATH = 107  # bytes; sun_path less its NUL
SYSLOG, JOURNAL, STDERR = "syslog", "journal", "stderr"
"""Where lines may go, as ``log_to`` names it."""

AS_THE_ORIGINAL = frozenset({SYSLOG, STDERR})
"""What ``log_to`` means by nothing; in the background there is no standard error."""

_UNITS_OF_TIME = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_UNITS_OF_SIZE = {"": 0, "kib": 10, "k": 10, "mib": 20, "m": 20, "gib": 30, "g": 30}
MOST_PROXY_CONNECTIONS = 512

_SWITCHES = {
    "yes": True,
    "on": True,
    "true": True,
    "1": True,
    "no": False,
    "off": False,
    "false": False,
    "0": False,
}


class SettingError(ValueError):
    """A value that cannot be. The message says what was expected; ``hint`` may follow what was found."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.hint = hint


def read_duration(text: str) -> float:
    """Seconds: a number, with ``ms``, ``s``, ``m``, ``min`` or ``h`` behind it if wanted; above 0."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    unit = _UNITS_OF_TIME.get(match[2] or "s") if match else None
    if match is None or unit is None or float(match[1]) == 0:
        raise SettingError("a time above zero, such as 10s, 500ms or 2m")
    return float(match[1]) * unit


def read_duration_up_to(most: float) -> Callable[[str], float]:
    """A reader of times up to ``most`` seconds, of which 0 is one."""

    def read(text: str) -> float:
        seconds = 0.0 if re.fullmatch(r"0(\.0+)?\s*(ms|s|m|min|h)?", text.strip()) else read_duration(text)
        if seconds > most:
            raise SettingError(f"a time up to {most:g} s, or 0")
        return seconds

    return read


def read_names(text: str) -> frozenset[str]:
    """Names with commas between."""
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def read_some_of(*choices: str) -> Callable[[str], frozenset[str]]:
    """A reader of some of these names, in any case, with commas between."""

    def read(text: str) -> frozenset[str]:
        names = frozenset(name.lower() for name in read_names(text))
        if not names <= set(choices):
            raise SettingError(f"some of {', '.join(choices)}")
        return names

    return read


read_next_on = read_some_of("reject", "unknown", "unavailable")
"""After which answers of one mechanism another is asked."""


def read_size(text: str) -> int:
    """Bytes: a whole number, with ``KiB``, ``MiB`` or ``GiB`` behind it if wanted; above 0."""
    match = re.fullmatch(r"(\d{1,9})\s*([a-z]*)", text.strip().lower())
    shift = _UNITS_OF_SIZE.get(match[2]) if match else None
    if match is None or shift is None or int(match[1]) == 0:
        raise SettingError("a size above zero, such as 512KiB or 64MiB")
    return int(match[1]) << shift


def read_switch(text: str) -> bool:
    """Yes or no, in any of the usual words, in any case."""
    try:
        return _SWITCHES[text.strip().lower()]
    except KeyError:
        raise SettingError("yes or no") from None


def read_path(text: str) -> Path:
    """An absolute path: the daemon changes its directory, so a relative one would move."""
    path = Path(text)
    if not path.is_absolute():
        raise SettingError("an absolute path")
    return path


def read_path_or_none(text: str) -> Path | None:
    """An absolute path, or nothing at all for "none"."""
    return read_path(text) if text else None


def read_place(text: str) -> Path | None:
    """An absolute path, a name in the run path, or nothing at all for "none"."""
    path = Path(text)
    if not text:
        return None
    if not path.is_absolute() and text not in {path.name, os.pardir}:
        raise SettingError("an absolute path, a name in the run path, or nothing for none")
    return path


def read_textfile(text: str) -> Path:
    """An absolute path that the node exporter's textfile collector reads."""
    path = Path(text)
    if not path.is_absolute() or path.suffix != ".prom":
        raise SettingError("an absolute path that ends in .prom")
    return path


def read_socket_path(text: str) -> Path:
    """An absolute path that is not too long for a socket, less what it says twice."""
    path = Path(os.path.normpath(text))
    if not path.is_absolute() or not path.name or len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise SettingError(f"an absolute path of at most {LONGEST_SOCKET_PATH} bytes")
    return path


def read_socket_path_or_none(text: str) -> Path | None:
    """The path of a socket, or nothing at all for "none"."""
    return read_socket_path(text) if text else None


def read_service(text: str) -> str:
    """A name that may be a file in ``/etc/pam.d``."""
    if not text or not is_service_name(os.fsencode(text)):
        raise SettingError("a name without '/', a dot in front or control characters")
    return text


def count_between(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"\d{1,10}", text.strip()) else -1
        if not least <= number <= most:
            raise SettingError(f"a whole number from {least} to {most}")
        return number

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """A reader that takes one of ``choices``, in any case."""

    def read(text: str) -> str:
        if text.strip().lower() not in choices:
            raise SettingError(" or ".join(choices))
        return text.strip().lower()

    return read


def _setting(
    default: object, read: Callable[[str], object], explanation: str, *, needs_restart: bool = False
) -> Any:
    """A field. One that ``needs_restart`` keeps its value at a reload."""
    return dataclasses.field(
        default=default,
        metadata={"read": read, "explanation": explanation, "needs_restart": needs_restart},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What saslauthd has no flag for. Times are in seconds, sizes in bytes."""

    shadow_file: Path | None = _setting(
        None,
        read_path,
        "check against this shadow-format file alone, not the system's accounts (mechanism shadow)",
    )
    service: str = _setting(
        "saslauthd", read_service, "the PAM service of a request that names none (mechanism pam)"
    )
    proxy_socket: Path | None = _setting(
        None,
        read_socket_path_or_none,
        "the socket of the saslauthd that is asked, unless -O names it (mechanism proxy)",
    )
    proxy_connections: int = _setting(
        5,
        count_between(1, MOST_PROXY_CONNECTIONS),
        "logins that another saslauthd is asked at a time (mechanism proxy, and compare)",
    )
    proxy_client_address: bool = _setting(
        False,
        read_switch,
        "send another saslauthd the client's address, for which an unreleased version waits (mechanism proxy, and compare)",
    )
    compare: Path | None = _setting(
        None,
        read_socket_path_or_none,
        "the socket of another saslauthd that is asked the same afterwards, to log where it differs",
    )
    compare_rejected: bool = _setting(
        False,
        read_switch,
        "compare refused logins too; each then counts twice towards a lock-out",
    )
    realm_policy: RealmPolicy = _setting(
        RealmPolicy.LOGIN,
        lambda text: RealmPolicy(one_of(*RealmPolicy)(text)),
        "what the mechanism sees as the login: " + ", ".join(f'"{policy}"' for policy in RealmPolicy),
    )
    realms: frozenset[str] = _setting(
        frozenset(), read_names, "realms that are accepted, of requests that have one; empty for all"
    )
    unavailable: str = _setting(
        "close",
        one_of("close", "no"),
        "what a client gets when our side broke: a close without an answer, or NO",
    )
    reply_reason: bool = _setting(
        False,
        read_switch,
        "send saslauthd's reason behind OK and NO; a client may take it for something else",
    )
    syslog_socket: Path | None = _setting(
        Path("/dev/log"),
        read_path_or_none,
        "where the system's log daemon listens; empty for none",
        needs_restart=True,
    )
    control_socket: Path | None = _setting(
        Path(CONTROL_NAME),
        read_place,
        "the socket of pysaslauthctl; one without a / is in the run path; empty for none",
        needs_restart=True,
    )
    log_format: str = _setting(
        "saslauthd",
        one_of("saslauthd", "logfmt", "json", "console"),
        "how lines look: saslauthd (as the original's), logfmt, json, console (for a person at a terminal)",
        needs_restart=True,
    )
    log_to: frozenset[str] = _setting(
        frozenset(),
        read_some_of(SYSLOG, JOURNAL, STDERR),
        "where lines go: syslog, journal, stderr; as the original's if empty: syslog, in the foreground stderr too",
        needs_restart=True,
    )
    journal_socket: Path = _setting(
        Path("/run/systemd/journal/socket"),
        read_path,
        "where systemd's journal listens",
        needs_restart=True,
    )
    log_successes: bool = _setting(False, read_switch, "log accepted logins too, as news and not as details")
    field_limit: int = _setting(
        256, count_between(1, 4096), "longest login, service, realm or client address"
    )
    password_limit: int = _setting(8192, count_between(1, LARGEST_FIELD), "longest password")
    read_timeout: float = _setting(
        10.0, read_duration, "a client that has not sent its request by then is closed"
    )
    login_timeout: float = _setting(30.0, read_duration, "a login without an answer by then is unavailable")
    queue_timeout: float = _setting(10.0, read_duration, "a login that no worker took by then is unavailable")
    queue_length: int = _setting(1024, count_between(1, 1_000_000), "logins that may wait for a worker")
    next_on: frozenset[str] = _setting(
        frozenset({"reject", "unknown", "unavailable"}),
        read_next_on,
        "with several mechanisms, when the next is asked: reject (a wrong password), unknown (no such user), unavailable",
    )
    name_places: int | None = _setting(
        None,
        count_between(1, 1_000_000),
        "logins of one name that may be under way; 5, or the number of -n if that is more, if not set",
    )
    known_names: int = _setting(
        65_536, count_between(1, 10_000_000), "names accepted lately that go before others where logins wait"
    )
    stranger_niceness: int = _setting(
        15,
        count_between(0, 19),
        "niceness at which root checks a login that nothing speaks for, so that guesses yield the processor (mechanism pam)",
    )
    failures_per_second: int = _setting(
        0,
        count_between(0, 1_000_000),
        "logins that may be refused in a second, but for those with the password that was right before; 0 for any number",
    )
    connections: int = _setting(4096, count_between(1, 1_000_000), "clients connected at a time")
    cache_rejected: float = _setting(
        0.0,
        read_duration_up_to(120.0),
        "with -c, the same wrong password again is refused for so long without asking; 0 for never",
    )
    cache_stale: float = _setting(
        0.0,
        read_duration_up_to(7 * 86_400.0),
        "with -c, entries count for so much longer while the backend cannot be asked; 0 for never",
    )
    uncached_services: frozenset[str] = _setting(
        frozenset(), read_names, "services of which nothing is cached, such as those of one-time passwords"
    )
    most_workers: int = _setting(
        32,
        count_between(1, 1000),
        "workers that there may be while logins wait, where the mechanism waits itself",
    )
    worker_growth: int = _setting(
        64 << 20, read_size, "a worker whose memory has grown by so much is replaced"
    )
    worker_share: int | None = _setting(
        None,
        count_between(1, 1_000_000_000),
        "logins after which a worker is replaced; the mechanism's own if not set",
    )

    metrics_file: Path | None = _setting(
        None,
        read_textfile,
        "a file that is kept up to date with the metrics, in a directory where the daemon's user may write",
    )
    metrics_port: int = _setting(
        0,
        count_between(0, 65_535),
        "the port of 127.0.0.1 on which Prometheus may ask for the metrics; 0 for none",
        needs_restart=True,
    )

    @property
    def limits(self) -> Limits:
        """The limits of the wire."""
        return Limits(self.field_limit, self.password_limit)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` if something known is near ``word``, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""

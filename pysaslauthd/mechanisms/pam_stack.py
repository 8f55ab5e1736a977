"""What PAM's files say of a service, for who wants to know why a login goes as it goes.

libpam reads them itself; here they are read once more, in its order. Arguments of modules are left out,
as some of them are passwords.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

PLACES = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))
"""Where libpam looks for a service, and then for :data:`OTHER`."""

OTHER = "other"
"""The service that stands for those without a file."""

MOST_LINES = 20
"""Of a stack that are shown."""

MOST_FILES = 32
"""That are read for one service: they may include each other, and themselves."""

LARGEST_FILE = 1 << 16
"""Bytes that are read of one."""

_INCLUDED = re.compile(r"@include\s+(\S+)")
_LINE = re.compile(r"-?(auth|account)\s+(\[[^\]]*\]|\S+)\s+(\S+)", re.IGNORECASE)


def describe(service: bytes) -> Iterator[str]:
    """In words: which file counts for ``service``, and the modules of the phases that a login goes through.

    This runs as root, and a front that was taken over says what it likes. So, as with libpam, a service is what is behind
    its last ``/``: no way to look at other files.
    """
    name = os.fsdecode(service.lower().rpartition(b"/")[2])
    own, other = _file(name), _file(OTHER)
    if own is not None:
        yield f"service {name}: {own}"
    elif other is not None:
        yield f"service {name}: there is no file of that name, so {other} counts"
    else:
        yield f"service {name}: there is no file of that name, and no {OTHER}"
    modules = list(_Reading().modules(own or other))
    yield from modules[:MOST_LINES]
    if len(modules) > MOST_LINES:
        yield f"and {len(modules) - MOST_LINES} modules more"


def _file(name: str) -> Path | None:
    return next((place / name for place in PLACES if _is_file(place / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long for one, or this user may not look
        return False


class _Reading:
    """What the files of one service say, those that they include among them."""

    def __init__(self) -> None:
        self._left = MOST_FILES

    def modules(self, path: Path | None) -> Iterator[str]:
        """A line for each module of the phases auth and account."""
        if path is None or not self._left:
            return
        self._left -= 1
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_FILE).decode(errors="replace")
        except OSError as error:
            yield f"{path}: {error.strerror}"
            return
        for line in text.replace("\\\n", " ").splitlines():
            if included := _INCLUDED.match(line.strip()):
                yield from self.modules(_file(included[1]))
            elif match := _LINE.match(line.strip()):
                yield from self._one(*match.groups())

    def _one(self, phase: str, control: str, module: str) -> Iterator[str]:
        if control.lower() in {"include", "substack"}:
            # Of that file too only what is of this phase.
            yield from (each for each in self.modules(_file(module)) if each.startswith(phase))
        else:
            yield f"{phase} {control} {module}"

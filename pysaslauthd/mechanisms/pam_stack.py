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

MOST_DEPTH = 8
"""Files that include each other."""

LARGEST_FILE = 1 << 16
"""Bytes that are read of one."""

_INCLUDED = re.compile(r"@include\s+(\S+)")
_LINE = re.compile(r"-?(auth|account)\s+(\[[^\]]*\]|\S+)\s+(\S+)", re.IGNORECASE)


def describe(service: bytes) -> Iterator[str]:
    """In words: which file counts for ``service``, and the modules of the phases that a login goes through."""
    name = os.fsdecode(service.lower())  # as libpam has it
    own, other = _file(name), _file(OTHER)
    if own is not None:
        yield f"service {name}: {own}"
    elif other is not None:
        yield f"service {name}: there is no file of that name, so {other} counts"
    else:
        yield f"service {name}: there is no file of that name, and no {OTHER}"
    modules = list(_modules(own or other, MOST_DEPTH))
    yield from modules[:MOST_LINES]
    if len(modules) > MOST_LINES:
        yield f"and {len(modules) - MOST_LINES} modules more"


def _file(name: str) -> Path | None:
    return next((place / name for place in PLACES if (place / name).is_file()), None)


def _modules(path: Path | None, depth: int) -> Iterator[str]:
    if path is None or depth == 0:
        return
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE).decode(errors="replace")
    except OSError as error:
        yield f"{path}: {error.strerror}"
        return
    for line in text.replace("\\\n", " ").splitlines():
        included = _INCLUDED.match(line.strip())
        if included:
            yield from _modules(_file(included[1]), depth - 1)
            continue
        match = _LINE.match(line.strip())
        if match is None:
            continue
        phase, control, module = match.groups()
        if control.lower() in {"include", "substack"}:
            # Of that file too only what is of this phase.
            yield from (each for each in _modules(_file(module), depth - 1) if each.startswith(phase))
        else:
            yield f"{phase} {control} {module}"

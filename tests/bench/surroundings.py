"""What is there while a case is measured."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench.directory import serving
from bench.files import write_files
from bench.model import Case
from support.slapd import Slapd


class Surroundings(NamedTuple):
    """What each daemon of a case finds."""

    binds: Mapping[Path, Path] = MappingProxyType({})
    """The files that it sees in place of the machine's, by their place."""
    arguments: tuple[str, ...] = ()
    """What it is told beside its run's arguments."""
    slapd: Slapd | None = None
    """What it asks, if that is a directory."""


@contextlib.contextmanager
def prepared(case: Case, directory: Path) -> Iterator[Surroundings]:
    """The case's users, in files of ``directory`` or by a server that ends with this."""
    if case.directory is None:
        yield Surroundings(binds=write_files(directory, case.users))
        return
    with serving(case.directory, case.users, directory) as (settings, slapd):
        yield Surroundings(arguments=("-O", str(settings)), slapd=slapd)

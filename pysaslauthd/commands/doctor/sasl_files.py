"""The files that libsasl reads for a program, and those that only look as if it did."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor.tree import Tree

WHEREVER = (
    Path("/etc/postfix/sasl"),
    Path("/etc/sasl2"),
    Path("/etc/sasl"),
    Path("/etc/ldap/sasl2"),
    Path("/etc/openldap/sasl2"),
    Path("/usr/lib/sasl2"),
    Path("/usr/lib64/sasl2"),
    Path("/usr/lib/sasl"),
    Path("/usr/local/etc/sasl2"),
    Path("/usr/local/lib/sasl2"),
)
"""Where how-tos of one system or another put such files."""

LIBRARIES = (Path("/usr/lib"), Path("/usr/lib64"), Path("/lib"), Path("/lib64"))
DEFAULT_PATH = (Path("/etc/sasl2"), Path("/usr/lib/sasl2"))
"""Where libsasl looks, if its own words cannot be found."""

_BUILT_IN = re.compile(r"/[\w/.+:-]{1,1000}", re.ASCII)
_LINE = re.compile(r"([\w-]+):\s*(.+)", re.ASCII)
SASL_DIRECTORY = "sasl2"


class SaslFile(NamedTuple):
    """A file of ``KEY: VALUE`` lines, as libsasl reads it: of a key that is there twice the first counts."""

    path: Path
    values: Mapping[str, str]
    lines: Mapping[str, int]
    prefix: str = ""
    """What stands before each key where the file is the program's own, as in ``imapd.conf``."""
    broken: int = 0
    """The first line that libsasl does not understand, whereupon it takes nothing; 0 for none."""


class Search(NamedTuple):
    """What libsasl reads for an application, and what it does not."""

    name: str
    """Of the file."""
    directories: tuple[Path, ...]
    """Where it looks, in this order; the first file that is there counts, alone."""
    read: SaslFile | None
    unread: tuple[SaslFile, ...]

    @property
    def place(self) -> Path:
        """Where a file would count that is made anew."""
        return self.directories[0] / self.name

    @property
    def values(self) -> Mapping[str, str]:
        """What counts."""
        return self.read.values if self.read else {}


def parsed(path: Path, text: str, prefix: str = "") -> SaslFile:
    """What a file says. With ``prefix`` keys without it are the program's, and none of them is a mistake."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    broken = 0
    # As libsasl and sed count them: a form feed ends no line.
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            broken = broken or number
            continue
        key = match[1].lower()
        if not key.startswith(prefix):
            continue
        key = key.removeprefix(prefix)
        values.setdefault(key, match[2])
        lines.setdefault(key, number)
    return SaslFile(path, values, lines, prefix, 0 if prefix else broken)


def search(tree: Tree, application: str, directories: Iterable[Path]) -> Search:
    """Look as libsasl does for ``APPLICATION.conf``, and where it does not."""
    name = f"{application}.conf"
    order = tuple(directories)
    found = [parsed(each / name, text) for each in order if (text := tree.read(each / name)) is not None]
    read = found[0] if found else None
    known = {tree.real(each.path) for each in found[:1]}
    others = (each / name for each in (*WHEREVER, *plugin_directories(tree)) if each not in order)
    unread = found[1:]
    unread += [parsed(path, text) for path in others if (text := tree.read(path)) is not None]
    distinct: dict[Path, SaslFile] = {}
    for each in unread:
        if tree.real(each.path) not in known:
            distinct.setdefault(tree.real(each.path), each)
    return Search(name, order, read, tuple(distinct.values()))


def built_in_path(tree: Tree) -> tuple[Path, ...]:
    """Where the libsasl of that tree looks for files, by its own words: each distribution builds it otherwise."""
    for library in _libraries(tree):
        text = tree.read(library) or ""
        for match in _BUILT_IN.finditer(text):
            directories = tuple(map(Path, match[0].split(":")))
            if len(directories) > 1 and any(each.name == SASL_DIRECTORY for each in directories):
                return directories
    return DEFAULT_PATH


def plugin_directories(tree: Tree) -> tuple[Path, ...]:
    """Where the mechanisms of libsasl are."""
    return tuple(library.parent / SASL_DIRECTORY for library in _libraries(tree))


def mechanisms(tree: Tree) -> frozenset[str]:
    """The plug-ins that are installed, such as ``plain`` and ``crammd5``; empty where none can be found at all."""
    names = (name.name for each in plugin_directories(tree) for name in tree.names(each))
    return frozenset(name[3:-3] for name in names if name.startswith("lib") and name.endswith(".so"))


def _libraries(tree: Tree) -> Iterable[Path]:
    seen: set[Path] = set()
    for directory in LIBRARIES:
        for each in (directory, *tree.names(directory)):
            library = each / "libsasl2.so.2"
            is_for_libraries = each == directory or "-linux-" in each.name
            if is_for_libraries and tree.has(library) and tree.real(library) not in seen:
                seen.add(tree.real(library))
                yield library

"""Whom the kernel lets in, and whom ``doctor`` says it lets in: the same, with real users, modes and access control lists."""

import itertools
import json
import os
import random
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands.doctor.access import is_open_to_all, obstacle
from pysaslauthd.commands.doctor.accounts import Person
from pysaslauthd.commands.doctor.tree import Tree
from support.packages import cannot_run, need_root

OWNER, GROUP, OTHER_GROUP = 40_001, 40_010, 40_011
PEOPLE = (
    Person("root", 0, 0, frozenset({0})),
    Person("owner", OWNER, 40_020, frozenset({40_020})),
    Person("owner in group", OWNER, 40_020, frozenset({40_020, GROUP})),
    Person("member", 40_002, GROUP, frozenset({GROUP})),
    Person("supplementary", 40_003, 40_030, frozenset({40_030, GROUP})),
    Person("other", 40_004, 40_040, frozenset({40_040})),
    Person("other member", 40_005, 40_050, frozenset({40_050, OTHER_GROUP})),
)

_ACL = "system.posix_acl_access"


def acl(owner: int, group: int, other: int, mask: int, *named: tuple[int, int, int]) -> bytes:
    """As the kernel takes it: the owner's bits, the named ones by kind and id, the mask, all others."""
    nobody = 0xFFFF_FFFF
    users = [entry for entry in named if entry[0] == 0x02]
    groups = [entry for entry in named if entry[0] == 0x08]
    entries = [
        (0x01, owner, nobody),
        *users,
        (0x04, group, nobody),
        *groups,
        (0x10, mask, nobody),
        (0x20, other, nobody),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Place:
    """Directories with a socket in each, that differ in who may."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.directory.chmod(0o755)
        self._open: list[socket.socket] = []
        self.sockets: list[Path] = []

    def add(self, directory_mode: int, socket_mode: int) -> Path:
        directory = self.directory / str(len(self.sockets))
        directory.mkdir()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(directory / "mux"))
        listening.listen(16)
        self._open.append(listening)
        for path, mode in ((directory, directory_mode), (directory / "mux", socket_mode)):
            os.chown(path, OWNER, GROUP)
            path.chmod(mode)
        self.sockets.append(directory / "mux")
        return directory

    def close(self) -> None:
        for each in self._open:
            each.close()
        shutil.rmtree(self.directory)


@pytest.fixture
def place() -> Iterator[Place]:
    need_root()
    place = Place()
    try:
        yield place
    finally:
        place.close()


def really(person: Person, paths: list[Path]) -> list[bool]:
    """To which of the sockets a process of the person can connect."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(sorted(person.groups))
            os.setresgid(person.gid, person.gid, person.gid)
            os.setresuid(person.uid, person.uid, person.uid)
            os.write(write, json.dumps([connects(path) for path in paths]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return list(json.loads(answer))


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except PermissionError:
            return False
        return True


def said(person: Person, paths: list[Path]) -> list[bool]:
    return [obstacle(Tree().way(path), person) is None for path in paths]


def test_by_modes(place: Place) -> None:
    bits = [0, 1, 2, 3, 7]
    modes = [user << 6 | group << 3 | other for user, group, other in itertools.product(bits, repeat=3)]
    chosen = random.Random(1)
    for mode in modes:
        place.add(mode, chosen.choice(modes))
        place.add(0o755, mode)
    for person in PEOPLE:
        assert said(person, place.sockets) == really(person, place.sockets), person
    everybody = really(PEOPLE[5], place.sockets)
    for path, is_let_in in zip(place.sockets, everybody, strict=True):
        assert is_open_to_all(Tree().way(path)) == is_let_in


def test_by_access_control_lists(place: Place) -> None:
    bits = [0, 1, 2, 7]
    named = [(0x02, 7, 40_004), (0x02, 0, 40_003), (0x08, 7, OTHER_GROUP), (0x08, 0, GROUP)]
    for group, mask, other in itertools.product(bits, repeat=3):
        for count in range(len(named) + 1):
            directory = place.add(0o700, 0o777)
            try:
                os.setxattr(directory, _ACL, acl(7, group, other, mask, *named[:count]))
            except OSError as error:
                cannot_run(f"needs a file system with access control lists: {error}")
    for person in PEOPLE:
        assert said(person, place.sockets) == really(person, place.sockets), person

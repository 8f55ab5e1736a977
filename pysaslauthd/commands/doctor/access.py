"""Who may pass: the kernel's rules for mode bits, groups and access control lists, over facts. No I/O."""

import stat
from typing import NamedTuple

from pysaslauthd.commands.doctor.accounts import Person
from pysaslauthd.commands.doctor.tree import Place, Way

SEARCH, WRITE = 1, 2
"""What it takes to pass a directory, and to connect to a socket."""

_ACL_USER, _ACL_GROUP_OWNER, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10


class Obstacle(NamedTuple):
    """Where somebody does not come further."""

    place: Place
    needed: int

    @property
    def would_group_help(self) -> bool:
        """Whether the place lets its group pass, and that is a group that one can be made a member of."""
        return bool(self.place.mode >> 3 & self.needed) and self.place.gid != 0


def allows(place: Place, person: Person, needed: int) -> bool:
    """Whether the place lets the person pass. Root passes anywhere."""
    if person.uid == 0:
        return True
    if person.uid == place.uid:
        return bool(place.mode >> 6 & needed)
    # Where the group's bits, which then are the list's mask, are all clear, the kernel does not look at the list.
    acl = place.acl if place.mode & stat.S_IRWXG else ()
    mask = next((entry.bits for entry in acl if entry.kind == _ACL_MASK), 7)
    for entry in acl:
        if entry.kind == _ACL_USER and entry.id == person.uid:
            return bool(entry.bits & mask & needed)
    groups = [entry for entry in acl if entry.kind == _ACL_GROUP and entry.id in person.groups]
    bits = [entry.bits & mask for entry in groups]
    if place.gid in person.groups:
        owners = (entry.bits & mask for entry in acl if entry.kind == _ACL_GROUP_OWNER)
        bits.append(next(owners, place.mode >> 3))
    if bits:
        return any(each & needed for each in bits)
    return bool(place.mode & needed)


def obstacle(way: Way, person: Person) -> Obstacle | None:
    """The first place on the way that does not let the person pass; None if he can connect, as far as there is a way."""
    for place in way.directories:
        if stat.S_ISDIR(place.mode) and not allows(place, person, SEARCH):
            return Obstacle(place, SEARCH)
    if way.end is not None and stat.S_ISSOCK(way.end.mode) and not allows(way.end, person, WRITE):
        return Obstacle(way.end, WRITE)
    return None


def is_open_to_all(way: Way) -> bool:
    """Whether any user of the machine can connect."""
    if way.end is None or not stat.S_ISSOCK(way.end.mode) or not way.end.mode & WRITE:
        return False
    return all(place.mode & SEARCH for place in way.directories)

"""What each process keeps of root's powers, and how it gives up the rest."""

import os
import pwd
import resource
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.master import kernel

FALLBACK_USER = "nobody"
_NOT_ROOT = "not started by root: pam_unix can check the password of this user alone, and no module can read what only root may"


class User(NamedTuple):
    """The user whose rights the unprivileged parts have."""

    name: str
    uid: int
    gid: int


class Rights(NamedTuple):
    """What one kind of process keeps. ``user`` None: no change, we were not started by root."""

    user: User | None
    reads: tuple[Path, ...] = ()
    """Files it must be able to read, by a group if that is enough, else by a capability."""
    enters: tuple[Path, ...] = ()
    """Sockets it must be able to connect to, by groups alone: no capability goes so far."""
    keeps_all: bool = False
    """Nothing is given up, and set-user-id programs still work: PAM modules expect root, or such a helper."""


def unprivileged_user(name: str) -> tuple[User | None, str]:
    """The user to become, and a warning or ``""``. None where we are not root and cannot change.

    :raises LookupError: neither ``name`` nor the fallback exists.
    """
    if os.geteuid() != 0:
        return None, ""
    try:
        return _user(name), ""
    except KeyError:
        pass
    try:
        return _user(FALLBACK_USER), f"no user {name} here: the unprivileged parts run as {FALLBACK_USER}"
    except KeyError:
        raise LookupError(f"there is neither a user {name} nor a user {FALLBACK_USER}") from None


def _user(name: str) -> User:
    entry = pwd.getpwnam(name)
    if entry.pw_uid == 0:
        raise LookupError(f"user {name} is root; the unprivileged parts need a user without rights")
    return User(name, entry.pw_uid, entry.pw_gid)


def missing_rights(rights: Rights) -> str:
    """What a worker of ``rights`` will not be able to do, in words for the log; else ``""``."""
    if rights.keeps_all:
        return "" if os.geteuid() == 0 else _NOT_ROOT
    if rights.user is None:
        shut = [path for path in rights.reads if not _readable(path)]
        return f"{_listed(shut)} cannot be read by this user" if shut else ""
    if kernel.has_capability(kernel.Capability.DAC_READ_SEARCH):
        return ""
    shut = [path for path in rights.reads if not reading_groups((path,)) and not _is_open_to_all(path)]
    return (
        f"{_listed(shut)} needs a group that may read it, as root lacks CAP_DAC_READ_SEARCH here"
        if shut
        else ""
    )


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


def forbid_cores() -> None:
    """No core file of this process or its children, whatever the system's core pattern is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def give_up(rights: Rights) -> None:
    """Become what ``rights`` says, for good.

    :raises OSError: the system refused; the process must not go on.
    """
    if rights.keeps_all:
        kernel.forbid_dumps()
        return
    if rights.user is not None:
        kernel.keep_capabilities()
        os.setgroups(sorted({*reading_groups(rights.reads), *entering_groups(rights.enters)}))
        os.setresgid(rights.user.gid, rights.user.gid, rights.user.gid)
        os.setresuid(rights.user.uid, rights.user.uid, rights.user.uid)
    # Also without a change of user: a service manager may have given capabilities to a plain user.
    kernel.suspend_capabilities()
    kept = () if all(map(_readable, rights.reads)) else (kernel.Capability.DAC_READ_SEARCH,)
    try:
        kernel.set_capabilities(*kept)
    except PermissionError:
        kernel.set_capabilities()  # there is none to keep; the master has warned of it
    kernel.forbid_new_privileges()
    kernel.forbid_dumps()


def reading_groups(paths: tuple[Path, ...]) -> list[int]:
    """The groups that may read ``paths`` by their mode, such as ``shadow``; never root's."""
    groups = set()
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_mode & 0o040 and status.st_gid != 0:
            groups.add(status.st_gid)
    return sorted(groups)


def entering_groups(sockets: tuple[Path, ...]) -> list[int]:
    """The groups that may pass a directory on the way to ``sockets``, or write one, where not all may; never root's.

    Such as ``sasl``, of which Debian has who may enter saslauthd's directory.
    """
    groups = set()
    for socket in sockets:
        real = Path(os.path.realpath(socket))
        for place, need in ((real, 0o002), *((directory, 0o001) for directory in real.parents)):
            try:
                status = place.stat()
            except OSError:
                continue
            if status.st_mode & need << 3 and not status.st_mode & need and status.st_gid != 0:
                groups.add(status.st_gid)
    return sorted(groups)


def _readable(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True

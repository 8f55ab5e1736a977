"""Where shadow entries come from: the system's databases, or one file in their format."""

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol


class ShadowEntry(NamedTuple):
    """What counts of an entry. Days since the epoch; None where the field is empty."""

    hash: bytes
    last_change: int | None
    maximum_age: int | None
    expires: int | None


class NoAccount(Exception):  # noqa: N818  (an answer of the database, not an error of ours)
    """There is no such user; the message is the reason as the original words it."""


class AccountsUnavailableError(Exception):
    """The database could not be asked: nothing is known of the user."""


class Accounts(Protocol):
    """A source of shadow entries."""

    place: str
    """Where that is, in words."""

    def look_up(self, login: bytes) -> ShadowEntry:
        """The entry of ``login``.

        :raises NoAccount: the database has no such user.
        :raises AccountsUnavailableError: the database cannot say.
        """

    def sample(self) -> bytes | None:
        """A hash such as this database holds, for what an unknown user has to cost; None if unknown."""


class _Passwd(ctypes.Structure):
    _fields_ = (
        ("pw_name", ctypes.c_char_p),
        ("pw_passwd", ctypes.c_char_p),
        ("pw_uid", ctypes.c_uint),
        ("pw_gid", ctypes.c_uint),
        ("pw_gecos", ctypes.c_char_p),
        ("pw_dir", ctypes.c_char_p),
        ("pw_shell", ctypes.c_char_p),
    )


class _Spwd(ctypes.Structure):
    _fields_ = (
        ("sp_namp", ctypes.c_char_p),
        ("sp_pwdp", ctypes.c_char_p),
        ("sp_lstchg", ctypes.c_long),
        ("sp_min", ctypes.c_long),
        ("sp_max", ctypes.c_long),
        ("sp_warn", ctypes.c_long),
        ("sp_inact", ctypes.c_long),
        ("sp_expire", ctypes.c_long),
        ("sp_flag", ctypes.c_ulong),
    )


# What the manual page of getpwnam lists as "not found" where POSIX and the NSS modules disagree.
_NOT_FOUND = frozenset({0, errno.ENOENT, errno.ESRCH})
_SHADOW = Path("/etc/shadow")
_SHADOW_FAILURE = "Username shadow lookup failure"
_LARGEST_BUFFER = 1 << 20  # bytes; an entry that needs more is a broken database


class SystemAccounts:
    """The accounts of this machine, by whatever ``nsswitch.conf`` names.

    By the C library, as Python's ``pwd`` takes an error for "no such user", and ``spwd`` is gone.
    """

    place = "the accounts of this machine (passwd and shadow, by nsswitch.conf)"

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._sample: bytes | None = _first_hash(_SHADOW)

    def look_up(self, login: bytes) -> ShadowEntry:
        """See :class:`Accounts`."""
        self._call("getpwnam_r", login, _Passwd(), "Username lookup failure", "Invalid username")
        try:
            entry = self._shadow_entry(login)
        except NoAccount:
            self._make_sure_of_shadow()
            raise
        if is_hash(entry.hash):
            self._sample = entry.hash
        else:
            self._make_sure_of_shadow()
        return entry

    def _shadow_entry(self, login: bytes) -> ShadowEntry:
        spwd = _Spwd()
        # The strings of an entry live in the buffer that comes with it.
        buffer = self._call("getspnam_r", login, spwd, _SHADOW_FAILURE, "Invalid shadow username")
        entry = ShadowEntry(
            hash=spwd.sp_pwdp or b"",
            last_change=_set(spwd.sp_lstchg),
            maximum_age=_set(spwd.sp_max),
            expires=_set(spwd.sp_expire),
        )
        ctypes.memset(buffer, 0, len(buffer))
        return entry

    def _make_sure_of_shadow(self) -> None:
        """Where the file is shut to us, a further source of nsswitch.conf may have spoken in its place.

        Debian lists systemd, which says of most users that there are none, and of root "locked".
        """
        if _is_shut(_SHADOW):
            raise AccountsUnavailableError(f"{_SHADOW_FAILURE}: {_SHADOW}: {os.strerror(errno.EACCES)}")

    def sample(self) -> bytes | None:
        """See :class:`Accounts`."""
        return self._sample

    def _call(
        self, function: str, login: bytes, structure: ctypes.Structure, failure: str, unknown: str
    ) -> "ctypes.Array[ctypes.c_char]":
        size = 4096
        while True:
            buffer = ctypes.create_string_buffer(size)
            found = ctypes.c_void_p()
            error = getattr(self._libc, function)(
                login, ctypes.byref(structure), buffer, ctypes.c_size_t(size), ctypes.byref(found)
            )
            if error != errno.ERANGE or size >= _LARGEST_BUFFER:
                break
            size *= 2
        if found.value is not None:
            return buffer
        if error not in _NOT_FOUND:
            raise AccountsUnavailableError(f"{failure}: {os.strerror(error)}")
        raise NoAccount(unknown)


class FileAccounts:
    """The users of one shadow-format file, read again whenever it changes.

    A change is any difference in inode, size, mtime or ctime. A line that cannot be understood
    makes its user unavailable, with the place and what was expected; the others are not affected.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = f"{path} alone"
        self._version: tuple[int, ...] | None = None
        self._entries: dict[bytes, ShadowEntry | str] = {}
        self._sample: bytes | None = None

    def look_up(self, login: bytes) -> ShadowEntry:
        """See :class:`Accounts`."""
        self._refresh()
        entry = self._entries.get(login)
        if entry is None:
            raise NoAccount("Invalid username")
        if isinstance(entry, str):
            raise AccountsUnavailableError(entry)
        return entry

    def sample(self) -> bytes | None:
        """See :class:`Accounts`."""
        return self._sample

    def _refresh(self) -> None:
        try:
            if _version(self._path.stat()) == self._version:
                return
            with os.fdopen(_open_regular(self._path), "rb") as file:
                version = _version(os.fstat(file.fileno()))
                text = file.read()
        except OSError as error:
            self._version = None
            raise AccountsUnavailableError(f"shadow_file {self._path}: {error.strerror}") from None
        self._entries = _read_shadow(self._path, text)
        self._sample = _sample_of(self._entries)
        self._version = version


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_shut(path: Path) -> bool:
    # By opening it: access() asks for the real user, without the capability that the worker may have.
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _open_regular(path: Path) -> int:
    # O_NONBLOCK: a FIFO in the file's place must not hold the worker.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def _read_shadow(path: Path, text: bytes) -> dict[bytes, ShadowEntry | str]:
    entries: dict[bytes, ShadowEntry | str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, colon, rest = line.partition(b":")
        if not name or name.startswith((b"#", b"+", b"-")) or name in entries:
            continue  # as getspnam: the first entry counts; + and - were NIS
        try:
            entries[name] = _entry(rest.split(b":") if colon else [])
        except ValueError as error:
            entries[name] = f"shadow_file {path} line {number}: {error}"
    return entries


def _entry(fields: list[bytes]) -> ShadowEntry:
    if len(fields) != 8:
        raise ValueError(f"expected 9 fields with ':' between them, found {len(fields) + 1 if fields else 1}")
    return ShadowEntry(fields[0], _days(fields[1]), _days(fields[3]), _days(fields[6]))


def _days(field: bytes) -> int | None:
    if not field:
        return None
    try:
        return _set(int(field))
    except ValueError:
        raise ValueError("expected a number of days or nothing in a field of the password's age") from None


def _set(days: int) -> int | None:
    return None if days == -1 else days


def is_hash(stored: bytes) -> bool:
    """Whether ``stored`` may be a hash: not empty, and no mark of a locked or passwordless account."""
    return stored not in {b"", b"x"} and not stored.startswith((b"!", b"*"))


def _sample_of(entries: dict[bytes, ShadowEntry | str]) -> bytes | None:
    """A hash of the method and cost that most entries have."""
    by_method: dict[bytes, list[bytes]] = {}
    for entry in entries.values():
        if isinstance(entry, ShadowEntry) and is_hash(entry.hash):
            by_method.setdefault(_method(entry.hash), []).append(entry.hash)
    return max(by_method.values(), key=len)[0] if by_method else None


def _method(stored: bytes) -> bytes:
    # $6$salt$hash, $6$rounds=N$salt$hash, $2b$cost$salt-and-hash, $y$cost$salt$hash; DES has no $.
    _, *parts = stored.split(b"$")
    if not parts:
        return b""
    has_cost = len(parts) > 1 and (
        parts[0][:1] == b"2" or parts[0][-1:] == b"y" or parts[1].startswith(b"rounds=")
    )
    return b"$".join(parts[:2] if has_cost else parts[:1])


def _first_hash(path: Path) -> bytes | None:
    try:
        return _sample_of(_read_shadow(path, path.read_bytes()))
    except OSError:
        return None

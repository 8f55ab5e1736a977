"""System accounts of a test's own: files that take the place of ``/etc/passwd`` and ``/etc/shadow``."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PASSWD, SHADOW = Path("/etc/passwd"), Path("/etc/shadow")


class Account(NamedTuple):
    """One user. Days since the epoch as text, empty for none; ``password`` is what the test tries as the right one."""

    login: bytes
    password: bytes
    stored: bytes
    change: str = ""
    maximum: str = ""
    expire: str = ""
    in_passwd: bool = True
    in_shadow: bool = True


def write_databases(directory: Path, accounts: Iterable[Account]) -> dict[Path, Path]:
    """The files, by the place where they belong: this machine's own users, and ``accounts`` after them.

    The machine's users are there for who a daemon runs as. Their passwords are not.
    """
    passwd, shadow = directory / "passwd", directory / "shadow"
    lines = [PASSWD.read_bytes()]
    lines += [_passwd_line(60_000 + n, a) for n, a in enumerate(accounts) if a.in_passwd]
    passwd.write_bytes(b"".join(lines))
    shadow.touch(mode=0o600)
    shadow.write_bytes(b"".join(_shadow_line(account) for account in accounts if account.in_shadow))
    return {PASSWD: passwd, SHADOW: shadow}


def _passwd_line(uid: int, account: Account) -> bytes:
    return b"%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (account.login, uid, os.getgid())


def _shadow_line(account: Account) -> bytes:
    ages = f"{account.change}::{account.maximum}:::{account.expire}:".encode()
    return b"%s:%s:%s\n" % (account.login, account.stored, ages)

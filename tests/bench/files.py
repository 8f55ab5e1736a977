"""The files that daemons see in place of the machine's: users, passwords and PAM stacks."""

from collections.abc import Iterable
from pathlib import Path

from bench.model import RIGHT, Users
from support.accounts import Account, write_databases
from support.shadow import hashed

PAM_STACKS = Path("/etc/pam.d")

# After a wrong password pam_unix asks for a delay of 2 s, unless told not to.
_STACKS = {
    "bench": "auth required pam_unix.so\naccount required pam_unix.so\n",
    "bench-nodelay": "auth required pam_unix.so nodelay\naccount required pam_unix.so\n",
    "other": "auth required pam_deny.so\naccount required pam_deny.so\n",
}


def write_files(directory: Path, users: Iterable[Users]) -> dict[Path, Path]:
    """The files, by the place where they belong; nothing for no users."""
    groups = list(users)
    # One hash of a kind, as to make a hundred thousand would take minutes; to check one takes what it takes.
    stored = {method: hashed(RIGHT.encode(), method).encode() for method in {g.method for g in groups}}
    accounts = [
        Account(login.encode(), RIGHT.encode(), stored[group.method])
        for group in groups
        for login in group.logins
    ]
    if not accounts:
        return {}
    stacks = directory / "pam.d"
    stacks.mkdir()
    stacks.chmod(0o755)
    for service, lines in _STACKS.items():
        (stacks / service).write_text(lines)
    return {**write_databases(directory, accounts), PAM_STACKS: stacks}

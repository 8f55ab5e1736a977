"""What a package left on a machine, or changed on it."""

from support.machine import Machine

_ELSEWHERE = (
    *("/dev", "/home", "/packages", "/proc", "/root/.rpmdb", "/sys", "/tmp"),
    *("/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log"),
)
"""What is no file of a machine, what a test itself does, and what package managers write about themselves."""

USERS = tuple(f"/etc/{name}{end}" for name in ("group", "gshadow", "passwd", "shadow") for end in ("", "-"))
"""Where users and groups are, which packages leave."""


class Inventory:
    """All files of a machine, as they were when it was made."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._files = self._look()

    def _look(self) -> set[str]:
        pruned = " -o ".join(f"-path {path}" for path in _ELSEWHERE)
        # A directory's size and time say nothing of what is in it.
        found = self._machine.shell(
            f"find / \\( {pruned} \\) -prune -o -type d -printf '%p %M %u:%g\\n' -o -printf '%p %M %u:%g %s %l\\n'"
        )
        return set(found.stdout.splitlines())

    def changes(self, *expected: str) -> list[str]:
        """What is there now and was not, or was other, but for files of these names; and what is gone."""
        now = self._look()
        lines = [f"new: {line}" for line in now - self._files] + [
            f"gone: {line}" for line in self._files - now
        ]
        return sorted(line for line in lines if line.split()[1] not in expected)

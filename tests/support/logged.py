"""What a daemon that writes its log to a file says of itself."""

import re
from pathlib import Path


def whole_lines(log: Path) -> str:
    """Without one that is still being written."""
    text = log.read_text(errors="replace")
    return text[: text.rfind("\n") + 1]


class Logged:
    """To inherit from: ``_log`` is the file."""

    _log: Path

    @property
    def log(self) -> str:
        return whole_lines(self._log)

    @property
    def pid(self) -> int:
        """Of our master, as it says."""
        match = re.search(r"master pid is: (\d+)", self.log)
        assert match is not None, self.log
        return int(match[1])

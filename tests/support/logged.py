"""What a daemon that writes its log to a file says of itself."""

import re
from pathlib import Path


class Logged:
    """To inherit from: ``_log`` is the file."""

    _log: Path

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Of our master, as it says."""
        match = re.search(r"master pid is: (\d+)", self.log)
        assert match is not None, self.log
        return int(match[1])

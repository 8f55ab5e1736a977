"""A real terminal, of tmux, with a shell in it."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from support.packages import need_program
from support.waiting import wait_until

PROMPT = "ready> "


class Terminal:
    """``with Terminal() as terminal`` has a server of tmux of its own, which ends with it."""

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self._program = need_program("tmux", "tmux")
        self._size = ("-x", str(width), "-y", str(height))

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="tmux-"))
        shell = ["env", f"PS1={PROMPT}", "ENV=", "sh", "-i"]
        try:
            self._do("-f", "/dev/null", "new-session", "-d", *self._size, *shell)
            self.until(lambda screen: PROMPT.strip() in screen, "the shell is there")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._do("kill-server", check=False)
        shutil.rmtree(self._directory)

    def run(self, *words: str) -> None:
        """Have the shell run a command."""
        self.type(shlex.join(words))
        self.press("Enter")

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    def press(self, key: str) -> None:
        """A key by tmux's name for it."""
        self._do("send-keys", key)

    def resize(self, width: int, height: int) -> None:
        self._do("resize-window", "-x", str(width), "-y", str(height))

    @property
    def screen(self) -> str:
        return self._do("capture-pane", "-p")

    @property
    def is_as_it_was(self) -> bool:
        """Whether it shows the screen of the shell, with a cursor."""
        return self._do("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]

    @property
    def modes(self) -> str:
        """What ``stty`` says of it; to be asked while the shell has it."""
        answer = self._directory / "modes"
        answer.unlink(missing_ok=True)
        self.type(f"stty -g >{answer}.new && mv {answer}.new {answer}")
        self.press("Enter")
        wait_until(answer.exists, "the shell has asked")
        return answer.read_text()

    def until(self, condition: Callable[[str], object], what: str) -> str:
        """The screen, as soon as it is so."""
        last = ""

        def holds() -> bool:
            nonlocal last
            last = self.screen
            return bool(condition(last))

        try:
            wait_until(holds, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}:\n{last}") from None
        return last

    def _do(self, *words: str | os.PathLike[str], check: bool = True) -> str:
        command = [self._program, "-S", self._directory / "socket", *words]
        result = subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)
        return result.stdout


def number_behind(screen: str, name: str) -> int:
    """The last number of the row that begins with ``name``; 0 if there is none."""
    match = re.search(rf"^{re.escape(name)} .*?([0-9]+)$", screen, re.MULTILINE)
    return int(match[1]) if match else 0

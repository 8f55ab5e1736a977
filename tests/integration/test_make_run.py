"""The README's first command, in a clone that has nothing."""

import os
import pty
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux, processes
from support.packages import need_program
from support.waiting import wait_until

ROOT = Path(__file__).parents[2]
INSTALL_LIMIT = 200.0


@pytest.fixture
def clone() -> Iterator[Path]:
    """The files as they are in the checkout, committed or not, and nothing that is ignored."""
    git = need_program("git", "git")
    listing = subprocess.run(
        [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    directory = Path(tempfile.mkdtemp(prefix="psd-"))
    for name in map(os.fsdecode, listing.stdout.split(b"\0")):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    yield directory
    shutil.rmtree(directory)


class Terminal:
    """A terminal with ``make run`` in it, as a visitor would have."""

    def __init__(self, directory: Path) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.environ.pop("MAKEFLAGS", None)
            os.execvp("make", ["make", "run"])
        os.set_blocking(self._descriptor, False)
        self.text = ""
        self.is_over = False

    def read(self) -> str:
        try:
            while chunk := os.read(self._descriptor, 65536):
                self.text += chunk.decode(errors="replace").replace("\r", "")
        except BlockingIOError:
            pass
        except OSError:
            self.is_over = True
        return self.text

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def wait(self) -> int:
        wait_until(lambda: self.read() is None or self.is_over, "the terminal has no process left")
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_it_installs_runs_shows_a_login_and_ends_with_ctrl_c(clone: Path) -> None:
    need_program("make", "make")
    terminal = Terminal(clone)
    wait_until(lambda: "Ctrl-C ends it." in terminal.read() or terminal.is_over, "the demo", INSTALL_LIMIT)
    assert '0: OK "Success."' in terminal.text, terminal.text
    assert '0: NO "authentication failed"' in terminal.text
    (line,) = re.findall(r"^ {4}(\S*testpysaslauthd .*)$", terminal.text, re.MULTILINE)
    result = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert (result.stdout, result.returncode) == ('0: OK "Success."\n', 0)
    assert mux.ask(clone / "run" / "mux", b"demo", b"wrong") == "NO"
    children = processes.descendants(terminal.pid)
    terminal.type(b"\x03")
    terminal.wait()
    assert terminal.text.count("master exited: ") == 1
    assert "was killed" not in terminal.text
    assert "Traceback" not in terminal.text
    wait_until(lambda: not any(child.is_alive for child in children), "all processes ended")

    again = Terminal(clone)
    started = time.monotonic()
    wait_until(lambda: "Ctrl-C ends it." in again.read() or again.is_over, "the demo, again")
    assert '0: OK "Success."' in again.text
    print(f"installed already, make run had shown both logins after {time.monotonic() - started:.2f} s")  # noqa: T201
    again.type(b"\x03")
    again.wait()

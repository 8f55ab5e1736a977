"""``pysaslauthctl top`` on a real terminal, and without one."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from support import processes
from support.controlled import COMMAND
from support.daemon import WRONG, Daemon
from support.terminal import PROMPT, Terminal, number_behind
from support.waiting import LIMIT, wait_until

PATIENT = (
    sys.executable,
    "-c",
    "import sys; from pysaslauthd.commands import control, top; top.TIMEOUT = 60.0; sys.exit(control.main())",
)
"""The command, with which no reading fails because a busy machine has it wait."""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon("-c", "-n", "2") as started:
        yield started


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as made:
        yield made


def top(daemon: Daemon, *words: str, interval: str = "0.2", command: Sequence[str] = COMMAND) -> list[str]:
    return [*command, "-m", str(daemon.run_path), "top", "-i", interval, *words]


def pid_of_top(daemon: Daemon) -> int:
    """Of the one that looks at this daemon."""
    (found,) = (
        each.pid
        for each in processes.all_processes()
        if f"{daemon.run_path}\0top\0" in command_line(each.pid)
    )
    return found


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123  (of a process that may end)
        return file.read()
    return ""


class TestOnATerminal:
    def test_shows_what_happens_while_it_happens(self, daemon: Daemon, terminal: Terminal) -> None:
        terminal.run(*top(daemon))
        screen = terminal.until(lambda screen: "SERVICE" in screen, "it shows something")
        assert screen.startswith("pysaslauthd ")
        for title in ("LOGINS/S", "WORKERS", "SERVICE"):
            assert re.search(rf"^{title} ", screen, re.MULTILINE)
        before = number_behind(screen, "imap")
        for _ in range(5):
            daemon.ask()
            daemon.ask(password=WRONG, service=b"smtp")
        terminal.until(
            lambda screen: number_behind(screen, "imap") == before + 5 and number_behind(screen, "smtp") == 5,
            "it shows the new ones",
        )

        def rates() -> bool:
            daemon.ask()
            daemon.ask(password=WRONG)
            row = re.search(r"^shadow +([0-9.]+) +([0-9.]+) ", terminal.screen, re.MULTILINE)
            return row is not None and float(row[1]) > 0 and float(row[2]) > 0

        wait_until(rates, "there are logins a second")
        terminal.until(
            lambda screen: re.search(r"^shadow +0.0 +0.0 ", screen, re.MULTILINE), "there are none"
        )

    def test_fits_whatever_the_size(self, daemon: Daemon, terminal: Terminal) -> None:
        for number in range(10):
            daemon.ask(service=b"service-%d" % number)
        terminal.run(*top(daemon, interval="60"))
        full = terminal.until(lambda screen: "SERVICE" in screen, "it shows something")
        assert "service-9" in full
        terminal.resize(40, 6)
        small = terminal.until(lambda screen: "SERVICE" not in screen, "it has shrunk")
        assert small.startswith("pysaslauthd ")
        assert "LOGINS/S" in small
        terminal.resize(100, 40)
        terminal.until(lambda screen: "service-9" in screen and "LOGINS/S" in screen, "it has grown")

    @pytest.mark.parametrize("how", ["q", "C-c", "SIGTERM", "SIGHUP", "C-d"])
    def test_ends_and_gives_the_terminal_back(self, how: str, daemon: Daemon, terminal: Terminal) -> None:
        modes = terminal.modes
        terminal.run(*top(daemon, interval="60"))
        terminal.until(lambda screen: "SERVICE" in screen, "it shows something")
        assert not terminal.is_as_it_was
        if how.startswith("SIG"):
            os.kill(pid_of_top(daemon), signal.Signals[how])
        else:
            terminal.press(how)
        terminal.until(lambda screen: screen.rstrip().endswith(PROMPT.strip()), "the shell is back")
        assert terminal.is_as_it_was
        assert "Traceback" not in terminal.screen
        terminal.run("echo", "status", "is")
        assert terminal.modes == modes

    def test_may_be_suspended(self, daemon: Daemon, terminal: Terminal) -> None:
        modes = terminal.modes
        terminal.run(*top(daemon))
        terminal.until(lambda screen: "SERVICE" in screen, "it shows something")
        terminal.press("C-z")
        terminal.until(lambda screen: "topped" in screen, "the shell is back")  # Stopped, or stopped
        assert terminal.is_as_it_was
        assert terminal.modes == modes
        terminal.run("fg")
        terminal.until(lambda screen: "SERVICE" in screen, "it goes on")
        assert not terminal.is_as_it_was
        terminal.press("q")
        terminal.until(lambda screen: screen.rstrip().endswith(PROMPT.strip()), "the shell is back")
        assert terminal.modes == modes

    def test_outlives_fronts_and_the_daemon(self, daemon: Daemon, terminal: Terminal) -> None:
        terminal.run(*top(daemon))
        terminal.until(lambda screen: "restarts: 0 of fronts" in screen, "it shows something")
        daemon.kill_front()
        terminal.until(lambda screen: "restarts: 1 of fronts" in screen, "it shows the new front")
        daemon.stop()
        terminal.until(
            lambda screen: screen.startswith("WAITING: ") and "no such socket" in screen, "it waits"
        )
        daemon.start()
        terminal.until(
            lambda screen: screen.startswith("pysaslauthd ") and "restarts: 0 of" in screen, "it goes on"
        )

    def test_ends_by_itself_after_so_many(self, daemon: Daemon, terminal: Terminal) -> None:
        terminal.run(*top(daemon, "-c", "2"))
        terminal.until(lambda screen: screen.count(PROMPT.strip()) == 2, "the shell is back")
        assert terminal.is_as_it_was


class TestElsewhere:
    def test_prints_a_line_for_each_reading(self, daemon: Daemon) -> None:
        result = run(*top(daemon, "-c", "3", command=PATIENT))
        assert (result.returncode, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert len(lines) == 3
        for line in lines:
            assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8} accepted/s=0.0 .* busy=0", line)

    def test_says_at_once_that_there_is_no_daemon(self, daemon: Daemon) -> None:
        daemon.stop()
        result = run(*top(daemon))
        assert result.returncode == 3
        assert "no such socket" in result.stderr

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
    def test_outlives_fronts_and_the_daemon(self, daemon: Daemon, ending: signal.Signals) -> None:
        with reading(*top(daemon)) as (process, said):
            wait_until(lambda: said().count("accepted/s") >= 2, "it reads")
            daemon.kill_front()
            daemon.stop()
            wait_until(lambda: "waiting: " in said(), "it says that it waits")
            before = said().count("accepted/s")
            daemon.start()
            wait_until(lambda: said().count("accepted/s") > before, "it goes on")
            process.send_signal(ending)
            assert process.wait(LIMIT) == (0 if ending is signal.SIGINT else -ending)
            assert "Traceback" not in said()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def reading(*words: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """A process that runs, and what it has said until now."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        heard = b""

        def said() -> str:
            nonlocal heard
            assert process.stdout is not None
            with contextlib.suppress(BlockingIOError):
                heard += os.read(process.stdout.fileno(), 1 << 16)
            return heard.decode()

        try:
            yield process, said
        finally:
            process.kill()

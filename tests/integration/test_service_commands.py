"""--status, --stop and --reload, by the lock and by nothing else; --get."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands import service
from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.config.command_line import CommandLine, read_command_line
from support import processes
from support.configured import RELOADED, Configured
from support.daemon import COMMAND, FRONT
from support.namespaces import inside
from support.packages import need_root
from support.pam_daemon import RUN_AS_USER
from support.waiting import wait_until

HOLD_A_LOCK = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(); time.sleep(60)"

STOPPED_BEFORE_IT_HAS_ITS_FILE = """
import os, signal, sys
from pysaslauthd.commands import daemon
from pysaslauthd.master.readiness import Readiness
def played(configuration, options, pipe, starter):
    os.kill(os.getppid(), signal.SIGTERM)
    Readiness(pipe).ready()
    return 0
daemon._daemon = played
sys.exit(daemon.main(sys.argv[1:]))
"""


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        configured.write(configured.basis)
        yield configured


@pytest.fixture
def daemon(there: Configured) -> Iterator[int]:
    """One in the background, by its process id; it has ended after the test."""
    pid = start(there)
    process = processes.read_process(pid)
    yield pid
    if process is not None:
        process.send(signal.SIGKILL)


def start(there: Configured) -> int:
    assert (done := there.command("--config", str(there.file))).returncode == 0, done.stderr
    return int((there.run_path / "saslauthd.pid").read_text())


def ask(there: Configured, what: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return there.command("--config", str(there.file), what, *more)


def line_of(there: Configured, *more: str) -> CommandLine:
    return read_command_line(["--config", str(there.file), *more])


class TestStatus:
    def test_of_a_daemon_in_the_background(self, there: Configured, daemon: int) -> None:
        done = ask(there, "--status")
        assert done.returncode == 0
        assert done.stdout == f"pysaslauthd is running on {there.run_path}, process {daemon}\n"

    def test_of_one_in_the_foreground(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f")
        done = ask(there, "--status")
        assert (done.returncode, f"process {there.pid}\n" in done.stdout) == (0, True)

    def test_of_none(self, there: Configured) -> None:
        done = ask(there, "--status")
        assert (done.returncode, done.stdout) == (3, f"pysaslauthd is not running on {there.run_path}\n")

    def test_of_a_killed_one_that_left_its_file(self, there: Configured, daemon: int) -> None:
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(daemon), "it is dead")
        done = ask(there, "--status")
        assert done.returncode == 1
        assert done.stdout == f"pysaslauthd is dead; {there.run_path}/saslauthd.pid is left\n"

    def test_is_not_misled_by_the_number_of_a_living_process(self, there: Configured) -> None:
        there.run_path.mkdir()
        (there.run_path / "saslauthd.pid").write_text(f"{os.getpid()}\n")
        assert ask(there, "--status").returncode == 1

    def test_is_not_misled_by_the_lock_of_another_program(self, there: Configured) -> None:
        there.run_path.mkdir()
        with _stranger(there) as stranger:
            done = ask(there, "--status")
            assert done.returncode == 3
            assert done.stdout.startswith(
                f"pysaslauthd is not running on {there.run_path}; process {stranger.pid}, "
            )

    def test_finds_it_although_the_files_are_broken_by_now(self, there: Configured, daemon: int) -> None:
        there.write(there.basis + "nonsense = 1\n")
        assert f"process {daemon}" in ask(there, "--status").stdout
        there.write("run_path = ")
        words = [*COMMAND, "--config", str(there.file), "--status"]
        done = there.run(inside(words, binds={Path("/run"): there.directory}))
        assert (done.returncode, done.stdout) == (4, "")
        assert f"pysaslauthd: {there.file}:1: " in done.stderr
        assert ask(there, "--status", "-m", str(there.run_path)).returncode == 0

    def test_of_what_this_user_may_not_see_is_unknown(self, there: Configured, daemon: int) -> None:
        need_root()
        there.run_path.chmod(0o700)
        words = [*RUN_AS_USER, "-m", str(there.run_path)]
        done = there.run([*words, "--status"])
        assert (done.returncode, done.stderr.endswith("/saslauthd.pid: Permission denied\n")) == (4, True)
        for what in ("--stop", "--reload"):
            assert there.run([*words, what]).returncode == 4
        assert processes.is_alive(daemon)


class TestStop:
    @pytest.mark.usefixtures("daemon")
    def test_returns_when_it_has_ended(self, there: Configured) -> None:
        done = ask(there, "--stop")
        assert (done.returncode, done.stderr, list(there.run_path.iterdir())) == (0, "", [])
        assert ask(there, "--stop").returncode == 0

    def test_of_one_in_the_foreground(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f")
        pid = there.pid
        assert ask(there, "--stop").returncode == 0
        assert not processes.is_alive(pid)

    def test_of_one_that_starts_does_not_end_the_process_that_waits_for_it(self, there: Configured) -> None:
        """Or nothing could be found that is to be ended, until the daemon has its pid file."""
        command = [sys.executable, "-c", STOPPED_BEFORE_IT_HAS_ITS_FILE, "--config", str(there.file)]
        assert subprocess.run(command, timeout=60, check=False).returncode == 0

    def test_removes_what_a_killed_one_left(self, there: Configured, daemon: int) -> None:
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(daemon), "it is dead")
        assert ask(there, "--stop").returncode == 0
        assert not (there.run_path / "saslauthd.pid").exists()
        assert ask(there, "--status").returncode == 3

    def test_kills_one_that_does_not_end_and_says_so(
        self, there: Configured, daemon: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        os.kill(daemon, signal.SIGSTOP)
        assert service.stop(Configuration(line_of(there)), limit=0.2) == 0
        assert capsys.readouterr().err == (
            f"pysaslauthd: process {daemon} did not end within 0 s, and is killed\n"
        )
        assert not processes.is_alive(daemon)
        assert list(there.run_path.glob("*.pid")) == []

    def test_leaves_others_alone(self, there: Configured) -> None:
        there.run_path.mkdir()
        with subprocess.Popen(["sleep", "60"]) as numbered:
            (there.run_path / "saslauthd.pid").write_text(f"{numbered.pid}\n")
            try:
                assert ask(there, "--stop").returncode == 0
                assert processes.is_alive(numbered.pid)
            finally:
                numbered.kill()
        with _stranger(there) as stranger:
            assert ask(there, "--stop").returncode == 0
            assert processes.is_alive(stranger.pid)
            assert (there.run_path / "saslauthd.pid").exists()


class TestReload:
    def test_has_it_read_its_files_anew(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f")
        assert ask(there, "--reload").returncode == 0
        wait_until(lambda: RELOADED in there.log, "it has reloaded")
        wait_until(lambda: len(there.children(FRONT)) == 1, "the generation before has ended")

    def test_of_none_is_a_failure(self, there: Configured) -> None:
        done = ask(there, "--reload")
        assert (done.returncode, done.stderr) == (7, f"pysaslauthd: not running on {there.run_path}\n")


class TestGet:
    def test_prints_what_counts_and_no_more(self, there: Configured) -> None:
        assert ask(there, "--get", "run_path").stdout == f"{there.run_path}\n"
        assert ask(there, "--get", "run-path", "-m", "/else where").stdout == "/else where\n"
        assert ask(there, "--get", "mechanism").stdout == '"shadow"\n'
        assert ask(there, "--get", "mechanism_option").stdout == "\n"

    def test_of_no_setting_is_a_usage_error(self, there: Configured) -> None:
        done = ask(there, "--get", "runpath")
        assert done.returncode == 64
        expected = "pysaslauthd: --get runpath: no such setting; did you mean run_path?"
        assert done.stderr.splitlines()[0] == expected

    def test_of_broken_files_says_what_is_wrong(self, there: Configured) -> None:
        there.write("nonsense = 1\n")
        done = ask(there, "--get", "run_path")
        assert (done.returncode, done.stderr.startswith("error: ")) == (1, True)


@contextlib.contextmanager
def _stranger(there: Configured) -> "Iterator[subprocess.Popen[bytes]]":
    """Another program's process that has the pid file locked."""
    words = [sys.executable, "-c", HOLD_A_LOCK, str(there.run_path / "saslauthd.pid")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()

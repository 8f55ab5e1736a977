"""A pysaslauthd of a test's own: private directory, private users, and an end that is checked."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from pysaslauthd.master.pidfile import MASTER_NAME
from support import mux, processes, shadow
from support.logged import whole_lines
from support.processes import Process
from support.waiting import LIMIT, wait_until

LOGIN, PASSWORD, WRONG = b"alice", b"secret-Pass_1", b"wrong-Pass_2"

MASTER, FRONT, WORKER = MASTER_NAME, "pysasl-front", "pysasl-shadow"

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.daemon")


def altered(statement: str) -> tuple[str, ...]:
    """The command of a daemon that runs ``statement`` first, as one that gives a constant another value."""
    program = f"import sys; {statement}; from pysaslauthd.commands.daemon import main; sys.exit(main())"
    return sys.executable, "-c", program


PATIENT_COMMAND = altered("from pysaslauthd.master import supervisor; supervisor.STOP_GRACE = 60")
"""It waits so long for logins in hand after a stop was asked for."""

LONG_DELAY = 600
"""Seconds that who is refused by :data:`WITH_LONG_DELAYS` waits to hear so, if PAM asks for them; a test kills it at its end."""

WITH_LONG_DELAYS = altered(f"from pysaslauthd.core import answer; answer.LONGEST_DELAY = {LONG_DELAY}.0")

PATIENT = {"queue_timeout": "10m", "login_timeout": "10m"}
"""Settings with which no login is given up because a machine is slow, or a test has not looked at it yet."""

PATIENT_OPTIONS = tuple(word for name, value in PATIENT.items() for word in ("-o", f"{name}={value}"))


T = TypeVar("T")


def with_their_names(look: Callable[[], dict[str, list[T]]]) -> dict[str, list[T]]:
    """What ``look`` finds of a daemon's processes, by name, once that is what they are.

    A child that has just been forked has the master's name still, and one may go between two looks at it.
    """

    def found() -> tuple[dict[str, list[T]], ...]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            seen = look()
            if len(seen.get(MASTER, ())) < 2:
                return (seen,)
        return ()

    return wait_until(found, "all have their names")[0]


class Daemon:
    """In the foreground on a private run directory, mechanism shadow on a private file.

    ``with Daemon() as daemon`` starts it and, at the end, stops it and makes sure that no process
    of it is left.
    """

    def __init__(
        self,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, bytes] | None = None,
        command: Sequence[str] = COMMAND,
        foreground: str = "-d",
        open_files: int | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.run_path = self.directory / "run"
        self.mux = self.run_path / "mux"
        self.shadow_file = self.directory / "shadow"
        self.stderr = self.directory / "stderr"
        shadow.write(self.shadow_file, dict(users or {LOGIN.decode(): PASSWORD}))
        given = {"shadow_file": str(self.shadow_file), "syslog_socket": "", **(settings or {})}
        options = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        limited = ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh"] if open_files else []
        self.arguments = [*limited, *command, "-a", "shadow", "-m", str(self.run_path), *options, *arguments]
        self._foreground = foreground
        self._descriptors = descriptors
        # 0 keeps five fresh ones waiting.
        self._workers = (int(arguments[arguments.index("-n") + 1]) if "-n" in arguments else 5) or 5
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the master."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return whole_lines(self.stderr)

    def start(self) -> None:
        with self.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*self.arguments, self._foreground],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                stdout=stderr,
                start_new_session=True,
                pass_fds=self._descriptors,
            )
        try:
            wait_until(self._answers, "the daemon answers")
            wait_until(lambda: len(self.children(WORKER)) == self._workers, "all workers are there")
        except (TimeoutError, RuntimeError) as error:
            self.kill()
            raise AssertionError(f"the daemon did not start ({error}):\n{self.log}") from None

    def stop(self) -> None:
        """TERM; it has to end by itself, with all its processes."""
        if self.process is None:
            return
        children = self.children()
        self.process.terminate()
        try:
            status = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the daemon did not stop:\n{self.log}") from None
        left = [child for child in children if child.is_alive]
        self.process = None
        assert not left, f"left behind: {left}"
        assert status == 0, f"exit status {status}:\n{self.log}"

    def kill(self) -> None:
        """Whatever happened, nothing of it stays."""
        if self.process is not None:
            victims = self.children()
            self.process.kill()
            self.process.wait()
            self.process = None
            for victim in victims:
                victim.send(signal.SIGKILL)
            wait_until(lambda: not any(victim.is_alive for victim in victims), "all are dead")

    def ask(
        self, login: bytes = LOGIN, password: bytes = PASSWORD, service: bytes = b"imap", realm: bytes = b""
    ) -> str:
        return mux.ask(self.mux, login, password, service, realm)

    def children(self, name: str = "") -> list[Process]:
        """The processes below the master, or those of one name."""
        return [child for child in processes.descendants(self.pid) if name in {"", child.name}]

    def front(self) -> Process:
        (front,) = self.children(FRONT)
        return front

    def kill_front(self) -> None:
        """Afterwards there is another, with its workers."""
        before = self.front()
        before.send(signal.SIGKILL)
        wait_until(lambda: self.children(FRONT) not in ([], [before]), "there is a new front")
        wait_until(lambda: len(self.children(WORKER)) == self._workers, "it has its workers")

    def statistics(self) -> list[dict[str, str]]:
        """What the processes say of themselves on USR1: master, front, then each idle worker."""
        return wait_until(self._try_statistics, "all processes report their statistics")

    def _try_statistics(self) -> list[dict[str, str]]:
        """The reports; none if a worker came or went meanwhile."""
        offset = len(self.log)
        expected = 2 + len(self.children(WORKER))
        os.kill(self.pid, signal.SIGUSR1)

        def reported() -> list[dict[str, str]]:
            lines = [line for line in self.log[offset:].splitlines() if ":statistics: " in line]
            tables = [_table(line.partition(":statistics: ")[2]) for line in lines]
            # Who was asked before, and was late, may say it twice.
            last = {(table["process"], table.get("worker")): table for table in tables}
            return list(last.values()) if len(last) == expected else []

        try:
            return wait_until(reported, "as many reports as there are processes", limit=2)
        except TimeoutError:
            return []

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"exit status {self.process.returncode}")
        try:
            return self.ask(b"nobody-at-all", b"x") == "NO"
        except OSError:
            return False


def hashes(daemon: Daemon) -> int:
    """How many logins the workers have had, those of the start included."""
    return sum(int(report["served"]) for report in daemon.statistics() if "served" in report)


def asked(daemon: Daemon, do: Callable[[], object]) -> int:
    """How many logins the workers got while ``do`` ran."""
    before = hashes(daemon)
    do()
    return hashes(daemon) - before


def _table(fields: str) -> dict[str, str]:
    return dict(field.split("=", 1) for field in fields.strip("[]").split("] ["))

"""The README's way over from saslauthd, with its commands as they stand there, on a ``/run`` and a PAM of the test's own."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux, processes
from support.accounts import Account
from support.devlog import DevLog
from support.namespaces import inside, need_namespaces
from support.packages import need_program, need_root
from support.pam_files import UNIX, PamFiles
from support.shadow import hashed
from support.waiting import wait_until

README = (Path(__file__).parents[2] / "README.md").read_text()
IGOR, PASSWORD = b"igor", b"secret-of-Igor"
PROGRAMS = {"pysaslauthd": "daemon", "testpysaslauthd": "check"}

# A stack that says one thing to saslauthd, and another to ours.
_ODD = 'test "$(cat /proc/$PPID/comm)" != saslauthd'


def commands() -> Iterator[str]:
    """The lines of the section's blocks that are commands."""
    section = re.search(r"^## Moving over from saslauthd\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    assert section
    known = {"install", "kill", "saslauthd", *PROGRAMS}
    for line in re.findall(r"^    (\S.*)$", section[1], re.MULTILINE):
        if line.split()[0] in known:
            yield line


class Place:
    """A machine that has nothing of the host's in ``/run``."""

    def __init__(self, files: PamFiles, devlog: DevLog) -> None:
        self.run_path = files.directory / "run"
        self.run_path.mkdir()
        self._binds = {**files.binds, Path("/run"): self.run_path}
        self._programs = files.directory / "bin"
        self._programs.mkdir()
        for program, module in PROGRAMS.items():
            # There may be no log daemon here, and its socket's place cannot be taken then.
            more = f" -o syslog_socket={devlog.path}" if module == "daemon" else ""
            words = shlex.join([sys.executable, "-m", f"pysaslauthd.commands.{module}"])
            script = self._programs / program
            script.write_text(f'#!/bin/sh\nexec {words}{more} "$@"\n')
            script.chmod(0o755)

    def run(self, line: str) -> str:
        """Run a command there, as root; what it prints."""
        done = subprocess.run(
            inside(["sh", "-ec", line], binds=self._binds),
            input=PASSWORD + b"\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin"},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout.decode(errors='replace')}"
        return done.stdout.decode()

    def end_all(self) -> None:
        """Of both daemons nothing stays."""
        for file in self.run_path.glob("*/saslauthd.pid"):
            pid = int(file.read_text())
            family = [pid, *(child.pid for child in processes.descendants(pid))]
            for each in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            wait_until(lambda family=family: not any(map(processes.is_alive, family)), "they are gone")  # type: ignore[misc]


@pytest.fixture
def devlog() -> Iterator[DevLog]:
    with DevLog() as log:
        yield log


@pytest.fixture
def place(devlog: DevLog) -> Iterator[Place]:
    need_root()
    need_namespaces()
    need_program("saslauthd", "sasl2-bin")
    with PamFiles([Account(IGOR, PASSWORD, hashed(PASSWORD).encode())]) as files:
        for service in ("smtp", "imap"):
            files.service(service, UNIX)
        odd = files.script("odd", _ODD)
        files.service("odd", f"auth required pam_exec.so quiet {odd}\naccount required pam_permit.so\n")
        made = Place(files, devlog)
        try:
            yield made
        finally:
            made.end_all()


def test_the_readmes_commands_lead_from_the_one_to_the_other(place: Place, devlog: DevLog) -> None:
    steps = list(commands())
    assert [line.split()[0] for line in steps] == [
        *("install", "saslauthd", "pysaslauthd"),
        *("testpysaslauthd", "testpysaslauthd", "kill", "kill", "pysaslauthd"),
    ]
    install, old, new, try_new, try_old, report, end, proxy = steps
    place.run("install -d -o root -g sasl -m 710 /run/saslauthd")  # as Debian's package has it
    for line in (install, old, new):
        place.run(line)
    mine = place.run_path / "saslauthd/mux"
    assert place.run(try_old) == place.run(try_new) == '0: OK "Success."\n'
    assert mux.ask(mine, IGOR, b"wrong", b"smtp") == "NO"
    assert mux.ask(mine, IGOR, b"anything", b"odd") == "OK"
    told = devlog.find(b"compared and different: [user=igor]")
    assert told.endswith(b"[service=odd] [realm=] [ours=OK] [theirs=NO] [reason=PAM auth error]")
    summary = b": compared with /run/saslauthd-old/mux: 1 equal, 1 different, 0 unavailable, 0 dropped"

    def is_reported() -> bool:
        place.run(report)
        return any(summary in datagram for datagram in devlog.datagrams)

    wait_until(is_reported, "both comparisons have come and are counted")
    place.run(proxy.replace("proxy", "proxy -m /run/third"))
    third = place.run_path / "third/mux"
    assert (mux.ask(third, IGOR, PASSWORD, b"smtp"), mux.ask(third, IGOR, b"anything", b"odd")) == (
        "OK",
        "NO",
    )
    place.run(end)
    assert mux.ask(mine, IGOR, PASSWORD, b"smtp") == "OK"
    assert not [datagram for datagram in devlog.datagrams if PASSWORD in datagram]

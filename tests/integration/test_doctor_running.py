"""``doctor`` beside a daemon that runs: it goes by that one's command line, asks it nothing, and leaves no trace."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.doctor import Report, parsed
from support.waiting import wait_until

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.control")


def examine(daemon: Daemon, *words: str) -> Report:
    command = [*COMMAND, "-m", str(daemon.run_path), "doctor", "--json", "-v", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "", done.stderr
    return parsed(done.stdout, done.returncode)


@pytest.mark.parametrize("words", [(), ("--", "-a", "shadow")])
def test_the_daemon_on_the_run_path_is_the_one_that_is_looked_at(words: tuple[str, ...]) -> None:
    with Daemon() as daemon:
        before = wait_until(
            lambda: daemon.log if "(worker 5)" in daemon.log else "", "all is said of the start"
        )
        report = examine(daemon, *words)
        assert report.get("listening").text == f"pysaslauthd listens on {daemon.mux}"
        assert "no-mechanism" not in {each.id for each in report.findings}
        assert daemon.log == before
    assert "not-running" in {each.id for each in examine(daemon, "--", "-a", "shadow").findings}


def test_what_lies_above_the_run_directory_is_made(tmp_path: Path) -> None:
    run_path = tmp_path / "not there" / "saslauthd"
    command = [*COMMAND, "doctor", "--json", "--", "-a", "pam", "-m", str(run_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (found,) = (
        each
        for each in parsed(done.stdout, done.returncode).findings
        if each.text.endswith("is no directory")
    )
    assert found.cure[-1].startswith("install -d -o root -g sasl")
    assert found.cure[-1].endswith(f" -m 0710 '{run_path}'")

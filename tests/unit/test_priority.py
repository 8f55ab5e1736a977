"""A worker yields the processor for a guess, and has it back for who comes next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pysaslauthd.workers import priority
from pysaslauthd.workers.priority import Priority
from support.packages import need_root


def test_what_the_kernel_did_not_let_us_take_back_is_taken_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_root()
    session = tmp_path / "autogroup"
    monkeypatch.setattr(priority, "_SESSION", session)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    tried = Priority(own + 1)
    try:
        tried.set(yields=True)
        assert (os.getpriority(os.PRIO_PROCESS, 0), session.read_text()) == (own + 1, str(own + 1))
        session.unlink()
        session.mkdir()  # which cannot be written, as the session's niceness at times
        tried.set(yields=False)
        assert os.getpriority(os.PRIO_PROCESS, 0) == own
        session.rmdir()
        tried.set(yields=False)
        assert session.read_text() == str(own)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, own)


@pytest.mark.parametrize(("without", "niceness"), [((), "15 0"), (("--bounding-set", "-sys_nice"), "0 0")])
def test_nothing_is_given_up_that_could_not_be_taken_back(without: tuple[str, ...], niceness: str) -> None:
    """Root in many a container has not the capability for it."""
    need_root()
    script = (
        "import os; from pysaslauthd.workers.priority import Priority; own = os.getpriority(0, 0)\n"
        "tried = Priority(own + 15); tried.set(yields=True); low = os.getpriority(0, 0)\n"
        "tried.set(yields=False); print(low - own, os.getpriority(0, 0) - own)"
    )
    command = ["setpriv", *without, sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == niceness

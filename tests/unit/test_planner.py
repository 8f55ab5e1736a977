"""A reload that cannot be planned."""

import types

import pytest

from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.commands.planner import Planner
from pysaslauthd.config.command_line import read_command_line
from pysaslauthd.config.given import Effective
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.master.generation import NotReloadedError


class _Faulty(Configuration):
    """One that is read with a bug of ours."""

    def read(self) -> Effective:
        raise ValueError("5ecret")


def test_for_a_bug_of_ours_leaves_what_was_in_force_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    options = Options((MECHANISMS["pam"],))
    planner = Planner(_Faulty(read_command_line([])), options, None, (), {"pam": types.ModuleType("x")})
    with pytest.raises(NotReloadedError, match=r"^internal error: ValueError at "):
        planner.again(None)  # type: ignore[arg-type]
    out, err = capfd.readouterr()
    assert "not reloaded" in out + err
    assert "internal error: ValueError at test_planner.py" in out + err
    assert "5ecret" not in out + err

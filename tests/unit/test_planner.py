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
from support.log_readers import json_on_standard_error


class _Faulty(Configuration):
    """One that is read with a bug of ours."""

    def read(self) -> Effective:
        raise ValueError("5ecret")


def test_for_a_bug_of_ours_leaves_what_was_in_force_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    options = Options((MECHANISMS["pam"],))
    planner = Planner(_Faulty(read_command_line([])), options, None, (), {"pam": types.ModuleType("x")})
    with json_on_standard_error(), pytest.raises(NotReloadedError, match=r"^internal error: ValueError at "):
        planner.again(None)  # type: ignore[arg-type]
    told = capfd.readouterr().err
    assert "not reloaded" in told
    assert "internal error: ValueError at test_planner.py" in told
    assert "5ecret" not in told

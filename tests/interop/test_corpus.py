"""The programs send what is recorded of them, and all but Exim in one write.

By that a request of four fields is known to be whole: a fifth would have come with them.
"""

import pytest

from support import corpus
from support.program_machines import Machines
from support.sasl_programs import PROGRAMS, Program

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_a_program_sends_what_was_recorded(program: Program, machines: Machines) -> None:
    sent = corpus.record(program, machines[program.machine].machine)
    assert [each.data for each in sent] == [recorded.data for recorded in corpus.recorded(program.name)]
    assert all(each.in_one_read for each in sent) or not program.writes_once

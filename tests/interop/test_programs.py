"""The programs that ask saslauthd, each on a machine made as the README says, log in by us and by nobody else."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.fake_daemon import FakeDaemon
from support.machine_daemon import DEADLINE, IGOR, RIGHT, STUCK, TORTOISE, WRONG, daemon
from support.program_machines import REALM, Machines
from support.sasl_programs import BASE, PROGRAMS, Program

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

UNKNOWN = ("nobody-at-all", RIGHT)
LATE = (STUCK, RIGHT)

DOWN = "/etc/saslauthd-down.conf"
"""Names a directory server where nobody listens."""


@pytest.fixture(params=PROGRAMS, ids=[program.name for program in PROGRAMS])
def program(request: pytest.FixtureRequest) -> Program:
    chosen: Program = request.param
    return chosen


def expected(program: Program) -> dict[tuple[str, str], str]:
    """The right answer to each login that is tried, in the program's words."""
    return {
        (IGOR, RIGHT): program.accepted,
        (IGOR, WRONG): program.refused,
        (f"{IGOR}@{REALM}", RIGHT): program.accepted if program.splits_realm else program.refused,
        UNKNOWN: program.refused,
        (TORTOISE, RIGHT): program.accepted,
        LATE: program.unavailable,
    }


def complaints(program: Program, machines: Machines) -> Mapping[tuple[str, str], str]:
    """What it said where it was not the right answer. All log in at the same time."""
    machine = machines[program.machine].machine
    right = expected(program)
    with ThreadPoolExecutor(len(right)) as threads:
        answers = dict(
            zip(right, threads.map(lambda asked: program.login(machine, *asked), right), strict=True)
        )
    return {asked: answer for asked, answer in answers.items() if answer != right[asked]}


def test_it_hears_the_truth_and_nobody_waits_longer_than_the_deadline(
    program: Program, machines: Machines
) -> None:
    with daemon(machines[program.machine].machine, "pam", "-o", f"login_timeout={DEADLINE}"):
        assert complaints(program, machines) == {}


def test_a_daemon_that_is_not_there_is_no_wrong_password_where_the_program_can_tell(
    program: Program, machines: Machines
) -> None:
    machine = machines[program.machine].machine
    assert program.login(machine, IGOR, RIGHT) == program.unavailable


def test_a_directory_that_is_down_is_no_wrong_password_where_the_program_can_tell(
    program: Program, machines: Machines
) -> None:
    machine = machines[program.machine].machine
    machine.write(DOWN, f"ldap_servers: ldap://127.0.0.1:1/\nldap_search_base: {BASE}\n", 0o600)
    with daemon(machine, "ldap", "-O", DOWN):
        assert program.login(machine, IGOR, RIGHT) == program.unavailable


def test_a_daemon_that_always_says_yes_is_noticed(program: Program, machines: Machines) -> None:
    wrong = {asked for asked, answer in expected(program).items() if answer != program.accepted}
    with FakeDaemon(b"OK", mux=machines[program.machine].machine.root / program.mux):
        assert complaints(program, machines) == dict.fromkeys(wrong, program.accepted)


def test_a_daemon_that_always_says_no_is_noticed(program: Program, machines: Machines) -> None:
    wrong = {asked for asked, answer in expected(program).items() if answer != program.refused}
    with FakeDaemon(b"NO", mux=machines[program.machine].machine.root / program.mux):
        assert complaints(program, machines) == dict.fromkeys(wrong, program.refused)

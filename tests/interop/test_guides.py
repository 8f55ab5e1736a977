"""What the README tells an administrator to type works, and shows what it says it will."""

import pytest

from support.program_machines import KINDS, Machines

pytestmark = pytest.mark.timeout(600)  # The first to come builds the package and a machine.

GUIDES = [(name, guide) for name, kind in KINDS.items() for guide in kind.guides]


@pytest.mark.parametrize(("machine", "guide"), GUIDES)
def test_a_guide_that_is_followed_shows_what_it_says(machines: Machines, machine: str, guide: str) -> None:
    claims = machines[machine].claims[guide]
    assert claims
    for claim in claims:
        assert claim.is_true, f"{claim.line!r} is not in:\n{claim.seen}"

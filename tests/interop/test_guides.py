"""What the README tells an administrator to type works, and shows what it says it will."""

import pytest

from support.guides import Claim
from support.program_machines import KINDS, Machines, claims_under_systemd

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

GUIDES = [(name, guide) for name, kind in KINDS.items() for guide in kind.guides]


@pytest.mark.parametrize(("machine", "guide"), GUIDES)
def test_a_guide_that_is_followed_shows_what_it_says(machines: Machines, machine: str, guide: str) -> None:
    check(machines[machine].claims[guide])


@pytest.mark.parametrize("machine", ["sendmail-tls", "postfix"])
def test_the_guides_do_as_well_where_systemd_starts_the_services(machine: str) -> None:
    for claims in claims_under_systemd(machine).values():
        check(claims)


def check(claims: list[Claim]) -> None:
    assert claims
    for claim in claims:
        assert claim.is_true, f"{claim.line!r} is not in:\n{claim.seen}"

"""For tests with the programs that ask saslauthd: their machines, which live as long as a run of the tests."""

from collections.abc import Iterator

import pytest

from support.program_machines import Machines


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    with Machines() as machines:
        yield machines

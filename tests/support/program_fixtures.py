"""For tests with the programs that ask saslauthd: their machines, which the tests of one folder share."""

from collections.abc import Iterator

import pytest

from support.program_machines import Machines

_MACHINES = Machines()


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    yield _MACHINES
    _MACHINES.stop()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End them with the last test of the folder: nobody else wants a log daemon's thread, nor their processes."""
    if nextitem is None or nextitem.path.parent != item.path.parent:
        _MACHINES.stop()

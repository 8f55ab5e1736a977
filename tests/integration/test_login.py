"""A login, seen from the client's side of the socket."""

from collections.abc import Iterator

import pytest

from support import mux
from support.daemon import LOGIN, PASSWORD, WRONG, Daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as running:
        yield running


def test_the_right_password_is_accepted(daemon: Daemon) -> None:
    assert mux.exchange(daemon.mux, mux.request(LOGIN, PASSWORD)) == b"\0\2OK"


def test_a_wrong_password_is_refused(daemon: Daemon) -> None:
    assert mux.exchange(daemon.mux, mux.request(LOGIN, WRONG)) == b"\0\2NO"

import pickle
import traceback

import pytest

from pysaslauthd.core.identity import Identity, identify
from pysaslauthd.core.messages import Login
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request

SECRET = Secret(b"hunter2")


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>30}".format, lambda s: f"{[s]} {(s,)}"])
def test_a_secret_does_not_show_itself(show: object) -> None:
    assert "hunter2" not in show(SECRET)  # type: ignore[operator]


def test_what_holds_a_secret_does_not_show_it() -> None:
    identity = Identity(b"alice", b"imap", b"", None)
    for holder in (Request(b"alice", SECRET, b"imap", b""), Login(1, identity, SECRET)):
        assert "hunter2" not in repr(holder)


def test_an_exception_that_holds_a_secret_does_not_show_it() -> None:
    error = ValueError(SECRET, [SECRET])
    assert "hunter2" not in "".join(traceback.format_exception(error))


def test_a_secret_is_neither_pickled_nor_a_key() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(SECRET)
    with pytest.raises(TypeError):
        {SECRET: 1}  # noqa: B018


def test_secrets_compare_by_value_with_secrets_only() -> None:
    assert Secret(b"hunter2") == SECRET
    assert Secret(b"hunter3") != SECRET
    assert SECRET != b"hunter2"
    assert SECRET.reveal() == b"hunter2"
    assert SECRET
    assert not Secret(b"")


class TestIdentity:
    REQUEST = Request(b"ok@a", SECRET, b"smtp", b"b", b"192.0.2.7;1")

    def test_keeps_login_and_realm_apart(self) -> None:
        assert identify(self.REQUEST, append_realm=False) == Identity(b"ok@a", b"smtp", b"b", b"192.0.2.7;1")

    def test_joins_them_if_asked_even_to_a_login_that_has_one(self) -> None:
        assert identify(self.REQUEST, append_realm=True).login == b"ok@a@b"
        assert identify(self.REQUEST, append_realm=True).realm == b"b"

    def test_joins_no_empty_realm(self) -> None:
        assert identify(Request(b"ok", SECRET, b"", b""), append_realm=True).login == b"ok"

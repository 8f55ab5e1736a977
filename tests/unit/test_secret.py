import pickle
import traceback

import pytest

from pysaslauthd.core.identity import Identity, RealmPolicy, identify, realm_of
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


def test_a_secret_is_found_in_what_repeats_it() -> None:
    assert SECRET.is_in(b"no hunter2 here")
    assert not SECRET.is_in(b"hunter 2")
    assert not Secret(b"").is_in(b"")


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
        assert identify(self.REQUEST, RealmPolicy.LOGIN) == Identity(b"ok@a", b"smtp", b"b", b"192.0.2.7;1")

    def test_joins_them_if_asked_even_to_a_login_that_has_one(self) -> None:
        assert identify(self.REQUEST, RealmPolicy.APPEND).login == b"ok@a@b"
        assert identify(self.REQUEST, RealmPolicy.APPEND).realm == b"b"

    @pytest.mark.parametrize(
        ("policy", "login", "realm", "seen"),
        [
            (RealmPolicy.APPEND_MISSING, b"ok", b"b", b"ok@b"),
            (RealmPolicy.APPEND_MISSING, b"ok@a", b"b", b"ok@a"),
            (RealmPolicy.APPEND_MISSING, b"ok", b"", b"ok"),
            (RealmPolicy.STRIP, b"ok@a", b"b", b"ok"),
            (RealmPolicy.STRIP, b"ok@a@c", b"", b"ok@a"),
            (RealmPolicy.STRIP, b"ok", b"b", b"ok"),
            (RealmPolicy.STRIP, b"@a", b"", b"@a"),
            (RealmPolicy.STRIP, b"ok@", b"", b"ok"),
        ],
    )
    def test_makes_of_them_what_the_policy_says(
        self, policy: RealmPolicy, login: bytes, realm: bytes, seen: bytes
    ) -> None:
        identity = identify(Request(login, SECRET, b"", realm), policy)
        assert (identity.login, identity.realm) == (seen, realm)

    @pytest.mark.parametrize(
        ("login", "realm", "expected"),
        [
            (b"ok", b"", b""),
            (b"ok", b"b", b"b"),
            (b"ok@a", b"b", b"b"),
            (b"ok@a", b"", b"a"),
            (b"ok@a@c", b"", b"c"),
            (b"ok@", b"", b""),
        ],
    )
    def test_knows_the_realm_that_it_is_about(self, login: bytes, realm: bytes, expected: bytes) -> None:
        assert realm_of(Request(login, SECRET, b"", realm)) == expected

    def test_joins_no_empty_realm(self) -> None:
        assert identify(Request(b"ok", SECRET, b"", b""), RealmPolicy.APPEND).login == b"ok"

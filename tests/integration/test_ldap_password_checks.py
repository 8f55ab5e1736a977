"""Passwords as directories store them and as people type them, by each method, on a real slapd."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.ldap_daemon import LdapDaemon
from support.ldap_directory import (
    NO_PASSWORD,
    ODD_PASSWORDS,
    PEOPLE,
    SERVICE_PASSWORD,
    TWO_PASSWORDS,
    U0,
    U1,
    person,
    stored_as,
    user,
)
from support.ldap_logins import METHODS, PEOPLE_BASE, asked, daemon, daemons_of, right
from support.ldap_schemes import (
    BROKEN,
    CLASSIC,
    CRASHING,
    CRYPT_METHODS,
    NEWER,
    SECRET,
    scheme_people,
    scheme_person,
)
from support.packages import cannot_run
from support.slapd import Options, Slapd

LONG = person("long-password", b"".join(b"%d," % number for number in range(2000))[:8192])
"""As long as a request may have it."""

MIXED = stored_as("mixed", b"good one", b"{X-NEW}x", b"{SSHA}AAAA", b"{CRYPT}*", b"good one", CLASSIC["ssha"])
"""One value that fits among some that nothing can be compared with; ``secret`` fits another."""

NOT_A_SCHEME = {"no-end", "blank-in-front"}
"""Of the broken ones: clear text, as nothing says otherwise."""

CHANGING = {method: user(number) for number, method in enumerate(METHODS, start=10)}


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """Of these tests alone, as they change passwords."""
    with Slapd(Options(entries=(LONG.entry, MIXED.entry))) as running:
        yield running


@pytest.fixture(scope="module")
def daemons(slapd: Slapd) -> Iterator[dict[str, LdapDaemon]]:
    """One for each method, verbose. Whatever is done to them, no password and no hash is in what they log."""
    with daemons_of(slapd) as started:
        yield started
        assert [
            secret for secret in secrets() if any(secret in each.log.encode() for each in started.values())
        ] == []


def secrets() -> list[bytes]:
    """What is no part of a line by chance."""
    people = [U0, U1, LONG, *CHANGING.values(), *ODD_PASSWORDS.values(), *scheme_people()]
    hashes = [stored.rpartition(b"}")[2].rpartition(b"$")[2] for who in people for stored in who.stored]
    typed = [SERVICE_PASSWORD, b"good one", b"new Secret", *(who.password for who in people)]
    return [secret for secret in [*typed, *hashes] if len(secret) > 7 or secret == SECRET]


@pytest.fixture
def custom(daemons: dict[str, LdapDaemon]) -> LdapDaemon:
    return daemons["custom"]


@pytest.mark.parametrize("method", METHODS)
class TestByEachMethod:
    def test_every_byte_of_a_password_counts(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        for name, who in ODD_PASSWORDS.items():
            *_, last = password = who.password
            # slapd itself takes what looks like a scheme for one, also when it compares.
            assert (name, daemons[method].ask(*right(who))) == (name, "NO" if name == "hash" else "OK")
            others = {bytes([*password[:-1], last ^ 1 or 2]), password[:-1], password + b"x", b"~" + password}
            for other in others - {b""}:
                assert (name, other, daemons[method].ask(who.login.encode(), other)) == (name, other, "NO")

    def test_as_long_a_password_as_a_request_has(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        login = daemons[method]
        assert login.ask(*right(LONG)) == "OK"
        assert login.ask(LONG.login.encode(), LONG.password[:-1]) == "NO"
        assert login.ask(LONG.login.encode(), LONG.password[:-1] + b"~") == "NO"

    def test_a_change_counts_at_once(self, slapd: Slapd, daemons: dict[str, LdapDaemon], method: str) -> None:
        login, who = daemons[method], CHANGING[method]
        for _ in range(3):
            assert login.ask(*right(who)) == "OK"
        slapd.set_password(who.dn, b"new Secret")
        assert login.ask(*right(who)) == "NO"
        assert login.ask(who.login.encode(), b"new Secret") == "OK"
        assert login.ask(*right(who)) == "NO"
        slapd.set_password(who.dn, *who.stored)
        assert login.ask(who.login.encode(), b"new Secret") == "NO"
        assert login.ask(*right(who)) == "OK"

    def test_anothers_is_wrong(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        for _ in range(2):
            assert daemons[method].ask(*right(U0)) == "OK"
            assert daemons[method].ask(*right(U1)) == "OK"
            assert daemons[method].ask(b"u0", U1.password) == "NO"
            assert daemons[method].ask(b"u1", U0.password) == "NO"

    def test_each_of_several_counts(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        typed = {
            password: daemons[method].ask(b"two-passwords", password) for password in TWO_PASSWORDS.stored
        }
        assert typed == dict.fromkeys((b"old one", b"new one"), "OK")
        for password in (b"old onenew one", b"old", b"one"):
            assert daemons[method].ask(b"two-passwords", password) == "NO"

    def test_none_is_no_password(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        for password in (NO_PASSWORD.password, b"x", b" "):
            assert daemons[method].ask(b"no-password", password) == "NO"


def needs_its_library(name: str) -> None:
    if name == "argon2":
        try:
            import argon2  # noqa: F401, PLC0415  (only to see whether it is there)
        except ImportError:
            cannot_run("needs the Python package argon2-cffi")


class TestComparing:
    @pytest.mark.parametrize("name", [*CLASSIC, *NEWER])
    def test_knows_the_scheme(self, custom: LdapDaemon, name: str) -> None:
        needs_its_library(name)
        who = scheme_person(name)
        assert custom.ask(*right(who)) == "OK"
        for password in (b"Secret", SECRET + b"x", SECRET[:-1], b" " + SECRET):
            assert custom.ask(who.login.encode(), password) == "NO"

    @pytest.mark.parametrize("name", [name for name in [*CLASSIC, *NEWER] if name != "clear"])
    def test_does_not_take_what_is_stored(self, custom: LdapDaemon, name: str) -> None:
        """Whoever has read a hash has not read the password."""
        who = scheme_person(name)
        for typed in (who.stored[0], who.stored[0].partition(b"}")[2], who.stored[0].lower()):
            assert custom.ask(who.login.encode(), typed) == "NO"

    @pytest.mark.parametrize("name", [*BROKEN, *CRASHING])
    def test_fits_nothing_to_what_is_broken(self, custom: LdapDaemon, name: str) -> None:
        worker = custom.workers()
        who = scheme_person(name)
        clear_text = name in NOT_A_SCHEME
        expected = "OK" if name == "cleartext" else "NO"
        assert custom.ask(*right(who)) == expected
        assert custom.ask(who.login.encode(), who.stored[0]) == ("OK" if clear_text else "NO")
        assert custom.ask(who.login.encode(), who.stored[0].partition(b"}")[2] or b"x") == expected
        assert custom.ask(*right(U0)) == "OK"
        assert custom.workers() == worker

    def test_says_what_is_wrong_with_a_stored_value(self, custom: LdapDaemon) -> None:
        for name, text in {
            "unknown-scheme": "unknown password scheme {X-NEW}",
            "ssha-short": "{SSHA} with 3 bytes behind it; expected 20",
            "md5-no-base64": "{MD5} without base64 behind it",
        }.items():
            custom.ask(*right(scheme_person(name)))
            assert f"ldap: scheme-{name}: wrong password, or {text}" in custom.log

    def test_goes_on_to_the_next_value(self, custom: LdapDaemon) -> None:
        for password in (b"good one", SECRET):
            assert custom.ask(b"mixed", password) == "OK"
        for password in (b"good one" + SECRET, b"x", *MIXED.stored[:3]):
            assert custom.ask(b"mixed", password) == "NO"

    def test_does_not_confuse_passwords_that_are_compared_at_a_time(self, custom: LdapDaemon) -> None:
        """As ``crypt`` does, whose buffer all threads share."""
        people = [scheme_person(f"crypt-{name}") for name in CRYPT_METHODS]
        requests = [
            (who.login.encode(), password, verdict)
            for _ in range(8)
            for who in people
            for password, verdict in ((SECRET, "OK"), (b"wrong", "NO"), (SECRET + b"x", "NO"))
        ]
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda request: custom.ask(*request[:2]), requests))
        assert found == [verdict for *_, verdict in requests]

    def test_needs_an_attribute_that_may_be_read(self, slapd: Slapd) -> None:
        with daemon(slapd, PEOPLE_BASE + "ldap_auth_method: custom\n") as anonymous:
            assert asked(slapd, anonymous, *right(U0))[0] == "NO"
            assert f"ldap: u0: uid=u0,{PEOPLE}: wrong password" in anonymous.log


def test_the_search_for_secrets_would_find_them() -> None:
    assert {
        SERVICE_PASSWORD,
        SECRET,
        U0.password,
        *(CLASSIC[n].partition(b"}")[2] for n in ("ssha", "md5")),
    } <= set(secrets())

"""What becomes of the tokens in filters and DNs, as a real slapd writes down what it was asked: values, and never more."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support.ldap_daemon import LdapDaemon
from support.ldap_directory import (
    GROUPS,
    INNER,
    PEOPLE,
    REALM_USERS,
    REALMS,
    STRANGE_NAMES,
    U0,
)
from support.ldap_logins import BIND, CUSTOM, FASTBIND, asked, bind, daemon, right, search
from support.slapd import Slapd

LETTERS = "uUd123456789srR"


class Case(NamedTuple):
    """Login, service and realm, and what the letters then stand for; those that are not named, for nothing."""

    login: bytes
    service: bytes
    realm: bytes
    text: str

    def value(self, letter: str) -> str:
        return dict(word.split("=") for word in self.text.split()).get(letter, "")


CASES = (
    Case(b"joe", b"", b"", "u=joe U=joe"),
    Case(b"joe", b"", b"r1.r2", "u=joe U=joe 1=r2 2=r1 r=r1.r2 R=@r1.r2"),
    Case(b"joe@sub.dom.tld", b"imap", b"", "u=joe@sub.dom.tld U=joe d=sub.dom.tld 1=tld 2=dom 3=sub s=imap"),
    Case(b"joe@dom.tld", b"s", b"r1.r2", "u=joe@dom.tld U=joe d=dom.tld 1=tld 2=dom s=s r=r1.r2 R=@r1.r2"),
    Case(b"joe@", b"", b"r1.r2", "u=joe@ U=joe 1=r2 2=r1 r=r1.r2 R=@r1.r2"),
    Case(b"joe@x@y.z", b"", b"", "u=joe@x@y.z U=joe d=x@y.z 1=z 2=x@y"),
    Case(b"joe@a..b", b"", b"", "u=joe@a..b U=joe d=a..b 2=b 3=a"),
    Case(b"@dom.tld", b"", b"", "u=@dom.tld d=dom.tld 1=tld 2=dom"),
    Case(
        b"j@z.i.h.g.f.e.d.c.b.a",
        b"",
        b"",
        "u=j@z.i.h.g.f.e.d.c.b.a U=j d=z.i.h.g.f.e.d.c.b.a 1=a 2=b 3=c 4=d 5=e 6=f 7=g 8=h 9=i",
    ),
)


def as_dn(below: str) -> str:
    """A template of a DN with all letters, each behind itself, as no part of a DN may be empty; and with what is none."""
    return ",".join(f"ou={letter}:%{letter}" for letter in LETTERS) + f",ou=%%%x%0,{below}"


def dn_of(case: Case, below: str) -> str:
    return ",".join(f"ou={letter}:{case.value(letter)}" for letter in LETTERS) + f",ou=%,{below}"


def as_filter() -> str:
    """The same for filters, by an attribute whose values slapd writes down as they are, and not in small letters."""
    return "(|" + "".join(f"(homeDirectory={c}:%{c})" for c in LETTERS + "D") + "(homeDirectory=%%%x%0))"


def filter_of(case: Case, dn: str = "") -> str:
    parts = (f"(homeDirectory={letter}:{case.value(letter)})" for letter in LETTERS)
    return "(|" + "".join(parts) + f"(homeDirectory=D:{dn})(homeDirectory=%))"


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """Of these tests alone, so that nobody else's operations are in its log."""
    with Slapd() as running:
        yield running


class TestTokens:
    def test_stand_in_the_users_base_and_filter(self, slapd: Slapd) -> None:
        with daemon(slapd, f"ldap_search_base: {as_dn(PEOPLE)}\nldap_filter: {as_filter()}\n") as started:
            for case in CASES:
                assert asked(slapd, started, case.login, b"x", case.service, case.realm) == (
                    "NO",
                    [search(dn_of(case, PEOPLE), filter_of(case))],
                )

    def test_stand_in_the_groups_base_and_filter_with_the_users_dn(self, slapd: Slapd) -> None:
        text = f"ldap_group_search_base: {as_dn('%D')}\nldap_group_filter: {as_filter()}\n"
        with daemon(slapd, CUSTOM + "ldap_filter: (uid=u0)\n" + text) as started:
            for case in CASES:
                verdict, operations = asked(slapd, started, case.login, U0.password, case.service, case.realm)
                assert verdict == "NO"
                assert operations == [
                    search(PEOPLE, "(uid=u0)"),
                    search(dn_of(case, U0.dn), filter_of(case, U0.dn)),
                ]

    def test_stand_in_the_dn_of_a_group(self, slapd: Slapd) -> None:
        text = f"ldap_filter: (uid=u0)\nldap_group_dn: {as_dn(GROUPS)}\n"
        with daemon(slapd, CUSTOM + text) as started:
            for case in CASES:
                _, (_, compare) = asked(slapd, started, case.login, U0.password, case.service, case.realm)
                assert compare == f'CMP dn="{dn_of(case, GROUPS)}" attr="uniqueMember"'

    def test_stand_in_the_dn_of_fastbind(self, slapd: Slapd) -> None:
        with daemon(slapd, f"ldap_auth_method: fastbind\nldap_filter: {as_dn(PEOPLE)}\n") as started:
            for case in CASES:
                assert asked(slapd, started, case.login, b"x", case.service, case.realm) == (
                    "NO",
                    [bind(dn_of(case, PEOPLE))],
                )

    def test_take_a_login_that_its_realm_has_joined(self, slapd: Slapd) -> None:
        joe = REALM_USERS["one.test"]
        text = f"ldap_search_base: o=%d,{REALMS}\nldap_filter: (uid=%U)\n"
        with daemon(slapd, text, "-r") as started:
            assert started.ask(*right(joe), b"imap", b"one.test") == "OK"
            assert started.ask(*right(joe), b"imap", b"two.test") == "NO"


FILTER_ATTACKS = {
    b"*": r"\2A",
    b"u*": r"u\2A",
    b"u0)(uid=*": r"u0\29\28uid=\2A",
    b"*)(uid=*))(|(uid=*": r"\2A\29\28uid=\2A\29\29\28|\28uid=\2A",
    b"u0)(&": r"u0\29\28&",
    b"u0)": r"u0\29",
    b"(u0": r"\28u0",
    b"\\2a": r"\5C2a",
    b"\\75\\30": r"\5C75\5C30",
    b"u0\\": r"u0\5C",
    b"u0\\00": r"u0\5C00",
    b"%u": "%u",
    b"!(uid=u1)": r"!\28uid=u1\29",
    b"u0\r\n": r"u0\0D\0A",
    b"=*": r"=\2A",
}
"""Logins that would be more than a value, and how slapd writes the value that they are."""

DN_ATTACKS = {
    b"u0,ou=people": r"u0\2Cou\3Dpeople",
    b"inner-user,ou=inner": r"inner-user\2Cou\3Dinner",
    b"u0+cn=u0": r"u0\2Bcn\3Du0",
    b"u0;ou=inner": r"u0\3Bou\3Dinner",
    b"u0\\": r"u0\5C",
    b"u0\\2c": r"u0\5C2c",
    b"\\75\\30": r"\5C75\5C30",
    b'"u0"': r"\22u0\22",
    b"#0402u0": r"\230402u0",
    b"<u0>": r"\3Cu0\3E",
    b"*": "*",
    b"u0)": "u0)",
    b"%u": "%u",
    b"%D": "%D",
}
"""The same for DNs."""


@pytest.fixture(scope="module")
def by_realm(slapd: Slapd) -> Iterator[LdapDaemon]:
    with daemon(slapd, BIND.replace(PEOPLE, f"o=%r,{REALMS}")) as started:
        yield started


class TestAnAttack:
    """Whoever logs in chooses a value, and not what is done with it."""

    def test_by_the_login_is_a_value_in_a_filter(self, slapd: Slapd, by_realm: LdapDaemon) -> None:
        joe = REALM_USERS["one.test"]
        base = f"o=one.test,{REALMS}"
        for login, value in FILTER_ATTACKS.items():
            found = asked(slapd, by_realm, login, joe.password, b"imap", b"one.test")
            assert (login, *found) == (login, "NO", [search(base, f"(uid={value})")])

    def test_by_the_realm_is_a_value_in_a_search_base(self, slapd: Slapd, by_realm: LdapDaemon) -> None:
        joe = REALM_USERS["one.test"]
        for realm, value in DN_ATTACKS.items():
            found = asked(slapd, by_realm, *right(joe), b"imap", realm)
            assert (realm, *found) == (realm, "NO", [search(f"o={value},{REALMS}", "(uid=joe)")])
        assert by_realm.ask(*right(joe), b"imap", b"x,o=one.test") == "NO"

    def test_by_the_login_is_a_value_in_the_dn_of_fastbind(self, slapd: Slapd) -> None:
        with daemon(slapd, FASTBIND) as started:
            for login, value in DN_ATTACKS.items():
                found = asked(slapd, started, login, U0.password)
                assert (login, *found) == (login, "NO", [bind(f"uid={value},{PEOPLE}")])
            assert started.ask(INNER.login.encode() + b",ou=inner", INNER.password) == "NO"

    def test_by_the_service_is_a_value_in_the_dn_of_a_group(self, slapd: Slapd) -> None:
        with daemon(slapd, CUSTOM + f"ldap_group_dn: cn=%s,{GROUPS}\n") as started:
            for service, value in DN_ATTACKS.items():
                verdict, (_, compare) = asked(slapd, started, *right(U0), service)
                assert (service, verdict) == (service, "NO")
                assert compare == f'CMP dn="cn={value},{GROUPS}" attr="uniqueMember"'
            assert started.ask(*right(U0), b"x,cn=staff") == "NO"
            assert started.ask(*right(U0), b"staff") == "OK"

    def test_by_the_realm_is_a_value_in_the_filter_of_a_group(self, slapd: Slapd) -> None:
        text = f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (&(uniqueMember=%D)(cn=%r))\n"
        with daemon(slapd, CUSTOM + text) as started:
            for realm, value in FILTER_ATTACKS.items():
                verdict, (_, found) = asked(slapd, started, *right(U0), b"imap", realm)
                assert (realm, verdict) == (realm, "NO")
                assert found == search(GROUPS, f"(&(uniqueMember={U0.dn})(cn={value}))")
            assert started.ask(*right(U0), b"imap", b"staff") == "OK"

    def test_by_ones_own_name_is_a_value_in_the_filter_of_a_group(self, slapd: Slapd) -> None:
        """Where users may choose their logins, such as ``star*``, none gets into a group by it."""
        text = f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (|(uniqueMember=%D)(memberUid=%u))\n"
        with daemon(slapd, CUSTOM + text) as started:
            verdicts = {login: started.ask(*right(who)) for login, who in STRANGE_NAMES.items()}
            _, (_, operation) = asked(slapd, started, *right(STRANGE_NAMES["star*"]))
        assert [login for login, verdict in verdicts.items() if verdict == "OK"] == ["comma", "jürgen"]
        assert r"(memberUid=star\2A)" in operation

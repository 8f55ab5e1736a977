"""Entries that are elsewhere: where we go for them, and where never. Two real slapds, of which one refers to the other."""

import contextlib
from collections.abc import Iterator

import pytest

from support.ldap_daemon import LdapDaemon
from support.ldap_directory import PEOPLE, REFERRALS, SUFFIX, Entry, person, referral, stored_as
from support.ldap_logins import BIND, asked, bind, daemon, right, search, wrong
from support.slapd import Options, Slapd
from support.tcp_ports import HOST
from support.tcp_proxy import TcpProxy
from support.waiting import wait_until

MOVED, ELSEWHERE = f"ou=moved,{REFERRALS}", f"ou=elsewhere,{REFERRALS}"
"""Who is below the first is at the other server, and below the second behind a port that no file names."""

FAR = person("far", b"far's Secret", below=MOVED)
NEAR = person("near", b"near's Secret", below=REFERRALS)
TWICE = person("twice", b"twice's Secret", below=REFERRALS), person("twice", b"twice's Secret", below=MOVED)
DOUBLE = person("double", b"double's Secret", below=REFERRALS)
"""One of two here, and slapd tells of the other server between them."""

ABROAD = f"ou=abroad,{SUFFIX}"
REFERRED, ASTRAY = (
    person(login, b"known elsewhere", f"cn={login}", ABROAD) for login in ("referred", "astray")
)
"""Who is found here, and whose bind is referred: of the first to the other server, of the second to that port."""


@pytest.fixture(scope="module")
def other() -> Iterator[Slapd]:
    entries = (unit(MOVED), FAR.entry, TWICE[1].entry, unit(ABROAD), REFERRED.entry, ASTRAY.entry)
    with Slapd(Options(entries=entries)) as running:
        yield running


def unit(dn: str) -> Entry:
    return Entry(dn, {"objectClass": ["organizationalUnit"], "ou": [dn[3 : dn.index(",")]]})


@pytest.fixture(scope="module")
def unlisted(other: Slapd) -> Iterator[TcpProxy]:
    """The other server by a port of its own."""
    with TcpProxy(other.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def slapd(other: Slapd, unlisted: TcpProxy) -> Iterator[Slapd]:
    elsewhere = f"ldap://{HOST}:{unlisted.port}"
    entries = (
        NEAR.entry,
        TWICE[0].entry,
        DOUBLE.entry,
        referral("ou=moved", f"{other.ldap}/{MOVED}"),
        referral("ou=elsewhere", f"{elsewhere}/{MOVED}"),
        unit(ABROAD),
        *(stored_as(who.login, b"")._replace(dn=who.dn).entry for who in (REFERRED, ASTRAY)),
        person("double", b"another's Secret", below=f"ou=inner,{PEOPLE}").entry,
    )
    database = (
        "overlay retcode",
        f'retcode-parent "{ABROAD}"',
        f'retcode-item "cn=referred" 10 op=bind ref={other.ldap}/{REFERRED.dn}',
        f'retcode-item "cn=astray" 10 op=bind ref={elsewhere}/{ASTRAY.dn}',
    )
    options = Options(modules=("retcode",), database=database, entries=entries)
    with Slapd(options) as running:
        yield running


@contextlib.contextmanager
def following(slapd: Slapd, other: Slapd, text: str, name: str = HOST) -> Iterator[LdapDaemon]:
    """Ours, which asks ``slapd`` first and goes on to ``other`` where it is referred to it, by this name."""
    servers = f"ldap_servers: {slapd.ldap} ldap://{name}:{other.port}\nldap_referrals: yes\n"
    with daemon(slapd, text + servers) as started:
        # Until the first is known to answer, the second serves.
        wait_until(lambda: "nobody" in str(asked(slapd, started, b"nobody", b"x")), "the first one is asked")
        other.forget()
        yield started


BELOW = BIND.replace(PEOPLE, REFERRALS)
BIND_ABROAD = BIND.replace(PEOPLE, SUFFIX)
CUSTOM_BELOW = BELOW + "ldap_auth_method: custom\n"


class TestByDefault:
    def test_references_of_a_search_are_no_entries(self, slapd: Slapd, other: Slapd) -> None:
        other.forget()
        with daemon(slapd, BELOW) as started:
            assert started.ask(*right(NEAR)) == "OK"
            assert started.ask(*wrong(NEAR)) == "NO"
            assert started.ask(*right(FAR)) == "NO"
            assert started.ask(*right(TWICE[0])) == "OK"
        assert other.connections() == 0

    def test_a_referral_is_no_answer(self, slapd: Slapd, other: Slapd) -> None:
        other.forget()
        with daemon(slapd, BELOW.replace(REFERRALS, MOVED)) as started:
            assert started.ask(*right(FAR)) == started.ask(*wrong(FAR)) == "-"
            assert f"user search below {MOVED}: referral (10)" in started.log
        with daemon(slapd, BIND_ABROAD) as started:
            assert started.ask(*right(REFERRED)) == "-"
            assert "bind: referral (10)" in started.log
        assert other.connections() == 0


class TestAServerOfTheFile:
    def test_is_asked_for_what_a_search_leaves_to_it(self, slapd: Slapd, other: Slapd) -> None:
        with following(slapd, other, CUSTOM_BELOW) as started:
            assert asked(slapd, started, *right(FAR)) == ("OK", [search(REFERRALS, "(uid=far)")])
            assert other.operations('SRCH base="ou') == [search(MOVED, "(uid=far)")]
            assert started.ask(*wrong(FAR)) == "NO"
            assert started.ask(*right(NEAR)) == "OK"
            assert started.ask(b"none", b"x") == "NO"

    def test_is_asked_where_the_base_is_there(self, slapd: Slapd, other: Slapd) -> None:
        with following(slapd, other, CUSTOM_BELOW.replace(REFERRALS, MOVED)) as started:
            assert [started.ask(*right(FAR)), started.ask(*wrong(FAR))] == ["OK", "NO"]
            assert started.ask(b"none", b"x") == "NO"

    def test_is_asked_for_the_password_of_who_was_found_there(self, slapd: Slapd, other: Slapd) -> None:
        with following(slapd, other, BELOW) as started:
            verdicts = [started.ask(*right(FAR)), started.ask(*wrong(FAR)), started.ask(*right(NEAR))]
            assert verdicts == ["OK", "NO", "OK"], started.log
            assert other.operations('BIND dn="uid') == [bind(FAR.dn)] * 2

    def test_is_asked_for_the_password_if_a_bind_is_referred_to_it(self, slapd: Slapd, other: Slapd) -> None:
        with following(slapd, other, BIND_ABROAD) as started:
            assert [started.ask(*right(REFERRED)), started.ask(*wrong(REFERRED))] == ["OK", "NO"]
            assert other.operations('BIND dn="cn=referred') == [bind(REFERRED.dn)] * 2

    def test_may_have_the_second_entry_of_a_login(self, slapd: Slapd, other: Slapd) -> None:
        with following(slapd, other, CUSTOM_BELOW) as started:
            assert started.ask(*right(TWICE[0])) == "NO"
            assert "more than one entry" in started.log

    def test_does_not_hide_what_the_first_one_had_more(self, slapd: Slapd, other: Slapd) -> None:
        """The size limit ended that search, after one entry and a reference."""
        with following(slapd, other, BIND_ABROAD) as started:
            assert started.ask(*right(DOUBLE)) == "NO"
            assert "more than one entry" in started.log


class TestAnotherServer:
    """Whoever may write a referral must not get the passwords."""

    def test_is_never_spoken_to_for_an_entry(self, slapd: Slapd, other: Slapd, unlisted: TcpProxy) -> None:
        with following(slapd, other, CUSTOM_BELOW) as started:
            assert [started.ask(*right(NEAR)), started.ask(*wrong(NEAR))] == ["OK", "NO"]
        with following(slapd, other, BELOW.replace(REFERRALS, ELSEWHERE)) as started:
            assert started.ask(*right(FAR)) == started.ask(*wrong(FAR)) == "-"
        assert (unlisted.connections, unlisted.recorded) == (0, b"")

    def test_is_never_spoken_to_for_a_password(self, slapd: Slapd, other: Slapd, unlisted: TcpProxy) -> None:
        with following(slapd, other, BIND_ABROAD) as started:
            assert started.ask(*right(ASTRAY)) == "-"
        assert (unlisted.connections, unlisted.recorded) == (0, b"")

    def test_is_not_one_with_the_port_of_ours_and_another_name(self, slapd: Slapd, other: Slapd) -> None:
        """The file says by which name it is to be trusted."""
        with following(slapd, other, CUSTOM_BELOW.replace(REFERRALS, MOVED), "localhost") as started:
            assert started.ask(*right(FAR)) == "-"

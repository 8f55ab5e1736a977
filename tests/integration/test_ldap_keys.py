"""Every key of ``saslauthd.conf`` does what it says: each test here fails if its key is ignored."""

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pysaslauthd.config.ldap_keys import KEYS
from support.certificates import Certificates
from support.ldap_clients import Logins, wait_log
from support.ldap_directory import (
    ADMINS,
    GROUPS,
    INNER,
    MAIL,
    OTHER_TWIN,
    OTHERS,
    PEOPLE,
    REALM_USERS,
    REALMS,
    REFERRALS,
    SERVICE_DN,
    STAFF,
    STRANGE_NAMES,
    SUFFIX,
    TWIN,
    U0,
    U1,
    Entry,
    alias,
    person,
    referral,
    user,
)
from support.ldap_logins import (
    BIND,
    CUSTOM,
    asked,
    bind,
    daemon,
    of,
    right,
    search,
    through,
    verdicts,
    wrong,
)
from support.slapd import Options, Slapd
from support.tcp_ports import HOST, free_port
from support.tcp_proxy import SILENT, TcpProxy, far
from support.waiting import wait_until


def test_there_is_a_test_of_every_key() -> None:
    """Here and in the files beside this one whose names begin as its own."""
    files = Path(__file__).parent.glob("test_ldap_keys*.py")
    marks = [mark for file in files for mark in re.findall(r"@of\(([^)]*)\)", file.read_text())]
    assert {f"ldap_{name}" for mark in marks for name in re.findall(r'"(\w+)"', mark)} == set(KEYS)


ALIASES = f"cn=aliases,{OTHERS}"


@pytest.fixture(scope="module")
def slapd(certificates: Certificates) -> Iterator[Slapd]:
    entries = (
        Entry(ALIASES, {"objectClass": ["organizationalRole"], "cn": ["aliases"]}),
        alias("cn=of u0", U0.dn, ALIASES),
        alias("cn=alias of people", PEOPLE, OTHERS),
    )
    with Slapd(Options(certificates=certificates, entries=entries)) as running:
        yield running


class TestServers:
    @of("servers")
    @pytest.mark.parametrize("between", [" ", ","])
    def test_the_first_that_answers_is_asked(self, slapd: Slapd, between: str) -> None:
        servers = between.join((f"ldap://{HOST}:{free_port()}", slapd.ldap, slapd.ldapi))
        with daemon(slapd, f"{BIND}ldap_servers: {servers}\n") as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"

    @of("bind_dn", "password", "bind_pw")
    @pytest.mark.parametrize("name", ["ldap_password", "ldap_bind_pw"])
    def test_the_service_account_binds_and_sees_more(self, slapd: Slapd, name: str) -> None:
        slapd.forget()
        with daemon(slapd, CUSTOM.replace("ldap_password", name)) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
            assert slapd.operations("BIND") == [bind(SERVICE_DN)]

    @of("version")
    def test_version_2_is_spoken(self, slapd: Slapd, certificates: Certificates) -> None:
        with daemon(slapd, BIND + "ldap_version: 2\n") as started:
            assert started.ask(*right(U0)) == "-"
            assert "historical protocol version requested, use LDAPv3 instead" in started.log
        with daemon(
            slapd, f"{BIND}ldap_version: 2\nldap_start_tls: yes\nldap_tls_cacert_file: {certificates.ca}\n"
        ) as started:
            assert started.ask(*right(U0)) == "OK"
        with (
            Slapd(Options(settings=("allow bind_v2",))) as old,
            daemon(old, BIND + "ldap_version: 2\n") as started,
        ):
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"

    @of("timeout")
    def test_nothing_takes_longer_than_the_timeout(self, slapd: Slapd) -> None:
        with (
            TcpProxy(slapd.port) as proxy,
            daemon(slapd, through(proxy, BIND + "ldap_timeout: 1\n")) as started,
        ):
            wait_until(lambda: started.ask(*right(U0)) == "OK", "it answers within the time-out")
            proxy.become(SILENT)
            begun = time.monotonic()
            assert started.ask(*right(U0)) == "-"
            assert time.monotonic() - begun > 0.9
            wait_log(started, "no answer within 1 s")

    @of("max_operations")
    def test_a_connection_has_so_many_operations_at_a_time(self, slapd: Slapd) -> None:
        with (
            TcpProxy(slapd.port) as proxy,
            daemon(slapd, through(proxy, CUSTOM + "ldap_max_operations: 1\n")) as started,
        ):
            slapd.pause()
            try:
                with Logins(started, map(user, range(12))) as logins:
                    proxy.wait_connections(4)
                    slapd.resume()
                    assert logins.verdicts() == {"OK"}
            finally:
                slapd.resume()
            assert proxy.connections == 4  # which is the most for searches

    @of("max_connections")
    def test_there_are_so_many_connections(self, slapd: Slapd) -> None:
        with (
            TcpProxy(slapd.port) as proxy,
            daemon(slapd, through(proxy, BIND + "ldap_max_connections: 4\n")) as started,
        ):
            proxy.become(far(0.05))
            with ThreadPoolExecutor(12) as pool:
                found = list(pool.map(lambda n: started.ask(*right(user(n))), range(12)))
            assert found == ["OK"] * 12
            assert proxy.connections == 2  # one for searches, which many share, and one for binds


class TestUsers:
    @of("search_base")
    def test_are_searched_below_the_base(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND.replace(PEOPLE, OTHERS)) as started:
            assert verdicts(started, right(OTHER_TWIN), right(TWIN), right(U0)) == "OK NO NO"

    @of("filter")
    def test_are_found_by_the_filter(self, slapd: Slapd) -> None:
        text = "ldap_filter: (&(objectClass=inetOrgPerson)(|(mail=%u)(uid:caseExactMatch:=%u))(!(uid=u1)))\n"
        exact, folded = right(STRANGE_NAMES["MixedCase"]), (b"mixedcase", b"mixed's")
        with daemon(slapd, BIND + text) as started:
            assert verdicts(started, (b"u0@mail.test", U0.password), right(U0), exact) == "OK OK OK"
            assert verdicts(started, (b"u1@mail.test", U1.password), right(U1), folded) == "NO NO NO"

    @of("scope")
    @pytest.mark.parametrize(
        ("scope", "expected", "number"),
        [("one\nldap_scope: sub", "OK OK", 2), ("one", "OK NO", 1), ("base", "NO NO", 0)],
    )
    def test_are_as_deep_as_the_scope(self, slapd: Slapd, scope: str, expected: str, number: int) -> None:
        with daemon(slapd, BIND + f"ldap_scope: {scope}\n") as started:
            assert verdicts(started, right(U0), right(INNER)) == expected
            assert asked(slapd, started, b"x", b"x")[1] == [search(PEOPLE, "(uid=x)", number)]

    @of("auth_method")
    @pytest.mark.parametrize(
        ("text", "operations"),
        [
            # The last one counts, also where saslauthd does not know the word.
            (CUSTOM + "ldap_auth_method: bind\n", [search(PEOPLE, "(uid=u0)"), bind(U0.dn)]),
            (CUSTOM, [search(PEOPLE, "(uid=u0)")]),
        ],
        ids=["bind", "custom"],
    )
    def test_are_checked_by_the_method(self, slapd: Slapd, text: str, operations: list[str]) -> None:
        with daemon(slapd, text) as started:
            assert asked(slapd, started, *right(U0)) == ("OK", operations)

    @of("password_attr")
    def test_have_their_password_in_the_attribute(self, slapd: Slapd) -> None:
        with daemon(slapd, CUSTOM + "ldap_password_attr: SN\n") as started:
            assert verdicts(started, (b"u0", b"x"), right(U0)) == "OK NO"

    @of("default_realm", "default_domain")
    @pytest.mark.parametrize("name", ["ldap_default_realm", "ldap_default_domain"])
    def test_without_a_realm_are_of_the_default_one(self, slapd: Slapd, name: str) -> None:
        one, two = REALM_USERS["one.test"], REALM_USERS["two.test"]
        with daemon(slapd, BIND.replace(PEOPLE, f"o=%r,{REALMS}") + f"{name}: one.test\n") as started:
            assert (
                verdicts(started, right(one), right(two), (*right(two), b"imap", b"two.test")) == "OK NO OK"
            )

    @of("domain_from_realm")
    def test_without_a_domain_have_their_realm_for_one_if_asked(self, slapd: Slapd) -> None:
        one, two = REALM_USERS["one.test"], REALM_USERS["two.test"]
        text = BIND.replace(PEOPLE, f"o=%d,{REALMS}") + "ldap_filter: (uid=%U)\nldap_domain_from_realm: yes\n"
        with daemon(slapd, text) as started:
            realm = b"imap", b"one.test"
            assert verdicts(started, (*right(one), *realm), (*right(two), *realm)) == "OK NO"
            assert verdicts(started, (b"joe@two.test", two.password, *realm)) == "OK"

    @of("deref")
    @pytest.mark.parametrize(
        ("deref", "expected"),
        [("find", "OK NO"), ("search", "NO OK"), ("always", "OK OK")],
    )
    def test_behind_an_alias_are_found_if_it_is_to_be_followed(
        self, slapd: Slapd, deref: str, expected: str
    ) -> None:
        """In the first realm the base is an alias, in the second an entry below it."""
        text = BIND.replace(PEOPLE, f"cn=%r,{OTHERS}") + f"ldap_deref: always\nldap_deref: {deref}\n"
        with daemon(slapd, text) as started:
            realms = (b"alias of people", b"aliases")
            assert verdicts(started, *((*right(U0), b"imap", realm) for realm in realms)) == expected

    @of("time_limit", "size_limit")
    def test_are_searched_within_the_limits(self, slapd: Slapd) -> None:
        """Scope, aliases, entries, seconds, as they are in the request."""
        with TcpProxy(slapd.port) as proxy:
            for text, numbers in {
                "": (1, 5),
                "ldap_size_limit: 7\nldap_time_limit: 9\n": (7, 9),
            }.items():
                proxy.recorded = b""
                with daemon(slapd, through(proxy, BIND + text)) as started:
                    assert started.ask(*right(U0)) == "OK"
                assert b"\x0a\x01\x02\x0a\x01\x00\x02\x01%c\x02\x01%c" % numbers in proxy.recorded

    @of("referrals")
    def test_at_another_server_are_found_if_asked(self) -> None:
        unit = f"ou=moved,{REFERRALS}"
        who = person("moved", b"moved's Secret", below=unit)
        below = (Entry(unit, {"objectClass": ["organizationalUnit"], "ou": ["moved"]}), who.entry)
        with contextlib.ExitStack() as stack:
            other = stack.enter_context(Slapd(Options(entries=below)))
            refers = referral("ou=moved", f"{other.ldap}/{unit}")
            first = stack.enter_context(Slapd(Options(entries=(refers,))))
            text = f"ldap_servers: {first.ldap} {other.ldap}\nldap_referrals: yes\n"
            started = stack.enter_context(daemon(first, CUSTOM.replace(PEOPLE, REFERRALS) + text))
            wait_until(lambda: "none" in str(asked(first, started, b"none", b"x")), "it is first")
            assert verdicts(started, right(who), wrong(who)) == "OK NO"


class TestTheDnCache:
    @of("dn_cache")
    def test_saves_the_search_and_never_the_bind(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + "ldap_dn_cache: 3600\n") as started:
            found, verified = search(PEOPLE, "(uid=u0)"), bind(U0.dn)
            # A wrong password is none to remember a DN by.
            assert asked(slapd, started, *wrong(U0)) == ("NO", [found, verified])
            assert asked(slapd, started, *right(U0)) == ("OK", [found, verified])
            assert asked(slapd, started, *right(U0)) == ("OK", [verified])
            # It may be the DN that is wrong.
            assert asked(slapd, started, *wrong(U0)) == ("NO", [verified, found])
            assert asked(slapd, started, *right(U0)) == ("OK", [found, verified])
            assert asked(slapd, started, *right(U1))[0] == "OK"

    def test_is_for_a_login_with_its_realm(self, slapd: Slapd) -> None:
        one, two = REALM_USERS["one.test"], REALM_USERS["two.test"]
        with daemon(slapd, BIND.replace(PEOPLE, f"o=%r,{REALMS}") + "ldap_dn_cache: 3600\n") as started:
            realms = (b"one.test", b"two.test")
            requests = [(*right(who), b"imap", realm) for who in (one, two) for realm in realms]
            assert verdicts(started, *requests, *requests) == "OK NO NO OK OK NO NO OK"

    def test_lets_in_who_was_renamed(self) -> None:
        with Slapd() as own, daemon(own, BIND + "ldap_dn_cache: 3600\n") as started:
            assert verdicts(started, right(U0), right(U0)) == "OK OK"
            own.modify(f"dn: {U0.dn}\nchangetype: modrdn\nnewrdn: cn=u0\ndeleteoldrdn: 0\n".encode())
            wait_until(lambda: own.operations("UNBIND"), "who renamed it has gone")
            renamed = bind(f"cn=u0,{PEOPLE}")
            assert asked(own, started, *right(U0)) == (
                "OK",
                [bind(U0.dn), search(PEOPLE, "(uid=u0)"), renamed],
            )
            assert asked(own, started, *right(U0)) == ("OK", [renamed])

    def test_ends(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + "ldap_dn_cache: 1\n") as started:
            assert started.ask(*right(U0)) == "OK"
            wait_until(lambda: len(asked(slapd, started, *right(U0))[1]) == 2, "it is searched again")


class TestGroups:
    @of("group_dn")
    def test_is_the_one_of_this_name(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + f"ldap_group_dn: {STAFF}\n") as started:
            assert verdicts(started, right(U0), right(U1)) == "OK NO"

    @of("group_attr")
    def test_has_its_members_in_the_attribute(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + f"ldap_group_dn: {ADMINS}\nldap_group_attr: member\n") as started:
            assert verdicts(started, right(U0), right(U1)) == "OK NO"

    @of("group_match_method", "group_filter", "group_search_base")
    def test_is_found_by_the_method(self, slapd: Slapd) -> None:
        text = (
            f"ldap_group_dn: {STAFF}\nldap_group_match_method: filter\n"
            f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (&(cn=mail)(memberUid=%u))\n"
        )
        with daemon(slapd, BIND + text) as started:
            assert verdicts(started, right(U0), right(U1), right(user(2))) == "OK NO OK"

    @of("group_scope")
    @pytest.mark.parametrize(
        ("base", "scope", "expected"), [(SUFFIX, "one", "NO"), (GROUPS, "one", "OK"), (MAIL, "base", "OK")]
    )
    def test_is_as_deep_as_the_scope(self, slapd: Slapd, base: str, scope: str, expected: str) -> None:
        text = (
            f"ldap_group_search_base: {base}\nldap_group_filter: (memberUid=%u)\nldap_group_scope: {scope}\n"
        )
        with daemon(slapd, BIND + text) as started:
            assert verdicts(started, right(U0), right(U1)) == f"{expected} NO"


@of("restart", "debug")
def test_what_has_no_effect_here_is_accepted(slapd: Slapd) -> None:
    with daemon(slapd, BIND + "ldap_restart: no\nldap_debug: -1\n") as started:
        assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
        assert "ldap_debug: has no effect here" in started.log
        assert "no such key" not in started.log
    with daemon(slapd, BIND + "ldap_restart: maybe\nldap_debug: all\n") as started:
        assert verdicts(started, right(U0), wrong(U0)) == "- -"
        for key, expected in {"restart": "yes or no", "debug": "a whole number"}.items():
            assert f"ldap_{key}: expected {expected}" in started.log

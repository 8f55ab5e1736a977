"""A login through the directory, by each method: what a real slapd is asked for it, who is in a group, what is logged."""

from collections.abc import Iterator

import pytest

from support.ldap_daemon import LdapDaemon, ours
from support.ldap_directory import (
    GROUPS,
    MAIL,
    NOBODY,
    PEOPLE,
    SERVICE_DN,
    SERVICE_PASSWORD,
    STAFF,
    STRANGE_NAMES,
    SUFFIX,
    TWIN,
    U0,
    U1,
    Person,
    user,
)
from support.ldap_logins import (
    BIND,
    CUSTOM,
    FASTBIND,
    METHODS,
    PATIENT,
    PEOPLE_BASE,
    asked,
    bind,
    daemon,
    daemons_of,
    right,
    search,
    traffic,
    wrong,
)
from support.slapd import Slapd

U0_SEARCH = search(PEOPLE, "(uid=u0)")
U0_BIND = bind(U0.dn)
OPERATIONS = {"bind": [U0_SEARCH, U0_BIND], "custom": [U0_SEARCH], "fastbind": [U0_BIND]}
"""Of a login of u0, in their order."""


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """Of these tests alone, so that nobody else's operations are in its log."""
    with Slapd() as running:
        yield running


@pytest.fixture(scope="module")
def daemons(slapd: Slapd) -> Iterator[dict[str, LdapDaemon]]:
    """One for each method."""
    with daemons_of(slapd) as started:
        yield started


class TestTheOperations:
    @pytest.mark.parametrize("method", METHODS)
    def test_of_the_first_login_begin_with_the_service_account(self, slapd: Slapd, method: str) -> None:
        slapd.forget()
        with ours(f"ldap_servers: {slapd.ldap}\n{PATIENT}{METHODS[method]}", "-n", "1") as started:
            assert started.ask(*right(U0)) == "OK"
        service = [] if method == "fastbind" else [bind(SERVICE_DN)]
        # And a look whether the server answers.
        assert slapd.operations() == [*service, search("", "(objectClass=*)", scope=0), *OPERATIONS[method]]

    @pytest.mark.parametrize("method", METHODS)
    def test_are_the_same_each_time_on_the_same_connections(
        self, slapd: Slapd, daemons: dict[str, LdapDaemon], method: str
    ) -> None:
        """That a bind went well proves nothing for the next one, be it with the same password."""
        daemons[method].ask(*right(U0))
        for password in (U0.password, U0.password, b"wrong", b"wrong", U0.password):
            verdict = "OK" if password == U0.password else "NO"
            assert asked(slapd, daemons[method], b"u0", password) == (verdict, OPERATIONS[method])
            assert slapd.connections() == 0

    def test_of_users_and_of_the_service_account_share_no_connection(
        self, slapd: Slapd, daemons: dict[str, LdapDaemon]
    ) -> None:
        start = len(slapd.log)
        for who in (U0, U1, U0):
            daemons["bind"].ask(*right(who))
        found = traffic(slapd.log[start:])
        searches, binds = ({connection for connection, kind in found if kind == k} for k in ("SRCH", "BIND"))
        assert [kind for _, kind in found] == ["SRCH", "BIND"] * 3
        assert len(searches) == len(binds) == 1
        assert searches != binds

    @pytest.mark.parametrize("method", ["bind", "custom"])
    def test_of_an_unknown_login_are_a_search(
        self, slapd: Slapd, daemons: dict[str, LdapDaemon], method: str
    ) -> None:
        assert asked(slapd, daemons[method], b"none", b"x") == ("NO", [search(PEOPLE, "(uid=none)")])

    @pytest.mark.parametrize("method", METHODS)
    def test_go_on_after_a_restart_of_the_server(
        self, slapd: Slapd, daemons: dict[str, LdapDaemon], method: str
    ) -> None:
        daemons[method].ask(*right(U0))
        slapd.restart()
        assert daemons[method].ask(*right(U0)) == "OK"
        assert daemons[method].ask(*wrong(U0)) == "NO"


@pytest.mark.parametrize("limit", [0, 1])
def test_a_login_of_two_entries_is_nobodys(slapd: Slapd, limit: int) -> None:
    text = BIND.replace(PEOPLE, SUFFIX) + f"ldap_size_limit: {limit}\n"
    with daemon(slapd, text) as started:
        assert started.ask(*right(U0)) == "OK"
        assert asked(slapd, started, *right(TWIN)) == ("NO", [search(SUFFIX, "(uid=twin)")])
        assert f"ldap: twin: user search below {SUFFIX}: more than one entry" in started.log
        assert started.ask(*right(U0)) == "OK"
        assert slapd.connections() == 0


class TestAnEmptyName:
    """A bind without DN or without password is an anonymous one, which succeeds for everybody."""

    def test_never_gets_to_the_server(self, slapd: Slapd) -> None:
        """Nor does a DN of the client's own: who that is, is not for him to say."""
        with daemon(slapd, "ldap_auth_method: fastbind\nldap_filter: %r\n") as started:
            # Which is asked for the first time with something that is neither.
            assert started.ask(*right(U0), b"imap", b"no DN") == "NO"
            for realm in (b"", U0.dn.encode()):
                assert asked(slapd, started, *right(U0), b"imap", realm) == ("NO", [])

    def test_of_a_group_never_gets_to_the_server(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + "ldap_group_dn: %r\n") as started:
            assert asked(slapd, started, *right(U0)) == ("NO", [U0_SEARCH, U0_BIND])

    @pytest.mark.parametrize("method", METHODS)
    def test_with_an_empty_password_never_gets_to_the_server(
        self, slapd: Slapd, daemons: dict[str, LdapDaemon], method: str
    ) -> None:
        assert asked(slapd, daemons[method], b"u0", b"") == ("NO", [])
        assert "NULL password received" in daemons[method].log


class TestStrangeNames:
    @pytest.mark.parametrize("method", ["bind", "custom"])
    def test_log_in(self, daemons: dict[str, LdapDaemon], method: str) -> None:
        for who in STRANGE_NAMES.values():
            assert (who, daemons[method].ask(*right(who))) == (who, "OK")
            assert (who, daemons[method].ask(*wrong(who))) == (who, "NO")

    def test_are_made_into_dns_by_fastbind(self, slapd: Slapd) -> None:
        """The login is the value of the DN's first part, be it ``uid`` or ``cn``."""
        who_is = {
            (kind, value): who
            for who in STRANGE_NAMES.values()
            for kind, value in [first_part(who)]
            if who.login not in {"two-parts", "long"}
        }
        assert len(who_is) == len(STRANGE_NAMES) - 2
        with daemon(slapd, f"ldap_auth_method: fastbind\nldap_filter: %s=%u,{PEOPLE}\n") as started:
            for (kind, value), who in who_is.items():
                assert (who, started.ask(value, who.password, kind)) == (who, "OK")
                assert (who, started.ask(value, b"~" + who.password, kind)) == (who, "NO")

    def test_of_several_parts_are_made_into_dns_by_fastbind(self, slapd: Slapd) -> None:
        who, (_, value) = STRANGE_NAMES["long"], first_part(STRANGE_NAMES["long"])
        with daemon(
            slapd, f"ldap_auth_method: fastbind\nldap_filter: cn=%u,ou=%r,ou=%s,{PEOPLE}\n"
        ) as started:
            assert asked(slapd, started, value, who.password, b"m" * 200, b"n" * 200) == (
                "OK",
                [bind(who.dn)],
            )
            assert started.ask(value, who.password, b"m" * 200, b"n" * 199) == "NO"
        who = STRANGE_NAMES["two-parts"]
        with daemon(slapd, f"ldap_auth_method: fastbind\nldap_filter: cn=%r+uid=%u,{PEOPLE}\n") as started:
            assert started.ask(*right(who), b"imap", b"two") == "OK"
            assert started.ask(*wrong(who), b"imap", b"two") == "NO"


def first_part(who: Person) -> tuple[bytes, bytes]:
    """Name and value of the first part of the DN, the value as it is."""
    kind = who.dn.partition("=")[0]
    return kind.encode(), str(who.entry.attributes[kind][-1]).encode()


class TestAGroup:
    @pytest.mark.parametrize("method", METHODS)
    def test_is_asked_for_once_the_password_was_right(self, slapd: Slapd, method: str) -> None:
        compare = f'CMP dn="{STAFF}" attr="uniqueMember"'
        with daemon(slapd, METHODS[method] + f"ldap_group_dn: {STAFF}\n") as started:
            assert asked(slapd, started, *right(U0)) == ("OK", [*OPERATIONS[method], compare])
            assert asked(slapd, started, *wrong(U0)) == ("NO", OPERATIONS[method])
            assert started.ask(*right(U1)) == "NO"
            start = len(slapd.log)
            started.ask(*right(U0))
            *before, (connection, _) = traffic(slapd.log[start:])
        # That of the service account, which may look at groups; with fastbind there is only the user.
        assert (connection, "BIND" if method == "fastbind" else "SRCH") in before
        assert method != "bind" or (connection, "BIND") not in before

    @pytest.mark.parametrize("method", METHODS)
    def test_may_be_found_by_a_filter(self, slapd: Slapd, method: str) -> None:
        text = f"ldap_group_match_method: filter\nldap_group_search_base: {GROUPS}\nldap_group_filter: (uniqueMember=%D)\n"
        with daemon(slapd, METHODS[method] + text) as started:
            assert asked(slapd, started, *right(U0)) == (
                "OK",
                [*OPERATIONS[method], search(GROUPS, f"(uniqueMember={U0.dn})")],
            )
            assert asked(slapd, started, *wrong(U0)) == ("NO", OPERATIONS[method])
            assert started.ask(*right(U1)) == "NO"

    @pytest.mark.parametrize(
        "text",
        [
            f"ldap_group_dn: {STAFF}\n",
            f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (uniqueMember=%D)\n",
        ],
        ids=["attr", "filter"],
    )
    def test_has_members_with_strange_names(self, slapd: Slapd, text: str) -> None:
        with daemon(slapd, CUSTOM + text) as started:
            verdicts = {login: started.ask(*right(who)) for login, who in STRANGE_NAMES.items()}
        assert [login for login, verdict in verdicts.items() if verdict == "OK"] == ["comma", "jürgen"]
        assert set(verdicts.values()) == {"OK", "NO"}

    def test_that_is_not_there_or_has_no_such_members_has_nobody(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + f"ldap_group_dn: cn=%s,{GROUPS}\n") as started:
            for service, verdict, reason in (
                (b"staff", "OK", ""),
                (b"nobody", "NO", f"group {NOBODY}: compare false (5)"),
                (b"mail", "NO", f"group {MAIL}: no such attribute (16)"),
                (b"none", "NO", f"group cn=none,{GROUPS}: no such object (32)"),
            ):
                assert started.ask(*right(U0), service) == verdict
                assert reason in started.log
            assert started.log.count("[reason=Group member check failed]") == 3

    def test_is_one_of_several_that_a_filter_finds(self, slapd: Slapd) -> None:
        """More than the size limit of one."""
        with daemon(
            slapd, BIND + f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (memberUid=%u)\n"
        ) as started:
            assert [started.ask(*right(user(n))) for n in range(4)] == ["OK", "NO", "OK", "NO"]


STEPS: dict[str, tuple[str, dict[tuple[bytes, ...], str]]] = {
    "service bind": (
        BIND.replace(SERVICE_PASSWORD.decode(), "Wr0ng-of-the-service"),
        {right(U0): f"bind as {SERVICE_DN} refused: invalid credentials (49)"},
    ),
    "method bind": (
        BIND,
        {
            (b"none", b"Gu3ss-of-nobody"): f"ldap: none: user search below {PEOPLE}: no entry",
            (b"u0", b"Gu3ss-of-u0"): f"ldap: u0: {U0.dn}: bind refused: invalid credentials (49)",
        },
    ),
    "method custom": (CUSTOM, {(b"u0", b"Gu3ss-of-u0"): f"ldap: u0: {U0.dn}: wrong password"}),
    "method fastbind": (
        FASTBIND.replace(f"uid=%u,{PEOPLE}", "%r"),
        {right(U0): "ldap: u0: ldap_filter makes an empty DN of this login"},
    ),
    "group": (
        BIND + f"ldap_group_dn: {NOBODY}\n",
        {right(U0): f"ldap: u0: group {NOBODY}: compare false (5)"},
    ),
    "group search": (
        PEOPLE_BASE + f"ldap_group_search_base: {GROUPS}\nldap_group_filter: (cn=%s)\n",
        {(*right(U0), b"none"): f"ldap: u0: group search below {GROUPS}: no entry"},
    ),
}
"""What cannot go well: the file, logins, and the lines that say so."""


class TestTheLog:
    @pytest.mark.parametrize("step", STEPS)
    def test_tells_which_step_failed_and_no_password(self, slapd: Slapd, step: str) -> None:
        text, lines = STEPS[step]
        with daemon(slapd, text, "-V", foreground="-f") as started:
            for request in lines:
                assert started.ask(*request) == ("-" if step == "service bind" else "NO")
            log = started.log
        assert [line for line in lines.values() if line not in log] == []
        typed = [request[1] for request in lines]
        for secret in (*typed, SERVICE_PASSWORD, b"Wr0ng-of-the-service"):
            assert secret.decode() not in log

    def test_does_not_without_v(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND, foreground="-f") as started:
            assert [started.ask(b"none", b"x"), started.ask(*wrong(U0)), started.ask(*right(U0))] == [
                "NO",
                "NO",
                "OK",
            ]
            lines = [line for line in started.log.splitlines() if "ldap: " in line or "success" in line]
            assert lines == []
            assert (
                "auth failure: [user=u0] [service=imap] [realm=] [mech=ldap] [reason=Invalid password]"
                in started.log
            )

    def test_of_a_realm_says_it_as_the_original_does(self, daemons: dict[str, LdapDaemon]) -> None:
        daemons["bind"].ask(b"none", b"x", b"imap", b"one.test")
        assert "ldap: none/one.test: user search" in daemons["bind"].log

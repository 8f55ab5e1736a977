"""What a server's answers are taken for: the user's side, or ours. Codes that slapd never gives come from an overlay."""

from collections.abc import Iterator

import pytest

from support.ldap_daemon import LdapDaemon
from support.ldap_directory import PEOPLE, SERVICE_DN, SUFFIX, U0, Person, person
from support.ldap_logins import (
    BIND,
    FASTBIND,
    METHODS,
    PEOPLE_BASE,
    SERVICE,
    asked,
    bind,
    daemon,
    failing,
    right,
    search,
    wrong,
)
from support.slapd import NO_ANONYMOUS, Options, Slapd
from support.waiting import wait_until

ERRORS = f"ou=errors,{SUFFIX}"
"""Whatever is asked about ``cn=80`` below it is answered with this code."""

WRONG_PASSWORD = {32, 34, 49}
ACCOUNT = {19, 48, 50, 53}
BUSY = {51, 52}
OTHERS = {1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 16, 17, 21, 33, 36, 54, 64, 71, 80, 118}
CODES = sorted(WRONG_PASSWORD | ACCOUNT | BUSY | OTHERS)
"""Of these each operation has some that mean something, and others that it should never get."""

RETCODE = (
    "overlay retcode",
    "retcode-indir",
    f'retcode-parent "{ERRORS}"',
    *(f'retcode-item "cn={code}" {code}' for code in CODES),
    f'retcode-item "cn=10" 10 ref=ldap://127.0.0.1:1/{PEOPLE}',
    'retcode-item "cn=gone" 0 flags=pre-disconnect',
)

Outcome = tuple[str, str]
"""The verdict, and what the log says of it."""


def refused(code: int) -> Person:
    """Somebody who is found, and whose bind is answered with ``code``."""
    return person(f"code-{code}", b"the right one")


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    entries = tuple(failing(refused(code), code) for code in CODES)
    with Slapd(Options(modules=("retcode",), database=RETCODE, entries=entries)) as running:
        yield running


def outcome(started: LdapDaemon, *request: bytes) -> Outcome:
    start = len(started.log)
    verdict = started.ask(*request)
    (line,) = (line for line in started.log[start:].splitlines() if ":auth " in line)
    return verdict, line[line.index(":auth ") + 1 :].partition(":")[0] + ": " + line.partition("[reason=")[2]


def outcomes(started: LdapDaemon, requests: dict[int, tuple[bytes, ...]]) -> dict[int, Outcome]:
    """By code. A server that was busy is left aside for a moment, which is waited for."""
    found = {}
    for code in sorted(requests, key=lambda code: (code in BUSY, code)):
        wait_until(lambda: is_up(started.log), "the server is asked again")
        found[code] = outcome(started, *requests[code])
    return found


def is_up(log: str) -> bool:
    return log.count("is left aside") == log.count("answers again")


def realms() -> dict[int, tuple[bytes, ...]]:
    """Logins of u0 whose realm is a code."""
    return {code: (*right(U0), b"imap", b"%d" % code) for code in CODES}


def refusals(found: dict[int, Outcome]) -> dict[int, str]:
    """What was refused, with the reason; all else has to be our side's."""
    for code, (verdict, line) in found.items():
        expected = "auth failure: " if verdict == "NO" else "auth unavailable: ldap: "
        assert (code, verdict) in {(code, "NO"), (code, "-")}
        assert line.startswith(expected), (code, line)
        assert verdict == "NO" or code in BUSY or f"({code})" in line or f"result {code}" in line
    return {
        code: line.removeprefix("auth failure: ").rstrip("]")
        for code, (verdict, line) in found.items()
        if verdict == "NO"
    }


class TestABind:
    @pytest.mark.parametrize("method", ["bind", "fastbind"])
    def test_says_something_of_the_password_or_the_account_by_few_codes(
        self, slapd: Slapd, method: str
    ) -> None:
        with daemon(slapd, METHODS[method]) as started:
            found = outcomes(started, {code: right(refused(code)) for code in CODES})
        assert refusals(found) == {
            **dict.fromkeys(WRONG_PASSWORD, "Invalid password"),
            **dict.fromkeys(ACCOUNT, "Bind refused"),
        }

    def test_that_is_referred_elsewhere_says_nothing(self, slapd: Slapd) -> None:
        with daemon(slapd, FASTBIND.replace(f"uid=%u,{PEOPLE}", f"cn=%u,{ERRORS}")) as started:
            assert outcome(started, b"10", b"x") == ("-", "auth unavailable: ldap: bind: referral (10)]")

    def test_that_ends_the_connection_is_tried_once_more(self, slapd: Slapd) -> None:
        with daemon(slapd, FASTBIND.replace(f"uid=%u,{PEOPLE}", f"cn=%u,{ERRORS}")) as started:
            verdict, operations = asked(slapd, started, b"gone", b"x")
            # Behind them may be that of a probe, which looks whether the server answers at all.
            assert (verdict, operations[:2]) == ("-", [bind(f"cn=gone,{ERRORS}")] * 2)
            assert not [each for each in operations[2:] if "cn=gone" in each]
            assert "auth failure: [user=gone]" not in started.log


class TestASearch:
    def test_says_something_of_the_user_by_two_codes(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND.replace(PEOPLE, f"cn=%r,{ERRORS}")) as started:
            found = outcomes(started, realms())
            assert outcome(started, *right(U0), b"imap", b"10")[0] == "-"
        assert refusals(found) == dict.fromkeys((32, 34), "User not found")

    def test_says_nothing_of_him_by_a_base_that_is_the_files_alone(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND.replace(PEOPLE, f"cn=34,{ERRORS}")) as started:
            assert started.ask(*right(U0)) == started.ask(*wrong(U0)) == "-"

    def test_that_ends_the_connection_is_tried_once_more(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND.replace(PEOPLE, f"cn=%r,{ERRORS}")) as started:
            verdict, operations = asked(slapd, started, *right(U0), b"imap", b"gone")
        again = [bind(SERVICE_DN), search(f"cn=gone,{ERRORS}", "(uid=u0)")]
        assert (verdict, operations[:3]) == ("-", [again[1], *again])
        assert not [each for each in operations[3:] if "cn=gone" in each]


class TestAGroup:
    def test_has_not_the_user_in_it_by_three_codes(self, slapd: Slapd) -> None:
        with daemon(slapd, BIND + f"ldap_group_dn: cn=%r,{ERRORS}\n") as started:
            found = outcomes(started, realms())
        assert refusals(found) == dict.fromkeys((5, 16, 32), "Group member check failed")

    def test_is_not_found_by_one_code(self, slapd: Slapd) -> None:
        text = f"ldap_group_search_base: cn=%r,{ERRORS}\nldap_group_filter: (member=%D)\n"
        with daemon(slapd, BIND + text) as started:
            found = outcomes(started, realms())
        assert refusals(found) == {32: "Group member check failed"}


class TestTheServiceAccount:
    @pytest.mark.parametrize("code", [49, 51, 80])
    def test_that_cannot_bind_is_never_the_users_fault(self, slapd: Slapd, code: int) -> None:
        text = f"ldap_bind_dn: cn={code},{ERRORS}\nldap_password: x\n"
        with daemon(slapd, PEOPLE_BASE + text) as started:
            for request in (right(U0), wrong(U0), (b"none", b"x")):
                verdict, line = outcome(started, *request)
                assert verdict == "-"
                assert f"bind as cn={code},{ERRORS} refused: " in line
                assert f"({code})" in line

    def test_is_needed_where_nobody_may_search_without(self) -> None:
        with Slapd(Options(settings=NO_ANONYMOUS)) as strict:
            with daemon(strict, PEOPLE_BASE) as started:
                assert outcome(started, *right(U0)) == outcome(started, *wrong(U0))
                assert started.ask(*right(U0)) == "-"
                assert "refused: inappropriate authentication (48)" in started.log
            for text in (PEOPLE_BASE + SERVICE, FASTBIND):
                with daemon(strict, text) as started:
                    assert [started.ask(*right(U0)), started.ask(*wrong(U0))] == ["OK", "NO"]

    def test_that_may_not_see_users_finds_none(self) -> None:
        """As the server says: to whoever may not see an entry there is none."""
        blind = f'to dn.subtree="{PEOPLE}" by anonymous auth by * none'
        with Slapd(Options(access=(blind, "to * by * read"))) as strict, daemon(strict, BIND) as started:
            assert outcome(started, *right(U0)) == ("NO", "auth failure: User not found]")

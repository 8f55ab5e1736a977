"""How long a login may take, how many there may be at a time, and what they leave behind."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

import pytest

from support.daemon import altered
from support.ldap_clients import (
    BRIEF,
    Login,
    Logins,
    configuration,
    right,
    statistics,
    uri_of,
    wait_log,
    wrong,
)
from support.ldap_daemon import LdapDaemon, ours
from support.ldap_directory import GROUPS, PEOPLE, U0, U1, Entry, Person, person, user
from support.ldap_messages import BIND, SEARCH, requests
from support.slapd import Options, Slapd
from support.tcp_proxy import PASS, SILENT, Mode, TcpProxy, cut_after, drip
from support.waiting import wait_until

ONE_WORKER = ("-n", "1")
LONG_LOGINS = ("-o", "login_timeout=5m", "-o", "queue_timeout=5m")
"""So that none is given up while it is held."""
FASTBIND = f"ldap_auth_method: fastbind\nldap_filter: uid=%u,{PEOPLE}\n"
USERS = 200

SLOW = person("slow", b"slow's")
SLOW_GROUP = f"cn=slow,{GROUPS}"
# A worker gives a login up so long before the front would give up the worker; a machine may stand still for a second.
_AMPLE_MARGIN = altered("from pysaslauthd.workers import concurrent; concurrent.MARGIN = 4.0")

HANGS = "300"
"""Seconds until an answer of these comes; no test waits for it."""


def slow(entry: Entry, operation: str) -> Entry:
    """An entry about which the server thinks long, with the overlay retcode."""
    classes = [*entry.attributes["objectClass"], "errAuxObject"]
    more: dict[str, Sequence[str | bytes]] = {
        "objectClass": classes,
        "errCode": ["51"],
        "errOp": [operation],
        "errSleepTime": [HANGS],
    }
    return Entry(entry.dn, {**entry.attributes, **more})


@pytest.fixture(scope="module")
def pensive() -> Iterator[Slapd]:
    """A server on which the bind as one user, and the comparison with one group, take a minute."""
    group = Entry(
        SLOW_GROUP, {"objectClass": ["groupOfUniqueNames"], "cn": ["slow"], "uniqueMember": [U0.dn]}
    )
    options = Options(
        modules=("retcode",),
        settings=("threads 16",),
        database=("overlay retcode", "retcode-parent cn=none", "retcode-indir"),
        entries=(slow(SLOW.entry, "bind"), slow(group, "compare")),
    )
    with Slapd(options) as running:
        yield running


@pytest.fixture(scope="module")
def many() -> Iterator[Slapd]:
    with Slapd(Options(users=USERS)) as running:
        yield running


PEOPLE_OF_MANY = [user(number) for number in range(USERS)]


class TestALogin:
    def test_ends_with_its_deadline(self, pensive: Slapd) -> None:
        """Whatever it waits for; an operation may take much longer here."""
        with (
            TcpProxy(pensive.port, SILENT) as silent,
            TcpProxy(pensive.port) as proxy,
            self._hasty(uri_of(silent.port)) as connecting,
            self._hasty(uri_of(proxy.port)) as searching,
            self._hasty(pensive.ldap) as binding,
        ):
            wait_until(lambda: right(searching) == "OK", "it answers within the deadline")
            proxy.become(SILENT)
            with Login(connecting) as first, Login(searching) as second, Login(binding, SLOW) as third:
                assert [login.verdict() for login in (first, second, third)] == ["-"] * 3
            for daemon in (connecting, searching, binding):
                assert "[reason=no answer within 4 s]" in daemon.log
                # It is lost alone: the worker goes on.
                assert "ldap worker" not in daemon.log
            wait_until(lambda: right(binding) == "OK", "it goes on")

    @staticmethod
    def _hasty(uri: str) -> LdapDaemon:
        options = (*ONE_WORKER, "-o", "login_timeout=8s")
        return ours(configuration(uri, timeout=300), *options, command=_AMPLE_MARGIN)

    def test_ends_with_the_limit_of_each_operation(self, pensive: Slapd) -> None:
        with (
            self._brief(pensive, "") as binding,
            self._brief(pensive, f"ldap_group_dn: {SLOW_GROUP}\n") as comparing,
            self._brief(pensive, FASTBIND) as binding_fast,
        ):
            with (
                Login(binding, SLOW) as first,
                Login(comparing) as second,
                Login(binding_fast, SLOW) as third,
            ):
                assert [login.verdict() for login in (first, second, third)] == ["-"] * 3
            for daemon in (binding, comparing, binding_fast):
                assert f"no answer within {BRIEF} s" in daemon.log
            # Nobody else is held up, and what comes before the group still says no.
            assert [right(binding), right(binding_fast), wrong(comparing)] == ["OK", "OK", "NO"]

    @staticmethod
    def _brief(slapd: Slapd, more: str) -> LdapDaemon:
        return ours(configuration(slapd.ldap, timeout=BRIEF, more=more))

    def test_is_not_held_by_an_answer_that_drips(self, pensive: Slapd) -> None:
        with (
            TcpProxy(pensive.port) as proxy,
            ours(configuration(uri_of(proxy.port)), *ONE_WORKER) as searching,
            ours(configuration(uri_of(proxy.port), more=FASTBIND), *ONE_WORKER) as binding,
        ):
            for daemon in (searching, binding):
                wait_until(lambda daemon=daemon: right(daemon) == "OK", "it works")  # type: ignore[misc]
            proxy.become(drip(0.3))
            with Login(searching) as first, Login(binding) as second:
                assert [first.verdict(), second.verdict()] == ["-", "-"]
            for daemon in (searching, binding):
                assert "no answer within 1 s" in daemon.log


class TestManyLogins:
    """With one worker, whose connections are counted before a server that stands still."""

    def test_are_on_their_way_at_the_same_time(self, many: Slapd) -> None:
        with self._stage(many, FASTBIND) as (daemon, proxy), self._still(many):
            before = bound(proxy)
            with Logins(daemon, PEOPLE_OF_MANY) as logins:
                wait_until(lambda: bound(proxy) - before == USERS, "all binds have arrived")
                assert logins.answered == 0
                many.resume()
                assert logins.verdicts() == {"OK"}

    def test_share_connections_up_to_a_number_of_operations(self, many: Slapd) -> None:
        limits = "ldap_max_operations: 7\nldap_max_connections: 5\n"
        with self._stage(many, limits) as (daemon, proxy), self._still(many):
            before = searched(proxy)
            with Logins(daemon, PEOPLE_OF_MANY) as logins:
                wait_until(lambda: searched(proxy) - before == 7, "as many as may be")
                self._let_work(daemon)
                assert searched(proxy) - before == 7
                assert logins.answered == 0
                many.resume()
                assert logins.verdicts() == {"OK"}
            assert proxy.connections <= 5
            assert searched(proxy) - before == USERS

    def test_have_no_more_connections_than_there_may_be(self, many: Slapd) -> None:
        with self._stage(many, FASTBIND + "ldap_max_connections: 10\n") as (daemon, proxy):
            most = 10 - 4  # four are for searches, which this method has for its groups alone
            with self._still(many):
                before = bound(proxy)
                with Logins(daemon, PEOPLE_OF_MANY) as logins:
                    wait_until(lambda: bound(proxy) - before == most, "as many as may be")
                    self._let_work(daemon)
                    assert bound(proxy) - before == most
                    many.resume()
                    assert logins.verdicts() == {"OK"}
            assert proxy.connections <= 10

    def test_never_ask_more_of_a_connection_than_slapd_bears(self, many: Slapd) -> None:
        """It closes one of an anonymous client that has more than 100 requests pending."""
        with self._stage(many, "") as (daemon, proxy):
            with Logins(daemon, PEOPLE_OF_MANY) as logins:
                assert logins.verdicts() == {"OK"}
            before, opened = searched(proxy), proxy.connections
            with self._still(many), Logins(daemon, PEOPLE_OF_MANY) as logins:
                wait_until(lambda: searched(proxy) - before >= 32, "some connections are full")
                self._let_work(daemon)
                assert searched(proxy) - before <= 4 * 32
                many.resume()
                assert logins.verdicts() == {"OK"}
            assert searched(proxy) - before == USERS
            assert proxy.connections - opened < USERS
            assert "left aside" not in daemon.log

    def test_do_not_wait_behind_one_that_hangs(self, pensive: Slapd) -> None:
        with ours(configuration(pensive.ldap, timeout=300), *ONE_WORKER, *LONG_LOGINS) as daemon:
            pensive.forget()
            with Login(daemon, SLOW) as hanging:
                wait_until(lambda: [o for o in pensive.operations("BIND") if SLOW.dn in o], "it hangs")
                with Logins(daemon, [U0, U1] * 25) as logins:
                    assert logins.verdicts() == {"OK"}
                assert not hanging.is_answered
            stop_at_once(daemon)

    @staticmethod
    @contextlib.contextmanager
    def _stage(slapd: Slapd, more: str) -> Iterator[tuple[LdapDaemon, TcpProxy]]:
        """A daemon that has connections already."""
        with (
            TcpProxy(slapd.port) as proxy,
            ours(
                configuration(uri_of(proxy.port), timeout=300, more=more), *ONE_WORKER, *LONG_LOGINS
            ) as daemon,
        ):
            assert right(daemon) == "OK"
            yield daemon, proxy

    @staticmethod
    @contextlib.contextmanager
    def _still(slapd: Slapd) -> Iterator[None]:
        slapd.pause()
        try:
            yield
        finally:
            slapd.resume()

    @staticmethod
    def _let_work(daemon: LdapDaemon) -> None:
        """Until the worker has taken all that was sent, and has had time to do something with it."""
        for _ in range(3):
            statistics(daemon, "ldap")


def stop_at_once(daemon: LdapDaemon) -> None:
    """The end of the test asks a second time, and then nobody waits for the logins in hand."""
    os.kill(daemon.pid, signal.SIGTERM)
    wait_until(lambda: not daemon.mux.exists(), "it is about to end")


def searched(proxy: TcpProxy) -> int:
    """Searches for users that have arrived at the proxy."""
    base = PEOPLE.encode()
    return sum(each.tag == SEARCH and base in each.content for each in requests(bytearray(proxy.recorded)))


def bound(proxy: TcpProxy) -> int:
    """Users' binds that have arrived."""
    return sum(each.tag == BIND and b"uid=" in each.content for each in requests(bytearray(proxy.recorded)))


class TestWhatIsLeftBehind:
    def test_by_a_bind_that_was_given_up_is_no_connection(self, pensive: Slapd) -> None:
        """Whoever got it next might get its answer."""
        with (
            TcpProxy(pensive.port) as proxy,
            ours(configuration(uri_of(proxy.port), timeout=BRIEF), *ONE_WORKER) as daemon,
        ):
            assert right(daemon) == "OK"
            proxy.wait_open(2)
            assert right(daemon, SLOW) == "-"
            proxy.wait_open(1)
            assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
            proxy.wait_open(2)

    def test_by_failures_of_all_kinds_is_no_descriptor(self, many: Slapd) -> None:
        some = PEOPLE_OF_MANY[:40]
        with (
            TcpProxy(many.port) as proxy,
            ours(configuration(uri_of(proxy.port), timeout=BRIEF), *ONE_WORKER) as daemon,
        ):
            assert right(daemon) == "OK"
            before = self._descriptors(daemon)
            (worker,) = daemon.workers()
            for mode in (cut_after(5), SILENT):
                self._storm(daemon, some, proxy, mode)
            proxy.drop()
            wait_until(lambda: right(daemon) == "OK", "it works again")
            wait_until(lambda: self._descriptors(daemon) == before, f"as many are open as before, {before}")
            assert daemon.workers() == [worker]

    @staticmethod
    def _storm(daemon: LdapDaemon, people: list[Person], proxy: TcpProxy, mode: Mode) -> None:
        """Many connections, of which none survives."""
        wait_until(lambda: right(daemon) == "OK", "it works")
        with Logins(daemon, people) as logins:
            assert logins.verdicts() == {"OK"}
        proxy.become(mode)
        start = len(daemon.log)
        with Logins(daemon, people) as logins:
            assert logins.verdicts() == {"-"}
        wait_log(daemon, "left aside", start)
        proxy.become(PASS)

    @staticmethod
    def _descriptors(daemon: LdapDaemon) -> int:
        (table,) = statistics(daemon, "ldap")
        return int(table["descriptors"])

"""Directory servers that refuse, are silent, break or come back, and the logins that go on meanwhile."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import pytest
import uvloop

from pysaslauthd.config.ldap_conf import ClientDefaults, read_ldap_conf
from pysaslauthd.config.ldap_keys import LdapConf
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import servers
from pysaslauthd.mechanisms.ldap.attempt import Endpoint
from pysaslauthd.mechanisms.ldap.channel import Channel, Found
from pysaslauthd.mechanisms.ldap.codec import Deref, Done, Scope, Search
from pysaslauthd.mechanisms.ldap.connect import Connector
from support.certificates import Certificates
from support.daemon import COMMAND
from support.ldap_clients import (
    BRIEF,
    PATIENCE,
    Login,
    Logins,
    configuration,
    judged,
    right,
    uri_of,
    wait_log,
    wrong,
)
from support.ldap_daemon import LdapDaemon, ours
from support.ldap_directory import SUFFIX, U0, Entry, person
from support.namespaces import inside, need_namespaces
from support.packages import cannot_run
from support.slapd import Options, Slapd
from support.tcp_proxy import PASS, REFUSE, SILENT, SILENT_IN_TLS, Mode, TcpProxy, cut_after, drip
from support.waiting import LIMIT, wait_until

LEFT = "ldap server is left aside: "
ONE_WORKER = ("-n", "1")
"""So that it is known who has which connection."""


@pytest.fixture(scope="module")
def directories() -> Iterator[tuple[Slapd, Slapd]]:
    """Two that hold the same, for tests that put a proxy before the first."""
    with Slapd() as first, Slapd() as second:
        yield first, second


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[Slapd]:
    with Slapd(Options(certificates=certificates)) as running:
        yield running


def asked(directory: Slapd) -> list[str]:
    """The users' binds that it got since it was last told to forget."""
    return [line for line in directory.operations("BIND") if "uid=" in line]


FAILURES = {
    "refuses": REFUSE,
    "is silent": SILENT,
    "closes at once": cut_after(0),
    "closes inside an answer": cut_after(5),
    "resets inside an answer": cut_after(5, is_reset=True),
}


class TestAServerThatFails:
    """The second of two, or the only one: it is left aside, and asked again when it answers again."""

    @pytest.mark.parametrize("mode", [*FAILURES.values(), drip(3)], ids=[*FAILURES, "drips"])
    def test_from_the_start_is_not_waited_for(self, directories: tuple[Slapd, Slapd], mode: Mode) -> None:
        """An operation may take longer than a login here: who waited for one would get no answer."""
        first, second = directories
        first.forget()
        with TcpProxy(first.port, mode) as proxy:
            text = configuration(uri_of(proxy.port), second.ldap, timeout=300)
            with ours(text, *ONE_WORKER) as daemon:
                assert [right(daemon), wrong(daemon), right(daemon)] == ["OK", "NO", "OK"]
                assert asked(first) == []

    @pytest.mark.parametrize("mode", FAILURES.values(), ids=FAILURES)
    def test_after_it_worked_is_left_until_it_answers_again(
        self, directories: tuple[Slapd, Slapd], mode: Mode
    ) -> None:
        first, second = directories
        with TcpProxy(first.port) as proxy:
            uri = uri_of(proxy.port)
            # Only silence takes the limit of an operation to be noticed.
            timeout = BRIEF if mode is SILENT else PATIENCE
            with ours(configuration(uri, second.ldap, timeout=timeout), *ONE_WORKER) as daemon:
                wait_asked(daemon, first)
                second.forget()
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
                assert asked(second) == []
                proxy.become(mode)
                if mode is REFUSE:
                    proxy.drop()
                assert [right(daemon), wrong(daemon), right(daemon)] == ["OK", "NO", "OK"]
                assert len(asked(second)) == 3
                wait_log(daemon, f"{LEFT}{uri}: ")
                proxy.become(PASS)
                wait_log(daemon, f"ldap server {uri} answers again")
                # And it is preferred, as it stands first.
                wait_asked(daemon, first)

    def test_by_being_slow_is_not_waited_for_longer_than_an_operation_may_take(
        self, directories: tuple[Slapd, Slapd]
    ) -> None:
        """It answers, a byte now and then; and when that was seen, it is left aside as the others."""
        first, second = directories
        with (
            TcpProxy(first.port) as proxy,
            ours(configuration(uri_of(proxy.port), second.ldap, timeout=BRIEF), *ONE_WORKER) as daemon,
        ):
            wait_asked(daemon, first)
            proxy.become(drip(1))
            with Logins(daemon, [U0] * 5) as logins:
                assert logins.verdicts() == {"OK"}
            wait_log(daemon, LEFT)
            assert [right(daemon), wrong(daemon)] == ["OK", "NO"]

    def test_before_or_inside_the_tls_handshake_is_no_different(
        self, encrypted: Slapd, certificates: Certificates
    ) -> None:
        trusted = f"ldap_tls_cacert_file: {certificates.ca}\n"
        with contextlib.ExitStack() as stack:
            stages = []
            for mode in (SILENT, SILENT_IN_TLS, cut_after(100), drip(0.3)):
                before = stack.enter_context(TcpProxy(encrypted.tls_port, mode))
                text = configuration(
                    uri_of(before.port, "ldaps"), encrypted.ldaps, timeout=BRIEF, more=trusted
                )
                stages.append((ours(text, *ONE_WORKER), before))
                before = stack.enter_context(TcpProxy(encrypted.port, mode))
                more = trusted + "ldap_start_tls: yes\n"
                text = configuration(uri_of(before.port), encrypted.ldap, timeout=BRIEF, more=more)
                stages.append((ours(text, *ONE_WORKER), before))
            start_all(stack, [daemon for daemon, _ in stages])
            for daemon, _ in stages:
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
            for daemon, before in stages:
                wait_log(daemon, LEFT)
                before.become(PASS)
            for daemon, before in stages:
                wait_log(daemon, "answers again")
                handshakes, passed = before.handshakes, before.answered
                before.drop()
                assert right(daemon) == "OK"
                assert before.handshakes > handshakes
                assert before.answered > passed


def start_all(stack: contextlib.ExitStack, daemons: list[LdapDaemon]) -> None:
    """At the same time."""
    for daemon in daemons:
        daemon.start()
        stack.push(daemon)
    for daemon in daemons:
        daemon.wait_ready()


def wait_asked(daemon: LdapDaemon, directory: Slapd) -> None:
    """Until ``directory`` is the one that is asked."""
    directory.forget()
    heard = set()

    def is_asked() -> bool:
        heard.add(right(daemon))
        return bool(asked(directory))

    wait_until(is_asked, "it is asked")
    assert heard == {"OK"}


class TestABusyServer:
    """It says so (51), to a search or to a bind, and another may not be."""

    BASE = f"ou=answers,{SUFFIX}"
    USER = person("busy-user", b"busy's", below=BASE)

    @pytest.mark.parametrize("operation", ["search", "bind"])
    def test_is_left_for_another(self, operation: str) -> None:
        overlay = ("overlay retcode", f'retcode-parent "cn=none,{SUFFIX}"', "retcode-indir")
        with (
            Slapd(Options(modules=("retcode",), database=overlay, entries=self._people(operation))) as busy,
            Slapd(Options(entries=self._people())) as free,
        ):
            text = f"ldap_search_base: {self.BASE}\nldap_timeout: {PATIENCE}\n"
            with ours(f"ldap_servers: {busy.ldap} {free.ldap}\n{text}", *ONE_WORKER) as daemon:
                wait_until(
                    lambda: (right(daemon, self.USER), self._searches(busy))[1], "both have been asked"
                )
                assert [right(daemon, self.USER), wrong(daemon, self.USER)] == ["OK", "NO"]
            with ours(f"ldap_servers: {busy.ldap}\n{text}", *ONE_WORKER) as daemon:
                assert [right(daemon, self.USER), wrong(daemon, self.USER)] == ["-", "-"]
                assert "it answers busy" in daemon.log

    def _searches(self, busy: Slapd) -> list[str]:
        return busy.operations(f'SRCH base="{self.BASE}"')

    def _people(self, *operations: str) -> tuple[Entry, Entry]:
        """Where the user is, and the user, of whom the server says at these operations that it is busy."""
        user = self.USER.entry
        classes = [*user.attributes["objectClass"], "errAuxObject"]
        more: dict[str, Sequence[str | bytes]] = {}
        if operations:
            more = {"objectClass": classes, "errCode": ["51"], "errOp": operations}
        return (
            Entry(self.BASE, {"objectClass": ["organizationalUnit"], "ou": ["answers"]}),
            Entry(user.dn, {**user.attributes, **more}),
        )


async def probed(tried: servers.Servers) -> None:
    """Until it is known of each whether it answers: while the first is not known to, the next is asked."""
    probes = [probe for server in tried._servers if (probe := server.probe()) is not None]  # noqa: SLF001
    await asyncio.gather(*probes)


async def ended(tried: servers.Servers, *directories: Slapd) -> None:
    """Nothing of it may outlive the loop."""
    while probes := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(probes)
    for directory in directories:
        directory.stop()
    for server in tried._servers:  # noqa: SLF001  (nobody else knows of all connections)
        while any(lane.heard_since(0.0) for lane in server._lanes.values()):  # noqa: SLF001, ASYNC110
            await asyncio.sleep(0.001)


class TestTheServerThatFoundAnEntry:
    """One before it may have been busy for a moment, and not have the entry yet, or an older one."""

    def test_is_the_one_that_its_password_is_tried_at(self) -> None:
        with Slapd(Options(users=1)) as first, Slapd(Options(users=1)) as second:
            text = configuration(first.ldap, second.ldap, timeout=PATIENCE)
            conf = read_ldap_conf(text.encode(), "F")
            loop = uvloop.new_event_loop()
            try:
                loop.run_until_complete(self._bind(conf, first, second))
            finally:
                loop.close()

    @staticmethod
    async def _bind(conf: LdapConf, first: Slapd, second: Slapd) -> None:
        def bind(channel: Channel) -> Awaitable[Done]:
            return channel.bind(U0.dn.encode(), Secret(U0.password), 3, LIMIT)

        tried = servers.Servers(conf, Connector(conf, ClientDefaults()))
        there = Endpoint.parse(second.ldap)
        await probed(tried)
        assert (await tried.use(servers.Purpose.BIND, bind, there)).code == 0
        assert (await tried.use(servers.Purpose.BIND, bind)).code == 0
        for directory in (first, second):
            assert asked(directory)
            directory.forget()
        assert (await tried.bind(bind, there)).code == 0
        assert asked(second)
        assert not asked(first)
        second.stop()
        assert (await tried.bind(bind, there)).code == 0
        await ended(tried, first)


class TestWhileNoServerAnswers:
    def test_no_password_is_wrong_and_the_end_of_it_is_noticed(
        self, directories: tuple[Slapd, Slapd]
    ) -> None:
        first, second = directories
        with (
            TcpProxy(first.port, REFUSE) as refusing,
            TcpProxy(first.port, SILENT) as silent,
            TcpProxy(second.port, cut_after(5)) as closing,
            ours(configuration(*(uri_of(p.port) for p in (refusing, silent, closing)))) as daemon,
        ):
            assert [right(daemon), wrong(daemon)] == ["-", "-"]
            with Logins(daemon, [U0] * 20) as logins:
                assert logins.verdicts() == {"-"}
            for proxy in (closing, silent):
                proxy.become(PASS)
                self._wait_recovered(daemon)
                assert judged(lambda: wrong(daemon)) == "NO"
                proxy.become(REFUSE)
                proxy.drop()
                assert right(daemon) == "-"
            assert "auth failure" in daemon.log

    def test_after_it_worked_neither(self) -> None:
        with Slapd() as only, ours(configuration(only.ldap)) as daemon:
            self._wait_recovered(daemon)
            only.stop()
            assert {right(daemon), wrong(daemon), right(daemon)} == {"-"}
            only.start()
            self._wait_recovered(daemon)
            only.pause()
            assert {right(daemon), wrong(daemon), right(daemon)} == {"-"}
            only.resume()
            self._wait_recovered(daemon)
            assert judged(lambda: wrong(daemon)) == "NO"

    def test_each_login_has_them_looked_at_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However long the pause until the next look has become."""
        for name, value in (("FIRST_PAUSE", 1000.0), ("LONGEST_PAUSE", 1000.0), ("FRESH", 0.0)):
            monkeypatch.setattr(servers, name, value)
        with Slapd(Options(users=1)) as only:
            conf = read_ldap_conf(configuration(only.ldap, timeout=PATIENCE).encode(), "F")
            loop = uvloop.new_event_loop()
            try:
                loop.run_until_complete(self._outage(conf, only))
            finally:
                loop.close()

    @staticmethod
    async def _outage(conf: LdapConf, only: Slapd) -> None:
        root = Search(b"", Scope.BASE, b"\x87\x0bobjectClass", (b"1.1",), 0, 0, Deref.NEVER)

        async def search(channel: Channel) -> Found:
            return await channel.search(root, LIMIT)

        tried = servers.Servers(conf, Connector(conf, ClientDefaults()))
        for _ in range(3):
            assert (await tried.use(servers.Purpose.SEARCH, search)).number == 1
            only.stop()
            with pytest.raises(servers.NoServerError):
                await tried.use(servers.Purpose.SEARCH, search)
            only.start()
        await ended(tried, only)

    @staticmethod
    def _wait_recovered(daemon: LdapDaemon) -> None:
        """By nothing but logins."""
        heard = set()

        def accepted() -> bool:
            heard.add(right(daemon))
            return "OK" in heard

        wait_until(accepted, "a login is accepted again")
        assert heard <= {"OK", "-"}


class TestARestartedServer:
    def test_is_noticed_by_nobody(self) -> None:
        """Also with connections that nobody uses, for searches and for binds."""
        with Slapd() as only, ours(configuration(only.ldap, timeout=PATIENCE), *ONE_WORKER) as daemon:
            with Logins(daemon, [U0] * 10) as logins:
                assert logins.verdicts() == {"OK"}
            start = len(daemon.log)
            for _ in range(3):
                only.restart()
                assert [right(daemon), wrong(daemon), right(daemon)] == ["OK", "NO", "OK"]
            assert LEFT not in daemon.log[start:]
            assert "auth unavailable" not in daemon.log[start:]

    def test_is_noticed_by_nobody_who_asks_at_that_moment(self, directories: tuple[Slapd, Slapd]) -> None:
        """The request goes out on a connection whose end has not been read yet, or has no answer when that comes."""
        first, _ = directories
        with (
            TcpProxy(first.port) as proxy,
            ours(configuration(uri_of(proxy.port), timeout=PATIENCE), *ONE_WORKER) as daemon,
        ):
            for _ in range(20):
                with Logins(daemon, [U0] * 4) as logins:
                    proxy.drop()
                    assert logins.verdicts() == {"OK"}

    def test_that_closed_idle_connections_is_no_different(self) -> None:
        with (
            Slapd(Options(settings=("idletimeout 1",))) as only,
            TcpProxy(only.port) as proxy,
            ours(configuration(uri_of(proxy.port), timeout=PATIENCE), *ONE_WORKER) as daemon,
        ):
            with Logins(daemon, [U0] * 5) as logins:
                assert logins.verdicts() == {"OK"}
            proxy.wait_open(0)
            assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
            assert not [
                line for line in daemon.log.splitlines() if "left aside" in line or "unavailable" in line
            ]


def test_a_resolver_that_does_not_answer_holds_up_only_its_own_server(slapd: Slapd, tmp_path: Path) -> None:
    need_namespaces()
    unknown = "ldap://ldap.example.test"
    with silent_resolver(tmp_path) as (command, resolver), contextlib.ExitStack() as stack:
        text = configuration(unknown, slapd.ldap, timeout=BRIEF)
        one_of_two = ours(text, *ONE_WORKER, command=command)
        only = ours(configuration(unknown, timeout=BRIEF), *ONE_WORKER, command=command)
        start_all(stack, [one_of_two, only])
        assert b"\x04ldap\x07example\x04test" in resolver.recv(1000)
        with Login(only) as login:
            assert [right(one_of_two), wrong(one_of_two)] == ["OK", "NO"]
            wait_log(one_of_two, f"{LEFT}{unknown}: resolve: not done within {BRIEF} s")
            with Logins(one_of_two, [U0] * 20) as logins:
                assert logins.verdicts() == {"OK"}
            assert [login.verdict(), wrong(only)] == ["-", "-"]
            assert f"resolve: not done within {BRIEF} s" in only.log


@contextlib.contextmanager
def silent_resolver(directory: Path) -> Iterator[tuple[list[str], socket.socket]]:
    """The command of a daemon that asks nobody else for addresses, and what it asks."""
    # One of its own, as another test may run beside this one.
    address = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        try:
            silent.bind((address, 53))
        except OSError as error:
            cannot_run(f"needs port 53 of {address}: {error.strerror}")
        silent.settimeout(LIMIT)
        (directory / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:30 attempts:3\n")
        (directory / "nsswitch.conf").write_text("hosts: dns\n")
        binds = {Path("/etc") / name: directory / name for name in ("resolv.conf", "nsswitch.conf")}
        yield inside(COMMAND, binds=binds), silent

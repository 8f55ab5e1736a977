"""TLS to the directory through the whole daemon: whose certificate is believed, and who reads the key."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support import processes
from support.certificates import Certificates, Pair
from support.daemon import COMMAND
from support.ldap_clients import PATIENCE, configuration, right, statistics, uri_of, wait_log, wrong
from support.ldap_daemon import WORKER, LdapDaemon, ours
from support.ldap_directory import SERVICE_DN, SERVICE_PASSWORD, U0
from support.packages import need_root
from support.processes import Process
from support.slapd import Options, Slapd
from support.tcp_proxy import TcpProxy
from support.waiting import wait_until

STARTTLS = "ldap_start_tls: yes\n"
ACCOUNT = f"ldap_bind_dn: {SERVICE_DN}\nldap_password: {SERVICE_PASSWORD.decode()}\n"

NOBODY = 65534

WORKERS = 2
"""That are kept ready."""

# All is imported first, as the code may be where only root can read it.
_AS_NOBODY = (
    "import os, sys; from pysaslauthd.commands.daemon import main; import pysaslauthd.mechanisms.proxy, pysaslauthd.mechanisms.ldap.mechanism; "
    f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); sys.exit(main())"
)


@contextlib.contextmanager
def showing(certificates: Certificates, **options: Any) -> Iterator[tuple[Slapd, TcpProxy, TcpProxy]]:
    """A server, and what stands before its two ports and knows what was sent."""
    with (
        Slapd(Options(users=1, certificates=certificates, **options)) as running,
        TcpProxy(running.port) as plain,
        TcpProxy(running.tls_port) as encrypted,
    ):
        yield running, plain, encrypted


def both_ways(plain: TcpProxy, encrypted: TcpProxy, more: str) -> Iterator[LdapDaemon]:
    """A daemon that comes by StartTLS, then one that comes by ldaps."""
    for uri, start in ((uri_of(plain.port), STARTTLS), (uri_of(encrypted.port, "ldaps"), "")):
        with ours(configuration(uri, timeout=PATIENCE, more=ACCOUNT + more + start)) as daemon:
            yield daemon


def assert_secret(*proxies: TcpProxy) -> None:
    """No password went over the wire as it is."""
    for proxy in proxies:
        assert U0.password not in proxy.recorded
        assert SERVICE_PASSWORD not in proxy.recorded


def trusting(certificates: Certificates) -> str:
    return f"ldap_tls_cacert_file: {certificates.ca}\n"


class TestAServer:
    def test_with_a_good_certificate_is_asked(self, certificates: Certificates) -> None:
        with showing(certificates) as (_, plain, encrypted):
            for daemon in both_ways(plain, encrypted, trusting(certificates)):
                assert [right(daemon), wrong(daemon), right(daemon)] == ["OK", "NO", "OK"]
            assert plain.handshakes
            assert encrypted.handshakes
            assert_secret(plain, encrypted)

    @pytest.mark.parametrize(
        ("shown", "reason"),
        [
            ("wrong_host", "IP address mismatch"),
            ("expired", "expired"),
            ("unknown", "local issuer"),
        ],
    )
    def test_with_another_is_told_no_password(
        self, certificates: Certificates, shown: str, reason: str
    ) -> None:
        with showing(certificates, identity=getattr(certificates, shown)) as (_, plain, encrypted):
            for daemon in both_ways(plain, encrypted, trusting(certificates)):
                assert [right(daemon), wrong(daemon)] == ["-", "-"]
                assert "TLS handshake (127.0.0.1): certificate: " in daemon.log
                assert reason in daemon.log
            assert_secret(plain, encrypted)
            more = trusting(certificates) + "ldap_tls_check_peer: no\n"
            for daemon in both_ways(plain, encrypted, more):
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]

    def test_that_is_not_checked_is_warned_of(self, certificates: Certificates) -> None:
        with showing(certificates) as (_, plain, encrypted):
            for daemon in both_ways(plain, encrypted, "ldap_tls_check_peer: no\n"):
                wait_log(daemon, f"{daemon.file}:6: ldap_tls_check_peer: servers are not verified")

    @pytest.mark.parametrize("word", ["Yes", "On", "TRUE"])
    def test_without_tls_is_told_nothing_if_the_file_says(self, word: str) -> None:
        """The original takes these for "no", and sends passwords in clear."""
        with Slapd(Options(users=1)) as running, TcpProxy(running.port) as proxy:
            text = configuration(
                uri_of(proxy.port), timeout=PATIENCE, more=f"{ACCOUNT}ldap_start_tls: {word}\n"
            )
            with ours(text) as daemon:
                assert [right(daemon), wrong(daemon)] == ["-", "-"]
                wait_log(daemon, f"{daemon.file}:6: ldap_start_tls: '{word}' is yes here")
            assert proxy.received
            assert_secret(proxy)

    def test_that_demands_a_certificate_gets_the_one_of_the_file(self, certificates: Certificates) -> None:
        with showing(certificates, verify_client="demand") as (_, plain, encrypted):
            more = trusting(certificates)
            for daemon in both_ways(plain, encrypted, more + client_pair(certificates.client)):
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
            for daemon in both_ways(plain, encrypted, more):
                assert [right(daemon), wrong(daemon)] == ["-", "-"]
                assert "ldap server is left aside" in daemon.log
            for daemon in both_ways(plain, encrypted, more + client_pair(certificates.unknown_client)):
                assert [right(daemon), wrong(daemon)] == ["-", "-"]
            assert_secret(plain, encrypted)


def client_pair(pair: Pair) -> str:
    return f"ldap_tls_cert: {pair.certificate}\nldap_tls_key: {pair.key}\n"


@pytest.fixture
def private(certificates: Certificates) -> Iterator[Pair]:
    """The client's certificate and key, in a place that only who runs the test can read."""
    directory = Path(tempfile.mkdtemp(prefix="psd-"))
    try:
        pair = Pair(directory / "client.pem", directory / "client.key")
        for copy, file in zip(pair, certificates.client, strict=True):
            shutil.copyfile(file, copy)
        pair.key.chmod(0o600)
        yield pair
    finally:
        shutil.rmtree(directory)


class TestAPrivateKey:
    def test_of_root_serves_workers_that_cannot_read_it(
        self, certificates: Certificates, private: Pair
    ) -> None:
        need_root()
        with self._demanding(certificates) as demanding:
            text = self._text(demanding, certificates, private)
            with ours(text) as daemon:
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
                statistics(daemon, "ldap", WORKERS)
                before = daemon.children(WORKER)
                assert {self._user(worker.pid) for worker in before} == {self._user(daemon.front().pid)}
                assert self._user(daemon.front().pid) != 0
                # Those that come later have no file any more, and are no different.
                private.key.unlink()
                for worker in before:
                    worker.send(signal.SIGKILL)

                def successors() -> list[Process]:
                    return [worker for worker in daemon.children(WORKER) if worker not in before]

                wait_until(lambda: len(successors()) == WORKERS, "new workers are there")
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
                daemon.reload()
                wait_log(daemon, f"{daemon.file}:6: ldap_tls_key: {private.key}: No such file or directory")
                assert right(daemon) == "OK"

    def test_of_a_user_serves_the_daemon_that_he_starts(
        self, certificates: Certificates, private: Pair
    ) -> None:
        with self._demanding(certificates) as demanding:
            authority = private.key.with_name("ca.pem")
            authority.write_bytes(certificates.ca.read_bytes())
            text = self._text(demanding, certificates, private).replace(str(certificates.ca), str(authority))
            daemon = ours(text, command=self._as_user())
            if os.geteuid() == 0:
                for path in (daemon.directory, daemon.file, private.key.parent, *private, authority):
                    os.chown(path, NOBODY, NOBODY)
            with daemon:
                assert [right(daemon), wrong(daemon)] == ["OK", "NO"]
                assert self._user(daemon.pid) != 0

    @staticmethod
    def _as_user() -> Sequence[str]:
        return (sys.executable, "-c", _AS_NOBODY) if os.geteuid() == 0 else COMMAND

    @staticmethod
    @contextlib.contextmanager
    def _demanding(certificates: Certificates) -> Iterator[Slapd]:
        with Slapd(Options(users=1, certificates=certificates, verify_client="demand")) as running:
            yield running

    @staticmethod
    def _text(demanding: Slapd, certificates: Certificates, pair: Pair) -> str:
        return configuration(
            demanding.ldaps, timeout=PATIENCE, more=trusting(certificates) + client_pair(pair)
        )

    @staticmethod
    def _user(pid: int) -> int:
        return int(processes.status(pid)["Uid"].split()[1])

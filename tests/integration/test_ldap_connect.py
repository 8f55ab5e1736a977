"""Connections to real directory servers: that they are made, and that those that cannot be end in time."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from support.certificates import Certificates
from support.ldap_connections import (
    FOUND,
    LDAPS,
    SASL_ACCOUNT,
    STARTTLS,
    connect,
    connector,
    failure,
    failure_of,
    identity,
    search,
)
from support.namespaces import inside, need_namespaces
from support.packages import cannot_run
from support.slapd import NO_ANONYMOUS, Options, Slapd
from support.tcp_ports import HOST, free_port, unreachable_port
from support.tcp_proxy import REFUSE, SILENT, SILENT_IN_TLS, TcpProxy, cut_after, drip
from support.waiting import LIMIT, wait_until

pytest_plugins = ["support.ldap_fixtures"]

ONE_SECOND = "ldap_timeout: 1\n"
LONG = "ldap_timeout: 300\n"
"""Beyond any test, so that it is not the time-out that ends it."""


@pytest.fixture
def trusted(certificates: Certificates) -> str:
    return f"ldap_tls_cacert_file: {certificates.ca}\n"


def uri_of(port: int) -> str:
    return f"ldap://{HOST}:{port}"


class TestAnEndpoint:
    @pytest.mark.parametrize(
        ("uri", "parts"),
        [
            ("ldap://ldap.example.test", ("ldap", "ldap.example.test", 389, "")),
            ("ldap://LDAP.example.test:1389/", ("ldap", "ldap.example.test", 1389, "")),
            ("LDAPS://10.1.2.3/dc=x??sub?(uid=a:b@c)", ("ldaps", "10.1.2.3", 636, "")),
            ("ldaps://[2001:db8::1]:1636", ("ldaps", "2001:db8::1", 1636, "")),
            ("ldap://[fe80::1%25eth0]/", ("ldap", "fe80::1%eth0", 389, "")),
            ("ldap://bücher.example", ("ldap", "xn--bcher-kva.example", 389, "")),
            ("ldap:///", ("ldap", "localhost", 389, "")),
            ("ldapi:///", ("ldapi", "", 0, "")),
            ("ldapi://%2Frun%2fSlapd%2fldapi/", ("ldapi", "", 0, "/run/Slapd/ldapi")),
        ],
    )
    def test_is_what_a_uri_says(self, uri: str, parts: tuple[str, str, int, str]) -> None:
        assert Endpoint.parse(uri) == (uri, *parts)

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "localhost",
            "ldap:host",
            "http://host/",
            "ldap://host:0/",
            "ldap://host:65536/",
            "ldap://host:http/",
            "ldap://[::1/",
            "ldap://[host]/",
            "ldap://ho st/",
            "ldap://user@host/",
            "ldap://host..test/",
            f"ldap://{'x' * 64}.test/",
            "ldap://%00/",
            "ldapi://%2frun%00/\0",
        ],
    )
    def test_is_not_what_is_no_uri(self, uri: str) -> None:
        with pytest.raises(ValueError):
            Endpoint.parse(uri)

    def test_of_the_local_socket_is_where_libldap_looks(self) -> None:
        places = [address[4] for address in Endpoint.parse("ldapi:///").addresses()]
        assert places == ["/run/slapd/ldapi", "/run/ldapi"]


class TestAConnection:
    def test_without_tls_answers_a_search(self, slapd: Slapd) -> None:
        assert search(connect(slapd.ldap)) == FOUND

    def test_over_the_local_socket_does(self, slapd: Slapd) -> None:
        assert search(connect(slapd.ldapi)) == FOUND

    def test_with_starttls_does(self, slapd: Slapd, trusted: str) -> None:
        connection = connect(slapd.ldap, STARTTLS + trusted)
        assert isinstance(connection, ssl.SSLSocket)
        assert search(connection) == FOUND

    @pytest.mark.parametrize("host", [HOST, "localhost"])
    def test_with_ldaps_does(self, slapd: Slapd, trusted: str, host: str) -> None:
        connection = connect(f"ldaps://{host}:{slapd.tls_port}", LDAPS + trusted)
        assert isinstance(connection, ssl.SSLSocket)
        assert search(connection) == FOUND

    def test_to_ldaps_by_referral_needs_no_second_tls(self, slapd: Slapd, trusted: str) -> None:
        assert search(connect(slapd.ldaps, STARTTLS + trusted)) == FOUND

    @pytest.mark.parametrize("text", ["", STARTTLS])
    def test_is_handed_over_without_delays_and_limits(self, slapd: Slapd, trusted: str, text: str) -> None:
        with connect(slapd.ldap, text + trusted) as connection:
            assert connection.gettimeout() == 0
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == bytes(16)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert not connection.get_inheritable()

    def test_is_not_bound_and_asks_for_nothing(self, certificates: Certificates, trusted: str) -> None:
        with Slapd(Options(users=1, certificates=certificates, settings=NO_ANONYMOUS)) as own:
            connect(own.ldap).close()
            connect(own.ldap, STARTTLS + trusted).close()
            wait_until(lambda: own.connections() == 2, "two connections")
            wait_until(lambda: own.operations("EXT"), "StartTLS")
            assert len(own.operations()) == 1
            assert identity(connect(own.ldapi, SASL_ACCOUNT)) == ""

    def test_is_made_beside_a_living_one_only_if_the_server_lives(self, slapd: Slapd) -> None:
        """ldap3 keeps the address in use where connections share it, and takes one of another for its own."""
        made = connector()
        with TcpProxy(slapd.port) as proxy:
            endpoint = Endpoint.parse(uri_of(proxy.port))
            with made.connect(endpoint, Attempt(), sasl_bind=False):
                proxy.become(REFUSE)
                with pytest.raises(ConnectError, match="Connection refused"):
                    made.connect(endpoint, Attempt(), sasl_bind=False)


class TestAServerThatIsNotThere:
    def test_is_said_to_refuse(self) -> None:
        uri = uri_of(free_port())
        assert failure(uri) == (f"connect ({HOST}): Connection refused", None)

    def test_is_said_not_to_answer(self) -> None:
        with unreachable_port() as port:
            assert failure(uri_of(port), ONE_SECOND) == (f"connect ({HOST}): timed out", None)

    def test_has_no_local_socket(self, tmp_path: Path) -> None:
        uri = f"ldapi://{str(tmp_path).replace('/', '%2f')}%2fldapi"
        assert failure(uri) == (f"connect ({tmp_path}/ldapi): No such file or directory", None)

    def test_has_a_name_that_nobody_knows(self) -> None:
        text, _ = failure("ldap://nowhere.invalid")
        assert text.startswith("resolve: ")

    def test_has_a_path_that_no_socket_can_have(self) -> None:
        text, _ = failure(f"ldapi://%2f{'x' * 200}")
        assert "too long" in text


class TestAName:
    @pytest.fixture
    def resolve(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        def resolve(*addresses: tuple[str, int]) -> None:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        return resolve

    def test_leads_to_the_second_address_if_the_first_refuses(
        self, slapd: Slapd, resolve: Callable[..., None]
    ) -> None:
        resolve(("127.0.0.2", free_port()), (HOST, slapd.port))
        assert search(connect("ldap://two.example.test")) == FOUND

    def test_leads_to_the_second_address_if_the_first_is_silent(
        self, slapd: Slapd, resolve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits: dict[int, float | None] = {}

        class Watched(socket.socket):
            def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]
                limits[address[1]] = self.gettimeout()
                super().connect(address)

        with unreachable_port() as port:
            resolve((HOST, port), (HOST, slapd.port))
            monkeypatch.setattr(socket, "socket", Watched)
            begun = time.monotonic()
            assert search(connect("ldap://two.example.test", "ldap_timeout: 4\n")) == FOUND
            assert time.monotonic() - begun > 1.9
        assert limits == {port: 2, slapd.port: 2}, "the share of each is the half"

    def test_leads_to_the_second_address_if_the_first_has_a_bad_certificate(
        self, slapd: Slapd, certificates: Certificates, trusted: str, resolve: Callable[..., None]
    ) -> None:
        with Slapd(Options(users=1, certificates=certificates, identity=certificates.expired)) as expired:
            resolve((HOST, expired.tls_port), (HOST, slapd.tls_port))
            assert search(connect("ldaps://localhost", LDAPS + trusted)) == FOUND

    def test_of_which_no_address_works_says_all(self, resolve: Callable[..., None]) -> None:
        resolve(("127.0.0.2", free_port()), (HOST, free_port()))
        refused = [f"connect ({host}): Connection refused" for host in ("127.0.0.2", HOST)]
        assert failure("ldap://two.example.test") == ("; ".join(refused), None)

    def test_does_not_blame_an_address_that_was_left(
        self, slapd: Slapd, trusted: str, resolve: Callable[..., None]
    ) -> None:
        resolve(("127.0.0.2", free_port()), (HOST, slapd.port))
        text, _ = failure("ldap://two.example.test", STARTTLS + trusted)
        assert text.startswith(f"TLS handshake ({HOST}): certificate: Hostname mismatch")
        assert "127.0.0.2" not in text


class TestASilentServer:
    """It accepts, as the kernel does that, and nothing follows."""

    @pytest.mark.parametrize(
        ("mode", "text", "step"),
        [
            (SILENT, STARTTLS, "StartTLS"),
            (SILENT_IN_TLS, STARTTLS, f"TLS handshake ({HOST})"),
            (SILENT_IN_TLS, LDAPS, f"TLS handshake ({HOST})"),
            (SILENT, SASL_ACCOUNT + "ldap_mech: EXTERNAL\n", "SASL bind"),
        ],
    )
    def test_is_waited_for_no_longer_than_configured(
        self, slapd: Slapd, trusted: str, mode: object, text: str, step: str
    ) -> None:
        port = slapd.tls_port if text == LDAPS else slapd.port
        with TcpProxy(port) as proxy:
            proxy.become(mode)  # type: ignore[arg-type]
            uri = f"{'ldaps' if text == LDAPS else 'ldap'}://{HOST}:{proxy.port}"
            patient = Attempting(uri, text + trusted + LONG, sasl_bind=True)
            begun = time.monotonic()
            assert failure(uri, text + trusted + ONE_SECOND, sasl_bind=True) == (f"{step}: timed out", None)
            assert time.monotonic() - begun > 0.9
            assert patient.outcome is None
            patient.cancelled()
            proxy.wait_open(0)


class Attempting:
    """A connection being made in a thread. ``outcome`` is what came of it."""

    def __init__(self, uri: str, text: str, *, sasl_bind: bool = False) -> None:
        self.attempt = Attempt()
        self.outcome: socket.socket | ConnectError | None = None
        self._uri = uri
        self._thread = threading.Thread(target=self._run, args=(text, sasl_bind))
        self._thread.start()

    def _run(self, text: str, sasl_bind: bool) -> None:  # noqa: FBT001  (a thread's argument)
        try:
            made = connector(text)
            self.outcome = made.connect(Endpoint.parse(self._uri), self.attempt, sasl_bind=sasl_bind)
        except ConnectError as error:
            self.outcome = error

    def wait_step(self, step: str) -> None:
        wait_until(lambda: self.attempt.step == step, step)

    def cancelled(self) -> str:
        """What it fails with when it is given up, which has to be sooner than :data:`LONG`."""
        self.attempt.cancel()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        assert isinstance(self.outcome, ConnectError)
        return failure_of(self.outcome, self._uri).text


class TestAnAttemptThatIsCancelled:
    def test_ends_while_it_connects(self) -> None:
        with unreachable_port() as port:
            attempting = Attempting(uri_of(port), LONG)
            attempting.wait_step("connect")
            assert attempting.cancelled() == "connect: given up"

    def test_ends_before_the_next_address(self, monkeypatch: pytest.MonkeyPatch, slapd: Slapd) -> None:
        with unreachable_port() as port, TcpProxy(slapd.port) as proxy:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, p)) for p in (port, proxy.port)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            attempting = Attempting("ldap://two.example.test", LONG)
            attempting.wait_step("connect")
            assert attempting.cancelled() == "connect: given up"
            assert proxy.connections == 0

    def test_ends_while_it_waits_for_the_answer_to_starttls(self, slapd: Slapd, trusted: str) -> None:
        with TcpProxy(slapd.port, SILENT) as proxy:
            attempting = Attempting(uri_of(proxy.port), STARTTLS + trusted + LONG)
            proxy.wait_received(1)
            assert attempting.cancelled() == "StartTLS: given up"
            proxy.wait_open(0)

    @pytest.mark.parametrize("text", [STARTTLS, LDAPS])
    def test_ends_inside_a_tls_handshake(self, slapd: Slapd, trusted: str, text: str) -> None:
        port, scheme = (slapd.tls_port, "ldaps") if text == LDAPS else (slapd.port, "ldap")
        with TcpProxy(port, SILENT_IN_TLS) as proxy:
            attempting = Attempting(f"{scheme}://{HOST}:{proxy.port}", text + trusted + LONG)
            proxy.wait_handshakes(1)
            assert attempting.cancelled() == "TLS handshake: given up"
            proxy.wait_open(0)

    def test_ends_while_an_answer_drips(self, slapd: Slapd, trusted: str) -> None:
        """No read takes long, so ldap3's limits never end it."""
        with TcpProxy(slapd.port, drip(0.3)) as proxy:
            attempting = Attempting(uri_of(proxy.port), STARTTLS + trusted + LONG)
            proxy.wait_answered(5)
            assert attempting.outcome is None
            assert attempting.cancelled() == "StartTLS: given up"
            proxy.wait_open(0)

    def test_ends_inside_a_sasl_bind(self, slapd: Slapd) -> None:
        text = SASL_ACCOUNT + LONG + "ldap_mech: DIGEST-MD5\nldap_id: u0\nldap_password: x\n"
        with TcpProxy(slapd.port, SILENT) as proxy:
            attempting = Attempting(uri_of(proxy.port), text, sasl_bind=True)
            proxy.wait_received(1)
            assert attempting.cancelled() == "SASL bind: given up"

    def test_never_begins_if_that_came_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host))
        attempt = Attempt()
        attempt.cancel()
        with pytest.raises(ConnectError, match="resolve: given up"):
            connector().connect(Endpoint.parse("ldap://ldap.example.test"), attempt, sasl_bind=False)
        assert asked == []

    def test_gives_nothing_away_at_the_last_moment(self) -> None:
        attempt, connection = Attempt(), socket.socket()
        attempt.hold(connection)
        attempt.cancel()
        with pytest.raises(ConnectError, match="given up"):
            attempt.give()
        attempt.close()
        assert connection.fileno() == -1

    def test_leaves_tls_to_the_thread_that_uses_it(self, slapd: Slapd, trusted: str) -> None:
        """Without its TLS an SSLSocket reads and writes in clear."""
        with connect(slapd.ldaps, LDAPS + trusted) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            attempt = Attempt()
            attempt.hold(connection)
            attempt.cancel()
            assert connection.version() == "TLSv1.3"

    def test_closes_a_socket_that_was_just_returned(self, slapd: Slapd) -> None:
        attempt = Attempt()
        connection = connector().connect(Endpoint.parse(slapd.ldap), attempt, sasl_bind=False)
        assert connection.fileno() >= 0
        attempt.cancel()
        assert connection.fileno() == -1

    def test_ends_when_the_resolver_does(self, slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
        is_asked, may_answer, real = threading.Event(), threading.Event(), socket.getaddrinfo

        def slow(host: str, port: int, **options: int) -> object:
            is_asked.set()
            assert may_answer.wait(LIMIT)
            return real(host, port, **options)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with TcpProxy(slapd.port) as proxy:
            attempting = Attempting(uri_of(proxy.port), "")
            assert is_asked.wait(LIMIT)
            attempting.attempt.cancel()
            may_answer.set()
            assert attempting.cancelled() == "resolve: given up"
            assert proxy.connections == 0


class TestAServerThatCloses:
    @pytest.mark.parametrize("is_reset", [False, True])
    @pytest.mark.parametrize("answered", [0, 5])
    def test_instead_of_starting_tls_is_said_to(
        self,
        slapd: Slapd,
        trusted: str,
        answered: int,
        is_reset: bool,  # noqa: FBT001
    ) -> None:
        with TcpProxy(slapd.port, cut_after(answered, is_reset=is_reset)) as proxy:
            assert failure(uri_of(proxy.port), STARTTLS + trusted) == (
                "StartTLS: the server closed the connection",
                None,
            )

    @pytest.mark.parametrize("is_reset", [False, True])
    def test_inside_a_handshake_is_said_to(self, slapd: Slapd, trusted: str, is_reset: bool) -> None:  # noqa: FBT001
        with TcpProxy(slapd.tls_port, cut_after(100, is_reset=is_reset)) as proxy:
            text, _ = failure(f"ldaps://{HOST}:{proxy.port}", LDAPS + trusted)
            assert text == f"TLS handshake ({HOST}): the server closed the connection"


# Programs of their own, which have nothing of pytest in them.
_CONNECTOR = r"""
import sys, threading
from pysaslauthd.config.ldap_conf import ClientDefaults, read_ldap_conf
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from pysaslauthd.mechanisms.ldap.connect import Connector

def connector(text):
    return Connector(read_ldap_conf((text + "ldap_timeout: 20\n").encode(), "F"), ClientDefaults())
"""

_SILENT_RESOLVER = (
    _CONNECTOR
    + r"""
attempt, outcome = Attempt(), []
def run():
    try:
        connector("").connect(Endpoint.parse("ldap://ldap.example.test"), attempt, sasl_bind=False)
    except ConnectError as error:
        outcome.append(str(error))
thread = threading.Thread(target=run)
thread.start()
sys.stdin.read()
attempt.cancel()
print("cancelled", flush=True)
thread.join()
print(*outcome)
"""
)


def test_a_resolver_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    """It is asked before the attempt is given up, and answers behind that."""
    need_namespaces()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        try:
            silent.bind(("127.0.0.77", 53))
        except OSError as error:
            cannot_run(f"needs port 53 of 127.0.0.77: {error.strerror}")
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
        binds = {Path("/etc") / name: tmp_path / name for name in ("resolv.conf", "nsswitch.conf")}
        with subprocess.Popen(
            inside([sys.executable, "-c", _SILENT_RESOLVER], binds=binds),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            silent.settimeout(LIMIT)
            question = silent.recvfrom(1000)
            assert b"\x04ldap\x07example\x04test" in question[0]
            program.stdin.close()
            assert program.stdout.readline() == b"cancelled\n"
            deny(silent, *question)
            silent.setblocking(False)

            def has_ended() -> bool:
                with contextlib.suppress(BlockingIOError):
                    deny(silent, *silent.recvfrom(1000))
                return program.poll() is not None

            wait_until(has_ended, "the resolver comes back")
            assert program.stdout.read() == b"ldap://ldap.example.test: resolve: given up\n"


def deny(resolver: socket.socket, question: bytes, asker: tuple[str, int]) -> None:
    """Say that there is no such name."""
    resolver.sendto(question[:2] + b"\x81\x83" + question[4:], asker)


_NEW_MODULES = (
    _CONNECTOR
    + r"""
ldap, ldapi, ca = sys.argv[1:]
before = set(sys.modules)
tls = f"ldap_start_tls: yes\nldap_tls_cacert_file: {ca}\nldap_use_sasl: yes\n"
def connect(uri, text):
    connector(text).connect(Endpoint.parse(uri), Attempt(), sasl_bind=True).close()
connect(ldapi, "ldap_use_sasl: yes\nldap_auth_method: custom\nldap_mech: EXTERNAL\n")
for mechanism in ("", "ldap_mech: DIGEST-MD5\n", "ldap_mech: PLAIN\n"):
    for host in ("127.0.0.1", "localhost"):
        endpoint = Endpoint.parse(ldap.replace("127.0.0.1", host))
        assert connector(tls + mechanism).sasl_verify(endpoint, Attempt(), b"u0", Secret(b"x"), b"").code == 49
for uri, text in (("ldap://b\u00fccher.invalid", ""), ("ldap://127.0.0.1:1", ""), (ldapi, tls)):
    try:
        connect(uri, text)
    except ConnectError:
        continue
    print("no error")
print(sorted(set(sys.modules) - before))
"""
)


def test_nothing_is_imported_after_the_start(slapd: Slapd, certificates: Certificates) -> None:
    """By then a worker may have lost the right to read Python's files."""
    done = subprocess.run(
        [sys.executable, "-c", _NEW_MODULES, slapd.ldap, slapd.ldapi, str(certificates.ca)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")

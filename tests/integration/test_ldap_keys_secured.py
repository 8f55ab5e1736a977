"""The keys of ``saslauthd.conf`` about TLS and SASL: each test here fails if its key is ignored."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from support.certificates import Certificates
from support.ldap_daemon import ours
from support.ldap_directory import SERVICE_DN, SERVICE_PASSWORD, U0, U1
from support.ldap_logins import (
    BIND,
    CUSTOM,
    PATIENT,
    PEOPLE_BASE,
    bind,
    daemon,
    of,
    right,
    through,
    verdicts,
    wrong,
)
from support.namespaces import need_namespaces
from support.slapd import ROOT_DN, Options, Slapd
from support.tcp_ports import HOST, free_port, listening
from support.tcp_proxy import TcpProxy
from support.waiting import LIMIT


@pytest.fixture(scope="module")
def slapd(certificates: Certificates) -> Iterator[Slapd]:
    # The daemon's worker may be another user than the test.
    local = (
        f'authz-regexp "^gidNumber=[0-9]+[+]uidNumber=[0-9]+,cn=peercred,cn=external,cn=auth$" "{ROOT_DN}"'
    )
    with Slapd(Options(certificates=certificates, settings=(local,))) as running:
        yield running


class TestTls:
    @pytest.fixture
    def trusted(self, certificates: Certificates) -> str:
        return f"ldap_tls_cacert_file: {certificates.ca}\n"

    @of("start_tls")
    def test_hides_everything(self, slapd: Slapd, trusted: str) -> None:
        slapd.forget()
        with (
            TcpProxy(slapd.port) as proxy,
            daemon(slapd, through(proxy, CUSTOM + trusted + "ldap_start_tls: yes\n")) as started,
        ):
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
            assert slapd.operations()[:2] == ["EXT oid=1.3.6.1.4.1.1466.20037", bind(SERVICE_DN)]
            assert proxy.handshakes == proxy.connections == 1
            for hidden in (SERVICE_PASSWORD, U0.password, b"u0", SERVICE_DN.encode()):
                assert hidden not in proxy.recorded

    @of("tls_cacert_file", "tls_cacert_dir")
    @pytest.mark.parametrize("name", ["file", "dir"])
    def test_believes_the_authorities_of_the_file(
        self, slapd: Slapd, certificates: Certificates, name: str
    ) -> None:
        places = {"file": certificates.ca, "dir": certificates.ca_directory}
        with daemon(
            slapd, f"{BIND}ldap_servers: {slapd.ldaps}\nldap_tls_cacert_{name}: {places[name]}\n"
        ) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"

    @of("tls_check_peer")
    def test_believes_nobody_else_unless_told(self, slapd: Slapd) -> None:
        text = f"{BIND}ldap_servers: {slapd.ldaps}\n"
        with daemon(slapd, text) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "- -"
            assert "TLS handshake (127.0.0.1): certificate: " in started.log
        with daemon(slapd, text + "ldap_tls_check_peer: no\n") as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
            assert "ldap_tls_check_peer: servers are not verified" in started.log

    def test_goes_by_the_file_and_not_by_ldap_conf(self, slapd: Slapd) -> None:
        need_namespaces()
        text = f"ldap_servers: {slapd.ldaps}\n{PATIENT}{BIND}"
        for check, expected in (("", "OK"), ("ldap_tls_check_peer: yes\n", "-")):
            with ours(text + check, client_defaults="TLS_REQCERT never\n") as started:
                assert started.ask(*right(U0)) == expected

    @of("tls_cert", "tls_key")
    def test_shows_a_client_certificate(self, certificates: Certificates, trusted: str) -> None:
        shown = f"ldap_tls_cert: {certificates.client.certificate}\nldap_tls_key: {certificates.client.key}\n"
        with Slapd(Options(certificates=certificates, verify_client="demand")) as demanding:
            text = f"{BIND}ldap_servers: {demanding.ldaps}\n{trusted}"
            with daemon(demanding, text + shown) as started:
                assert verdicts(started, right(U0), wrong(U0)) == "OK NO"

    @of("tls_ciphers")
    def test_takes_the_ciphers_of_the_file_only(self, certificates: Certificates, trusted: str) -> None:
        only = "TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM"
        with Slapd(Options(certificates=certificates, settings=(only,))) as picky:
            for ciphers, expected in (("AES128-GCM-SHA256", "OK NO"), ("AES256-GCM-SHA384", "- -")):
                text = (
                    f"{BIND}ldap_servers: {picky.ldaps}\n{trusted}ldap_tls_ciphers: ECDHE-ECDSA-{ciphers}\n"
                )
                with daemon(picky, text) as started:
                    assert verdicts(started, right(U0), wrong(U0)) == expected


DIGEST = f"ldap_use_sasl: yes\nldap_mech: DIGEST-MD5\nldap_id: reader\nldap_password: {SERVICE_PASSWORD.decode()}\n"
READING = PEOPLE_BASE + "ldap_auth_method: custom\n"
SASL_NAMES = {
    "ldap_id": "ldap_sasl_authc_id",
    "ldap_authz_id": "ldap_sasl_authz_id",
    "ldap_realm": "ldap_sasl_realm",
    "ldap_mech": "ldap_sasl_mech",
}


def renamed(text: str) -> str:
    for name, other in SASL_NAMES.items():
        text = text.replace(f"{name}:", f"{other}:")
    return text


@pytest.mark.parametrize("spelled", [str, renamed], ids=["names", "aliases"])
class TestSasl:
    @of("use_sasl", "id", "sasl_authc_id")
    def test_binds_the_service_account(self, slapd: Slapd, spelled: Callable[[str], str]) -> None:
        start = len(slapd.log)
        with daemon(slapd, spelled(READING + DIGEST)) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
        assert f'BIND dn="{SERVICE_DN}" mech=DIGEST-MD5' in slapd.log[start:]

    @of("mech", "sasl_mech")
    def test_binds_by_the_mechanism(self, slapd: Slapd, spelled: Callable[[str], str]) -> None:
        """Though with the name and password there, DIGEST-MD5 would be chosen."""
        text = READING + DIGEST.replace("DIGEST-MD5", "EXTERNAL") + f"ldap_servers: {slapd.ldapi}\n"
        start = len(slapd.log)
        with daemon(slapd, spelled(text)) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"
        assert "mech=EXTERNAL" in slapd.log[start:]
        assert "mech=DIGEST-MD5" not in slapd.log[start:]

    @of("authz_id", "sasl_authz_id")
    def test_acts_for_another(self, slapd: Slapd, spelled: Callable[[str], str]) -> None:
        """One that may not read passwords, as who binds may."""
        text = READING + f"ldap_use_sasl: yes\nldap_mech: EXTERNAL\nldap_servers: {slapd.ldapi}\n"
        start = len(slapd.log)
        with daemon(slapd, spelled(f"{text}ldap_authz_id: dn:{U1.dn}\n")) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "NO NO"
        assert f'authzid="dn:{U1.dn}"' in slapd.log[start:]

    @of("realm", "sasl_realm")
    def test_is_of_the_realm_where_a_server_has_several(
        self, slapd: Slapd, spelled: Callable[[str], str]
    ) -> None:
        """Which slapd never has."""
        with server_of_realms("one.test", "two.test") as (port, received):
            text = f"{READING}{DIGEST}ldap_servers: ldap://{HOST}:{port}\nldap_realm: two.test\nldap_timeout: 5\n"
            with daemon(slapd, spelled(text)):
                pass
        assert b'realm="two.test"' in received
        assert b'username="reader"' in received


class TestMoreOfSasl:
    @of("sasl_secprops")
    def test_secprops_say_what_it_may_be(self, slapd: Slapd) -> None:
        plain = READING + DIGEST.replace("DIGEST-MD5", "PLAIN")
        with daemon(slapd, plain) as started:
            assert verdicts(started, right(U0), wrong(U0)) == "- -"
            assert "ldap_sasl_secprops: noplain forbids PLAIN outside TLS" in started.log
        with daemon(slapd, plain + "ldap_sasl_secprops: none\n") as started:
            assert verdicts(started, right(U0), wrong(U0)) == "OK NO"

    def test_method_bind_checks_users_by_it(self, slapd: Slapd) -> None:
        """At each login: a user's bind proves nothing for the next one."""
        start = len(slapd.log)
        with daemon(slapd, PEOPLE_BASE + "ldap_use_sasl: yes\nldap_mech: DIGEST-MD5\n") as started:
            requests = right(U0), wrong(U0), (b"none", b"x"), right(U0), wrong(U0)
            assert verdicts(started, *requests) == "OK NO NO OK NO"
        assert slapd.log[start:].count(f'BIND dn="{U0.dn}" mech=DIGEST-MD5') == 2


@contextlib.contextmanager
def server_of_realms(*realms: str) -> Iterator[tuple[int, bytearray]]:
    """A server with a DIGEST-MD5 challenge for these realms, and no answer: its port, and all that it received."""
    offered = "".join(f'realm="{realm}",' for realm in realms)
    challenge = f'{offered}nonce="n",qop="auth",charset=utf-8,algorithm=md5-sess'.encode()
    credentials = b"\x87" + bytes((len(challenge),)) + challenge
    # Result saslBindInProgress, no matched DN, no text.
    answer = b"\x0a\x01\x0e\x04\x00\x04\x00" + credentials
    received = bytearray()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(LIMIT)
        with connection:
            number = connection.recv(1000)[4:5]
            response = b"\x02\x01" + number + b"\x61" + bytes((len(answer),)) + answer
            connection.sendall(b"\x30\x81" + bytes((len(response),)) + response)
            received.extend(connection.recv(4000))

    with listening(free_port()) as listener:
        listener.settimeout(LIMIT)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield int(listener.getsockname()[1]), received
        thread.join()

"""SASL binds at real directory servers, and at such as say what no honest one would."""

import gc

import ldap3
import pytest

from pysaslauthd.config.ldap_conf import ClientDefaults
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import sasl
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from support.certificates import Certificates
from support.ldap_connections import (
    LDAPS,
    SASL_ACCOUNT,
    SASL_USERS,
    STARTTLS,
    Failure,
    connect,
    connector,
    failure,
    failure_of,
    identity,
)
from support.ldap_directory import ODD_PASSWORDS, SERVICE_DN, SERVICE_PASSWORD, U0, Person
from support.slapd import ROOT_DN, Slapd
from support.tcp_ports import HOST
from support.tcp_proxy import TcpProxy

pytest_plugins = ["support.ldap_fixtures"]

DIGEST, PLAIN, EXTERNAL = (f"ldap_mech: {name}\n" for name in ("DIGEST-MD5", "PLAIN", "EXTERNAL"))
READER = f"ldap_id: reader\nldap_password: {SERVICE_PASSWORD.decode()}\n"


@pytest.fixture
def trusted(certificates: Certificates) -> str:
    return f"ldap_tls_cacert_file: {certificates.ca}\n"


def code_for(uri: str, text: str, login: bytes, password: bytes, realm: bytes = b"") -> int:
    made = connector(SASL_USERS + text)
    return made.sasl_verify(Endpoint.parse(uri), Attempt(), login, Secret(password), realm).code


def verify_failure(uri: str, text: str, login: bytes = b"u0", password: bytes = b"secret") -> Failure:
    with pytest.raises(ConnectError) as caught:
        code_for(uri, text, login, password)
    return failure_of(caught.value, uri)


class TestTheServiceAccount:
    @pytest.mark.parametrize("mechanism", [DIGEST, PLAIN, ""])
    @pytest.mark.parametrize("start", [STARTTLS, LDAPS])
    def test_binds_with_a_password(self, slapd: Slapd, trusted: str, mechanism: str, start: str) -> None:
        uri = slapd.ldaps if start == LDAPS else slapd.ldap
        text = SASL_ACCOUNT + READER + mechanism + start + trusted
        assert identity(connect(uri, text, sasl_bind=True)) == SERVICE_DN
        assert identity(connect(uri, text)) == ""

    def test_binds_without_tls_if_that_shows_no_password(self, slapd: Slapd) -> None:
        assert identity(connect(slapd.ldap, SASL_ACCOUNT + READER + DIGEST, sasl_bind=True)) == SERVICE_DN

    def test_may_show_its_password_over_the_local_socket(self, slapd: Slapd) -> None:
        assert identity(connect(slapd.ldapi, SASL_ACCOUNT + READER + PLAIN, sasl_bind=True)) == SERVICE_DN

    def test_binds_by_its_user_over_the_local_socket(self, slapd: Slapd) -> None:
        for mechanism in (EXTERNAL, ""):
            assert identity(connect(slapd.ldapi, SASL_ACCOUNT + mechanism, sasl_bind=True)) == ROOT_DN

    def test_may_be_told_its_mechanism_by_ldap_conf(self, slapd: Slapd) -> None:
        defaults = ClientDefaults(sasl_mech="EXTERNAL")
        assert identity(connect(slapd.ldapi, SASL_ACCOUNT + READER, defaults, sasl_bind=True)) == ROOT_DN

    def test_that_is_refused_is_our_side_with_the_servers_words(self, slapd: Slapd) -> None:
        text = SASL_ACCOUNT + DIGEST + "ldap_id: reader\nldap_password: not it\n"
        text, code = failure(slapd.ldap, text, sasl_bind=True)
        assert code == 49
        assert text.startswith("SASL bind: DIGEST-MD5: refused with code 49 (invalidCredentials): ")
        assert "not it" not in text

    def test_that_has_no_identity_below_is_refused(self, slapd: Slapd) -> None:
        text, code = failure(slapd.ldap, SASL_ACCOUNT + EXTERNAL, sasl_bind=True)
        assert text.startswith("SASL bind: EXTERNAL: refused with code 7 ")
        assert code == 7

    def test_acts_for_nobody_else_without_leave(self, slapd: Slapd) -> None:
        text = SASL_ACCOUNT + DIGEST + READER + "ldap_authz_id: u:u0\n"
        assert failure(slapd.ldap, text, sasl_bind=True).code == 50

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (PLAIN + READER, "ldap_sasl_secprops: noplain forbids PLAIN outside TLS"),
            (
                DIGEST + READER + "ldap_sasl_secprops: minssf=56\n",
                "ldap_sasl_secprops: minssf=56 takes TLS of that strength: SASL's own layers are not supported",
            ),
            (
                DIGEST + READER + "ldap_sasl_secprops: nodict\n",
                "ldap_sasl_secprops: nodict forbids DIGEST-MD5",
            ),
            (DIGEST, "DIGEST-MD5: needs a login and a password"),
            ("", "the server offers no mechanism that can be used: ldap_mech names one"),
        ],
    )
    def test_does_not_bind_as_it_must_not(self, slapd: Slapd, text: str, reason: str) -> None:
        assert failure(slapd.ldap, SASL_ACCOUNT + text, sasl_bind=True) == (f"SASL bind: {reason}", None)

    def test_may_show_its_password_if_the_file_says_so(self, slapd: Slapd) -> None:
        text = SASL_ACCOUNT + PLAIN + READER + "ldap_sasl_secprops: none\n"
        assert identity(connect(slapd.ldap, text, sasl_bind=True)) == SERVICE_DN

    def test_has_the_strength_of_tls(self, slapd: Slapd, trusted: str) -> None:
        text = SASL_ACCOUNT + READER + LDAPS + trusted + "ldap_sasl_secprops: minssf=128\n"
        assert identity(connect(slapd.ldaps, text, sasl_bind=True)) == SERVICE_DN


@pytest.mark.parametrize("start", [DIGEST, DIGEST + STARTTLS, PLAIN + STARTTLS, STARTTLS])
class TestAUser:
    PEOPLE = (
        U0,
        *(ODD_PASSWORDS[name] for name in ("255", "bytes-2", "nbsp", "latin", "blanks", "one")),
    )

    @pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.login)
    def test_binds_with_the_right_password_alone(
        self, slapd: Slapd, trusted: str, start: str, person: Person
    ) -> None:
        login = person.login.encode()
        assert code_for(slapd.ldap, start + trusted, login, person.password) == 0
        assert code_for(slapd.ldap, start + trusted, login, person.password + b"x") == 49

    def test_that_there_is_not_is_refused(self, slapd: Slapd, trusted: str, start: str) -> None:
        assert code_for(slapd.ldap, start + trusted, b"nobody", b"x") in {49, 80}

    def test_gets_nowhere_with_a_quote(self, slapd: Slapd, trusted: str, start: str) -> None:
        login = b'u0",authzid="dn:' + ROOT_DN.encode()
        assert code_for(slapd.ldap, start + trusted, login, U0.password) in {49, 80}

    @pytest.mark.parametrize(("login", "password"), [(b"u0", b""), (b"", b"x"), (b"", b"")])
    def test_without_login_or_password_is_refused_here(
        self, slapd: Slapd, start: str, login: bytes, password: bytes
    ) -> None:
        with TcpProxy(slapd.port) as proxy:
            assert code_for(f"ldap://{HOST}:{proxy.port}", start, login, password) == 49
            assert proxy.connections == 0


class TestUsers:
    def test_leave_no_connection(self, slapd: Slapd) -> None:
        with TcpProxy(slapd.port) as proxy:
            uri = f"ldap://{HOST}:{proxy.port}"
            for password in (U0.password, b"wrong"):
                code_for(uri, DIGEST, b"u0", password)
            proxy.wait_connections(2)
            proxy.wait_open(0)

    def test_are_not_shown_on_the_wire_without_tls(self, slapd: Slapd) -> None:
        with TcpProxy(slapd.port) as proxy:
            uri = f"ldap://{HOST}:{proxy.port}"
            assert code_for(uri, DIGEST, b"u0", U0.password) == 0
            assert "noplain forbids PLAIN" in verify_failure(uri, PLAIN, password=U0.password).text
            assert U0.password not in proxy.recorded

    @pytest.mark.parametrize(
        ("mechanism", "reason"),
        [
            ("EXTERNAL", "EXTERNAL checks no password: every one would be right; DIGEST-MD5 and PLAIN do"),
            ("GSSAPI", "GSSAPI checks no password: every one would be right; DIGEST-MD5 and PLAIN do"),
            ("SCRAM-SHA-1", "SCRAM-SHA-1 is not supported; EXTERNAL, DIGEST-MD5, GSSAPI and PLAIN are"),
        ],
    )
    def test_are_never_checked_by_what_checks_none(self, slapd: Slapd, mechanism: str, reason: str) -> None:
        """Over the local socket EXTERNAL would let everybody in."""
        with pytest.raises(ValueError) as caught:
            connector(f"{SASL_USERS}ldap_mech: {mechanism}\n")
        assert str(caught.value) == f"F:2: ldap_mech: {reason}"
        with pytest.raises(ValueError) as caught:
            connector(SASL_USERS, ClientDefaults(sasl_mech=mechanism))
        assert str(caught.value) == f"ldap.conf: SASL_MECH: {reason}"
        if mechanism == "EXTERNAL":
            made = connector(SASL_ACCOUNT + EXTERNAL)
            with pytest.raises(ConnectError, match="checks no password"):
                made.sasl_verify(Endpoint.parse(slapd.ldapi), Attempt(), b"u0", Secret(b"x"), b"")

    def test_leave_nothing_in_memory(self, slapd: Slapd) -> None:
        """ldap3 has the password in requests that it keeps, and what refers to itself stays for a while."""
        gc.collect()
        gc.disable()
        try:
            assert code_for(slapd.ldap, DIGEST, b"u0", b"wrong") == 49
            assert verify_failure(slapd.ldap, PLAIN).code is None
            connect(slapd.ldap).close()
            left = [each for each in gc.get_objects() if isinstance(each, ldap3.Connection)]
        finally:
            gc.enable()
        assert left == []


def test_gssapi_without_its_package_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sasl, "_gssapi", None)
    with pytest.raises(ValueError) as caught:
        connector(SASL_ACCOUNT + "ldap_mech: GSSAPI\n")
    assert str(caught.value) == (
        "F:3: ldap_mech: GSSAPI needs the Python package gssapi: pip install 'pysaslauthd[gssapi]'"
    )

"""TLS to real directory servers: who is believed, who is not, and what of the configuration is refused at once."""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.config.ldap_conf import ClientDefaults, read_ldap_conf
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from pysaslauthd.mechanisms.ldap.tls import Copies, TlsError, is_verifying
from support.certificates import Certificates, Pair
from support.ldap_connections import (
    FOUND,
    LDAPS,
    SASL_ACCOUNT,
    STARTTLS,
    connect,
    connector,
    failure,
    identity,
    received,
    search,
)
from support.ldap_directory import SERVICE_DN
from support.slapd import Options, Slapd
from support.tcp_ports import HOST, free_port, listening
from support.waiting import LIMIT

pytest_plugins = ["support.ldap_fixtures"]

EXTERNAL = SASL_ACCOUNT + "ldap_mech: EXTERNAL\n"
HANDSHAKE = f"TLS handshake ({HOST}): "


@pytest.fixture
def trusted(certificates: Certificates) -> str:
    return f"ldap_tls_cacert_file: {certificates.ca}\n"


@pytest.fixture(scope="module")
def demanding(certificates: Certificates) -> Iterator[Slapd]:
    """It takes nobody without a certificate."""
    with Slapd(Options(users=1, certificates=certificates, verify_client="demand")) as running:
        yield running


@contextlib.contextmanager
def showing(certificates: Certificates, shown: Pair) -> Iterator[Slapd]:
    with Slapd(Options(users=1, certificates=certificates, identity=shown)) as running:
        yield running


class TestACertificate:
    @pytest.mark.parametrize(
        ("shown", "reason"),
        [
            ("wrong_host", "certificate: IP address mismatch, certificate is not valid for '127.0.0.1'."),
            ("expired", "certificate: certificate has expired"),
            ("unknown", "certificate: unable to get local issuer certificate"),
        ],
    )
    def test_that_is_not_good_is_refused_unless_the_file_says_so(
        self, certificates: Certificates, trusted: str, shown: str, reason: str
    ) -> None:
        with showing(certificates, getattr(certificates, shown)) as bad:
            assert failure(bad.ldaps, LDAPS + trusted) == (HANDSHAKE + reason, None)
            assert failure(bad.ldap, STARTTLS + trusted) == (HANDSHAKE + reason, None)
            for text in (LDAPS, STARTTLS):
                uri = bad.ldaps if text == LDAPS else bad.ldap
                assert search(connect(uri, text + trusted + "ldap_tls_check_peer: no\n")) == FOUND

    def test_has_to_name_the_host_of_the_uri(self, certificates: Certificates, trusted: str) -> None:
        with showing(certificates, certificates.wrong_host) as elsewhere:
            text, _ = failure(f"ldaps://localhost:{elsewhere.tls_port}", LDAPS + trusted)
        assert text == HANDSHAKE + (
            "certificate: Hostname mismatch, certificate is not valid for 'localhost'. "
            "Name the server as its certificate does"
        )

    def test_with_the_name_as_common_name_alone_is_good(
        self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As of old, and as libldap takes it."""
        text = f"{LDAPS}ldap_tls_cacert_file: {certificates.plain.certificate}\n"
        with showing(certificates, certificates.plain) as old:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, old.tls_port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert search(connect("ldaps://plain", text)) == FOUND
            assert "certificate: Hostname mismatch" in failure("ldaps://plane", text).text

    def test_by_an_authority_without_key_usage_is_good(self, certificates: Certificates) -> None:
        trusted = f"ldap_tls_cacert_file: {certificates.plain.certificate}\n"
        with showing(certificates, certificates.by_plain) as plain:
            assert search(connect(plain.ldaps, LDAPS + trusted)) == FOUND

    def test_that_is_itself_in_the_file_is_good(self, slapd: Slapd, certificates: Certificates) -> None:
        assert (
            search(connect(slapd.ldaps, f"{LDAPS}ldap_tls_cacert_file: {certificates.good.certificate}\n"))
            == FOUND
        )


class TestAuthorities:
    def test_are_found_in_a_directory_with_hashed_names(
        self, slapd: Slapd, certificates: Certificates
    ) -> None:
        text = f"{LDAPS}ldap_tls_cacert_dir: {certificates.ca_directory}\n"
        assert search(connect(slapd.ldaps, text)) == FOUND

    def test_with_hashed_names_may_come_later(
        self, slapd: Slapd, certificates: Certificates, tmp_path: Path
    ) -> None:
        (tmp_path / "01234567.0").write_bytes(certificates.other.certificate.read_bytes())
        made, endpoint = connector(f"{LDAPS}ldap_tls_cacert_dir: {tmp_path}\n"), Endpoint.parse(slapd.ldaps)
        with pytest.raises(ConnectError, match="certificate: "):
            made.connect(endpoint, Attempt(), sasl_bind=False)
        (hashed,) = certificates.ca_directory.iterdir()
        (tmp_path / hashed.name).write_bytes(hashed.read_bytes())
        assert search(made.connect(endpoint, Attempt(), sasl_bind=False)) == FOUND

    def test_are_found_in_a_directory_with_any_names(
        self, slapd: Slapd, certificates: Certificates, tmp_path: Path
    ) -> None:
        (tmp_path / "README").write_text("no certificate")
        (tmp_path / "below").mkdir()
        (tmp_path / "our authority.crt").write_bytes(certificates.ca.read_bytes())
        assert search(connect(slapd.ldaps, f"{LDAPS}ldap_tls_cacert_dir: {tmp_path}\n")) == FOUND

    def test_of_ldap_conf_count_if_saslauthd_conf_has_none(
        self, slapd: Slapd, certificates: Certificates
    ) -> None:
        ours = f"ldap_tls_cacert_file: {certificates.other.certificate}\n"
        for defaults in (
            ClientDefaults(tls_cacert=certificates.ca),
            ClientDefaults(tls_cacertdir=certificates.ca_directory),
        ):
            assert search(connect(slapd.ldaps, LDAPS, defaults)) == FOUND
            assert (
                "self-signed certificate in certificate chain"
                in failure(slapd.ldaps, LDAPS + ours, defaults).text
            )

    def test_are_the_systems_if_no_file_names_any(
        self, slapd: Slapd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "certificate: " in failure(slapd.ldaps, LDAPS).text
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        assert search(connect(slapd.ldaps, LDAPS)) == FOUND
        other = f"ldap_tls_cacert_file: {certificates.other.certificate}\n"
        assert "self-signed certificate in certificate chain" in failure(slapd.ldaps, LDAPS + other).text


@pytest.mark.parametrize(
    ("switch", "demand", "expected"),
    [
        (None, None, True),
        (None, "never", False),
        (None, "allow", False),
        (None, "try", True),
        (None, "demand", True),
        (None, "hard", True),
        ("yes", "never", True),
        ("no", "demand", False),
    ],
)
def test_verification_is_off_only_where_a_file_says_so(
    slapd: Slapd,
    certificates: Certificates,
    switch: str | None,
    demand: str | None,
    expected: bool,  # noqa: FBT001
) -> None:
    text = f"{LDAPS}ldap_tls_cacert_file: {certificates.other.certificate}\n"
    if switch:
        text += f"ldap_tls_check_peer: {switch}\n"
    defaults = ClientDefaults(tls_reqcert=demand)
    assert is_verifying(read_ldap_conf(text.encode(), "F"), defaults) is expected
    if expected:
        assert "certificate: " in failure(slapd.ldaps, text, defaults).text
    else:
        assert search(connect(slapd.ldaps, text, defaults)) == FOUND


class TestAClientCertificate:
    @staticmethod
    def shown(pair: Pair) -> str:
        return f"ldap_tls_cert: {pair.certificate}\nldap_tls_key: {pair.key}\n"

    def test_is_shown_to_who_demands_it(
        self, demanding: Slapd, certificates: Certificates, trusted: str
    ) -> None:
        text = trusted + self.shown(certificates.client)
        for uri, start in ((demanding.ldaps, LDAPS), (demanding.ldap, STARTTLS)):
            assert search(connect(uri, text + start)) == FOUND
            assert identity(connect(uri, text + start + EXTERNAL, sasl_bind=True)) == SERVICE_DN

    def test_that_is_missing_shows_at_the_first_read(self, demanding: Slapd, trusted: str) -> None:
        """TLS 1.3: the server judges when the client has long finished its handshake."""
        with connect(demanding.ldaps, LDAPS + trusted) as connection, contextlib.suppress(ssl.SSLError):
            assert received(connection) == b""
        assert failure(demanding.ldaps, LDAPS + trusted + EXTERNAL, sasl_bind=True).text in {
            "SASL bind: tlsv13 alert certificate required",
            "SASL bind: the server closed the connection",
        }

    def test_of_an_unknown_authority_is_refused(
        self, demanding: Slapd, certificates: Certificates, trusted: str
    ) -> None:
        text = LDAPS + trusted + EXTERNAL + self.shown(certificates.unknown_client)
        assert failure(demanding.ldaps, text, sasl_bind=True).text.startswith("SASL bind: ")

    def test_is_read_from_copies_that_are_given_in_its_place(
        self, demanding: Slapd, certificates: Certificates, tmp_path: Path
    ) -> None:
        """The worker may read none of the files; who may gave it what was in them."""
        missing = [tmp_path / name for name in ("ca", "certificate", "key")]
        client = certificates.client
        with contextlib.ExitStack() as stack:
            copies = Copies(*(stack.enter_context(copy(f)) for f in (certificates.ca, *client)))
            text = f"{LDAPS}ldap_tls_cacert_file: {missing[0]}\n" + self.shown(Pair(*missing[1:]))
            made = connector(text + EXTERNAL, copies=copies)
        connection = made.connect(Endpoint.parse(demanding.ldaps), Attempt(), sasl_bind=True)
        assert identity(connection) == SERVICE_DN


@contextlib.contextmanager
def copy(file: Path) -> Iterator[Path]:
    descriptor = os.memfd_create(file.name)
    try:
        os.write(descriptor, file.read_bytes())
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def refused(text: str, defaults: ClientDefaults | None = None) -> str:
    """What is wrong with a configuration, which has to be said before any connection."""
    with pytest.raises(TlsError) as caught:
        connector(text, defaults or ClientDefaults())
    return str(caught.value)


class TestAConfiguration:
    def test_names_the_key_of_an_authority_that_is_none(
        self, certificates: Certificates, tmp_path: Path
    ) -> None:
        empty, key = tmp_path / "empty", certificates.good.key
        empty.mkdir()
        for name, path, reason in (
            ("file", tmp_path / "missing", "No such file or directory"),
            ("file", key, "expected certificates in PEM form"),
            ("dir", tmp_path / "missing", "No such file or directory"),
            ("dir", key, "Not a directory"),
            ("dir", empty, "expected files with certificates in PEM form"),
        ):
            text = f"{LDAPS}ldap_tls_cacert_{name}: {path}\n"
            assert refused(text) == f"F:2: ldap_tls_cacert_{name}: {path}: {reason}"
        defaults = ClientDefaults(tls_cacert=tmp_path / "missing")
        assert refused(STARTTLS, defaults).startswith("ldap.conf: TLS_CACERT: ")

    def test_names_the_key_of_a_client_certificate_that_is_none(
        self, certificates: Certificates, trusted: str, tmp_path: Path
    ) -> None:
        certificate, key = certificates.client
        missing, locked = tmp_path / "missing", tmp_path / "locked"
        subprocess.run(
            ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", key, "-out", locked],
            check=True,
            capture_output=True,
        )
        for shown, reason in (
            (Pair(missing, key), f"F:3: ldap_tls_cert: {missing}: No such file or directory"),
            (Pair(certificate, missing), f"F:4: ldap_tls_key: {missing}: No such file or directory"),
            (
                Pair(certificate, certificates.good.key),
                f"F:4: ldap_tls_key: {certificates.good.key}: is not the key of the certificate {certificate}",
            ),
            (
                Pair(certificate, locked),
                f"F:4: ldap_tls_key: {locked}: has a passphrase, and nobody is there to type it",
            ),
            (
                Pair(key, key),
                f"F:3: ldap_tls_cert: {key}: expected a certificate, and in {key} its key, both PEM",
            ),
        ):
            assert refused(LDAPS + trusted + TestAClientCertificate.shown(shown)) == reason

    @pytest.mark.parametrize("ciphers", ["NORMAL:-VERS-TLS1.0", "SECURE256", "PFS", "@SYSTEM"])
    def test_with_ciphers_of_gnutls_is_told_so(self, trusted: str, ciphers: str) -> None:
        """Debian's libldap is built with it, so that files have them."""
        assert refused(f"{LDAPS}{trusted}ldap_tls_ciphers: {ciphers}\n") == (
            f"F:3: ldap_tls_ciphers: expected a cipher list of OpenSSL, found '{ciphers}', which is a "
            "priority string of GnuTLS; without the key, good ciphers are chosen"
        )

    @pytest.mark.parametrize("ciphers", ["NONSENSE", "NORMALLY", "ÄÖÜ"])
    def test_with_ciphers_that_nobody_knows_is_refused(self, trusted: str, ciphers: str) -> None:
        assert refused(f"{LDAPS}{trusted}ldap_tls_ciphers: {ciphers}\n") == (
            f"F:3: ldap_tls_ciphers: expected a cipher list of OpenSSL, found '{ciphers}'"
        )

    def test_chooses_the_ciphers(self, slapd: Slapd, trusted: str) -> None:
        text = f"{LDAPS}{trusted}ldap_tls_ciphers: ECDHE-ECDSA-CHACHA20-POLY1305\n"
        with connect(slapd.ldaps, text) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            offered = {cipher["name"] for cipher in connection.context.get_ciphers()}
        assert {name for name in offered if not name.startswith("TLS_")} == {"ECDHE-ECDSA-CHACHA20-POLY1305"}

    def test_of_tls_that_nobody_uses_is_not_looked_at(self, slapd: Slapd, tmp_path: Path) -> None:
        text = f"ldap_tls_cacert_file: {tmp_path / 'missing'}\n"
        assert search(connect(slapd.ldap, text)) == FOUND
        assert failure(slapd.ldaps, text).text == (
            f"{HANDSHAKE}F:1: ldap_tls_cacert_file: {tmp_path / 'missing'}: No such file or directory"
        )


class TestStartTls:
    def test_that_the_server_does_not_know_is_refused_with_its_words(self, trusted: str) -> None:
        with Slapd(Options(users=1)) as bare:
            text, code = failure(bare.ldap, STARTTLS + trusted)
        assert text.startswith("StartTLS: refused with code 2 (protocolError): ")
        assert code == 2


class TestTheLocalSocket:
    def test_has_no_name_for_a_certificate(self, slapd: Slapd, trusted: str) -> None:
        assert failure(slapd.ldapi, STARTTLS + trusted).text == (
            f"TLS handshake ({slapd.socket_path}): ldapi has no host for a certificate to name; "
            "it needs no ldap_start_tls"
        )

    def test_needs_none_if_nothing_is_verified(self, slapd: Slapd) -> None:
        assert search(connect(slapd.ldapi, STARTTLS + "ldap_tls_check_peer: no\n")) == FOUND


@contextlib.contextmanager
def speaking_tls(context: ssl.SSLContext) -> Iterator[str]:
    """The URI of a server that would shake hands so, and says nothing then."""

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.settimeout(LIMIT)
            with context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(1)

    with listening(free_port()) as listener:
        listener.settimeout(LIMIT)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"ldaps://{HOST}:{listener.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
class TestAWeakServer:
    """With the weakest ciphers allowed, which an administrator may have done long ago."""

    WEAK = "ldap_tls_ciphers: ALL:aNULL:@SECLEVEL=0\n"

    @staticmethod
    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_1
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        return made

    def test_without_a_certificate_is_not_believed(self, trusted: str) -> None:
        context = self.context()
        context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
        with speaking_tls(context) as uri:
            assert (
                failure(uri, LDAPS + trusted + self.WEAK).text
                == f"{HANDSHAKE}certificate: the server has none"
            )
        with speaking_tls(context) as uri:
            connect(uri, LDAPS + self.WEAK + "ldap_tls_check_peer: no\n").close()

    def test_with_tls_1_1_is_refused(self, certificates: Certificates, trusted: str) -> None:
        context = self.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(*certificates.good)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with speaking_tls(context) as uri:
            assert "version" in failure(uri, LDAPS + trusted + self.WEAK).text

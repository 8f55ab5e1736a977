"""What ``doctor`` says of the directory's servers and of what they would be asked, on real slapd servers."""

import functools
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands.doctor.diagnosis import decoded
from support import ldap_clients
from support.certificates import Certificates
from support.doctor import Report, parsed
from support.ldap_directory import SERVICE_DN
from support.packages import need_root
from support.slapd import Options, Slapd
from support.tcp_ports import HOST, free_port
from support.waiting import wait_until

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.doctor", "--json", "-v")
STARTTLS = "ldap_start_tls: yes\n"

configuration = functools.partial(ldap_clients.configuration, timeout=20)
"""With more patience for a server than it takes on any machine."""


class Patient:
    """A ``saslauthd.conf``, and what is said of a daemon that reads it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "saslauthd.conf"
        self.settings = directory / "pysaslauthd.toml"
        self.settings.write_text("")

    def examine(self, text: str, *words: str) -> Report:
        self.file.write_text(text)
        daemon = ("--", "-a", "ldap", "-O", str(self.file), "--config", str(self.settings))
        done = subprocess.run(
            [*COMMAND, *words, *daemon], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        return parsed(done.stdout, done.returncode)


@pytest.fixture
def patient() -> Iterator[Patient]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        # A process without rights reads what it is to trust.
        Path(name).chmod(0o755)
        yield Patient(Path(name))


def of_ldap(report: Report) -> list[str]:
    return [each.id for each in report.findings if each.id.startswith("ldap-")]


class TestAServer:
    def test_that_answers_is_fine(self, slapd: Slapd, patient: Patient) -> None:
        report = patient.examine(configuration(slapd.ldap))
        assert of_ldap(report) == ["ldap-server"]
        assert report.get("ldap-server").text == f"{slapd.ldap} answers"

    def test_that_does_not_run_is_named_until_it_does(self, patient: Patient) -> None:
        with Slapd(Options(users=1)) as slapd:
            slapd.stop()
            found = patient.examine(configuration(slapd.ldap)).get("ldap-not-reached")
            assert found.level == "problem"
            assert f"{slapd.ldap}: connect (127.0.0.1): Connection refused" in found.text
            assert any(f"{patient.file}:1: ldap_servers" in line for line in found.cure)
            slapd.start()
            assert of_ldap(patient.examine(configuration(slapd.ldap))) == ["ldap-server"]

    def test_that_is_silent_holds_up_nobody(self, patient: Patient) -> None:
        with Slapd(Options(users=1)) as slapd:
            slapd.pause()
            found = patient.examine(ldap_clients.configuration(slapd.ldap)).get("ldap-not-reached")
            slapd.resume()
        assert slapd.ldap in found.text

    def test_whose_name_nobody_knows(self, slapd: Slapd, patient: Patient) -> None:
        uri = f"ldap://ldap.invalid:{slapd.port}"
        found = patient.examine(ldap_clients.configuration(uri)).get("ldap-not-resolved")
        assert found.level == "problem"
        assert found.text.startswith(f"{uri}: resolve: ")
        assert found.cure[0] == "getent hosts ldap.invalid"
        resolved = configuration(uri.replace("ldap.invalid", HOST))
        assert of_ldap(patient.examine(resolved)) == ["ldap-server"]

    def test_whose_service_account_is_refused(self, slapd: Slapd, patient: Patient) -> None:
        account = f"ldap_bind_dn: {SERVICE_DN}\nldap_password: wrong-Pass_1\n"
        report = patient.examine(configuration(slapd.ldap, more=account))
        found = report.get("ldap-refused")
        assert f"bind as {SERVICE_DN} refused: invalid credentials (49)" in found.text
        assert "wrong-Pass_1" not in str(report)

    def test_is_asked_by_a_process_without_rights(self, slapd: Slapd, patient: Patient) -> None:
        need_root()
        slapd.forget()
        report = patient.examine(
            configuration(
                slapd.ldapi, more="ldap_use_sasl: yes\nldap_mech: EXTERNAL\nldap_auth_method: custom\n"
            )
        )
        assert of_ldap(report) == ["ldap-server"]
        nobody = f"uidNumber={pwd.getpwnam('nobody').pw_uid},cn=peercred"
        wait_until(lambda: nobody in slapd.log, "the server has written down who asked")
        assert f"uidNumber={os.getuid()},cn=peercred" not in slapd.log

    def test_beside_one_that_answers_is_a_warning(self, slapd: Slapd, patient: Patient) -> None:
        dead = f"ldap://{HOST}:{free_port()}"
        found = patient.examine(configuration(f"{dead} {slapd.ldap}")).get("ldap-not-reached")
        assert found.level == "warning"
        assert f"({slapd.ldap} answers)" in found.text


@pytest.mark.parametrize(
    "answer",
    [
        3,
        [],
        [[], []],
        [[["u", "h", "389", False, 1, ""]], [], ""],
        [[["u"]], [], ""],
        [[], [["f", "b", 1]], ""],
    ],
)
def test_a_process_that_says_what_nobody_understands_is_not_believed(answer: object) -> None:
    diagnosis = decoded(answer, 0)
    assert diagnosis is not None
    assert "nobody understands" in diagnosis.trouble


class TestACertificate:
    @pytest.mark.parametrize(
        ("shown", "reason"),
        [
            ("unknown", "unable to get local issuer certificate"),
            ("wrong_host", "IP address mismatch"),
            ("expired", "expired"),
        ],
    )
    @pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
    def test_that_does_not_convince(
        self, certificates: Certificates, patient: Patient, shown: str, reason: str, scheme: str
    ) -> None:
        identity = getattr(certificates, shown)
        trusting = f"ldap_tls_cacert_file: {certificates.ca}\n" + (STARTTLS if scheme == "ldap" else "")
        with Slapd(Options(users=1, certificates=certificates, identity=identity)) as slapd:
            uri = getattr(slapd, scheme)
            found = patient.examine(configuration(uri, more=trusting)).get("ldap-tls")
            assert found.level == "problem"
            assert reason in found.text
            assert found.cure[0].startswith(f"openssl s_client -connect {HOST}:")

    def test_of_an_authority_that_is_named_by_the_cure(
        self, slapd: Slapd, certificates: Certificates, patient: Patient
    ) -> None:
        untrusting = configuration(slapd.ldaps)
        found = patient.examine(untrusting).get("ldap-tls")
        (line,) = [each for each in found.cure if "ldap_tls_cacert_file" in each]
        with_own = line.replace("/etc/ssl/certs/directory-ca.pem", str(certificates.ca))
        assert line != with_own
        subprocess.run(["sh", "-c", with_own], check=True)
        assert of_ldap(patient.examine(patient.file.read_text())) == ["ldap-server"]


class TestALogin:
    LOGIN = "igor@example.org"

    def looked_at(self, patient: Patient, slapd: Slapd, text: str, policy: str = "") -> Report:
        patient.settings.write_text(f'realm_policy = "{policy}"\n' if policy else "")
        return patient.examine(configuration(slapd.ldap, more=text), "--login", self.LOGIN)

    def test_is_shown_as_it_is_sent_and_as_it_is_looked_for(self, slapd: Slapd, patient: Patient) -> None:
        report = self.looked_at(patient, slapd, "ldap_filter: (mail=%u%R)\n")
        seen = report.get("login-seen").text
        assert "sends login igor, realm example.org" in seen
        assert "ldap looks for (mail=igor@example.org) below" in report.get("ldap-search").text
        assert not {"realm-stripped", "realm-doubled", "domain-empty"} & {each.id for each in report.findings}

    def test_whose_realm_is_not_asked_for(self, slapd: Slapd, patient: Patient) -> None:
        found = self.looked_at(patient, slapd, "ldap_filter: (mail=%u)\n").get("realm-stripped")
        assert found.level == "warning"
        assert "ldap looks for (mail=igor), of which example.org is no part" in found.text

    def test_whose_realm_is_doubled(self, slapd: Slapd, patient: Patient) -> None:
        text = "ldap_filter: (mail=%u%R)\n"
        found = self.looked_at(patient, slapd, text, "login@realm").get("realm-doubled")
        assert found.level == "problem"
        assert "(mail=igor@example.org@example.org)" in found.text
        assert f"{patient.settings}:1" in found.text
        subprocess.run(["sh", "-c", found.cure[0]], check=True)
        after = patient.examine(patient.file.read_text(), "--login", self.LOGIN)
        assert "(mail=igor@example.org)" in after.get("ldap-search").text

    def test_whose_domain_is_empty(self, slapd: Slapd, patient: Patient) -> None:
        found = self.looked_at(patient, slapd, "ldap_filter: (mail=%U@%d)\n").get("domain-empty")
        assert found.level == "problem"
        assert "(mail=igor@)" in found.text
        subprocess.run(["sh", "-c", found.cure[0]], check=True)
        after = patient.examine(patient.file.read_text(), "--login", self.LOGIN)
        assert "(mail=igor@example.org)" in after.get("ldap-search").text

    def test_is_escaped_as_in_the_filter(self, slapd: Slapd, patient: Patient) -> None:
        report = patient.examine(configuration(slapd.ldap), "--login", "a*)(b")
        assert r"(uid=a\2a\29\28b)" in report.get("ldap-search").text

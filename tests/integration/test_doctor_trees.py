"""``doctor --root``: the files of a system that does not run, of programs and distributions that are not this machine's."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands.doctor.accounts import accounts_of
from pysaslauthd.commands.doctor.tree import Tree
from support.doctor import Report, parsed
from support.packages import need_root

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.doctor")
SOUND = "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n"
PASSWD = """\
root:x:0:0::/root:/bin/sh
postfix:x:100:102::/:/bin/false
cyrus:x:101:8::/:/bin/false
Debian-exim:x:102:103::/:/bin/false
openldap:x:103:104::/:/bin/false
broken line
"""
GROUP = (
    "root:x:0:\nsasl:x:45:cyrus,Debian-exim\npostfix:x:102:\nmail:x:8:\nDebian-exim:x:103:\nopenldap:x:104:\n"
)


class System:
    """A system below a directory; a Debian whose daemon asks PAM, unless it is made another."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.chmod(0o755)
        self.put("etc/debian_version", "12\n")
        self.put("etc/passwd", PASSWD)
        self.put("etc/group", GROUP)
        self.put("etc/pam.d/other", "auth required pam_deny.so\n")
        self.put("etc/pysaslauthd.toml", 'mechanism = "pam"\n')
        (root / "run/saslauthd").mkdir(parents=True)
        (root / "var").mkdir()
        (root / "var/run").symlink_to("/run")

    def put(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def examine(self, *words: str) -> Report:
        command = [*COMMAND, "--root", str(self.root), "--json", "-v", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == "", done.stderr
        return parsed(done.stdout, done.returncode)

    def ids(self, *words: str) -> set[str]:
        return {each.id for each in self.examine(*words).bad}


@pytest.fixture
def system() -> Iterator[System]:
    with tempfile.TemporaryDirectory(prefix="psd-") as name:
        yield System(Path(name))


def test_nothing_is_wrong_where_nobody_asks(system: System) -> None:
    assert system.ids() == set()


class TestExim:
    ASKS = "server_condition = ${if saslauthd{{$auth1}{$auth2}}{1}{0}}\n"

    def test_asks_if_its_configuration_says_so(self, system: System) -> None:
        system.put("etc/exim4/conf.d/auth/30_ours", f"# {self.ASKS}")
        assert system.ids() == set()
        system.put("etc/exim4/conf.d/auth/30_ours", self.ASKS)
        # It names no service, so the daemon's own counts.
        assert "/etc/pam.d/saslauthd" in system.examine().get("no-pam-file").text
        system.put("etc/pam.d/saslauthd", "")
        assert system.ids() == set()

    def test_sends_a_login_as_it_is(self, system: System) -> None:
        system.put("etc/exim4/exim4.conf", self.ASKS)
        seen = system.examine("--login", "igor@ex.org").get("login-seen").text
        assert "exim sends login igor@ex.org, no realm, no service; pam looks for igor@ex.org" in seen


class TestCyrus:
    def test_has_its_settings_in_its_own_file(self, system: System) -> None:
        system.put("etc/pam.d/imap", "")
        file = system.put("etc/imapd.conf", "configdirectory: /var\nsasl_mech_list: PLAIN\n")
        found = system.examine().get("not-saslauthd")
        assert "/etc/imapd.conf has no sasl_pwcheck_method" in found.text
        assert "sasl_pwcheck_method: saslauthd" in found.cure[0]
        file.write_text("sasl_pwcheck_method: saslauthd\nsasl_mech_list: PLAIN CRAM-MD5\n")
        assert "/etc/imapd.conf:2: sasl_mech_list has CRAM-MD5" in system.examine().get("mech-list").text
        file.write_text(f"sasl_saslauthd_path: /var/run/saslauthd\nsasl_{SOUND.replace('mech', 'sasl_mech')}")
        assert "/etc/imapd.conf" in system.examine().get("mux-missing").text
        file.write_text(f"sasl_{SOUND.replace('mech', 'sasl_mech')}")
        assert system.ids() == set()


class TestSlapd:
    def test_reads_debians_directory_and_not_the_usual_one(self, system: System) -> None:
        system.put("usr/sbin/slapd", "")
        system.put("etc/pam.d/ldap", "")
        system.put("etc/sasl2/slapd.conf", SOUND)
        found = system.examine().get("sasl-file-unread")
        assert "does not read /etc/sasl2/slapd.conf" in found.text
        assert "mv /etc/sasl2/slapd.conf /etc/ldap/sasl2/slapd.conf" in found.cure
        (system.root / "etc/ldap/sasl2").mkdir(parents=True)
        (system.root / "etc/sasl2/slapd.conf").rename(system.root / "etc/ldap/sasl2/slapd.conf")
        assert "sasl-file-unread" not in system.ids()

    def test_is_no_client_without_a_file(self, system: System) -> None:
        system.put("usr/sbin/slapd", "")
        assert system.ids() == set()
        assert "no-sasl-file" in system.ids("--program", "slapd")


class TestSendmail:
    def test_reads_what_its_package_links(self, system: System) -> None:
        system.put("etc/mail/sendmail.cf", "")
        system.put("etc/pam.d/smtp", "")
        system.put("etc/mail/sasl/Sendmail.conf.2", SOUND)
        (system.root / "usr/lib/sasl2").mkdir(parents=True)
        (system.root / "usr/lib/sasl2/Sendmail.conf").symlink_to("/etc/mail/sasl/Sendmail.conf.2")
        assert system.ids() == set()
        system.put("etc/sasl2/Sendmail.conf", "pwcheck_method: auxprop\nmech_list: PLAIN\n")
        assert "/etc/sasl2/Sendmail.conf:1" in system.examine().get("not-saslauthd").text


class TestRedHat:
    def test_has_its_own_places(self, system: System) -> None:
        (system.root / "etc/debian_version").unlink()
        system.put("etc/group", GROUP.replace("sasl:x:45", "saslauth:x:76"))
        system.put("usr/lib64/libsasl2.so.2", "\0/usr/lib64/sasl2:/etc/sasl2\0")
        system.put("etc/postfix/main.cf", "smtpd_sasl_auth_enable = yes\ncompatibility_level = 3.6\n")
        system.put("etc/postfix/master.cf", "smtp inet n - n - - smtpd\n")
        system.put("etc/pam.d/smtp", "")
        system.put("etc/sasl2/smtpd.conf", SOUND)
        assert system.ids() == set()
        system.put("usr/lib64/sasl2/smtpd.conf", "pwcheck_method: auxprop\nmech_list: PLAIN\n")
        found = system.examine().get("not-saslauthd")
        assert "/usr/lib64/sasl2/smtpd.conf:1" in found.text
        system.put("etc/postfix/master.cf", "smtp inet n - y - - smtpd\n")
        served = system.examine().get("chroot-not-served")
        assert "/var/spool/postfix/run/saslauthd/mux" in served.text
        assert "usermod -a -G saslauth postfix" in served.cure


class TestAUser:
    def test_is_the_one_of_that_system(self, system: System) -> None:
        (system.root / "run/saslauthd").chmod(0o710)
        report = system.examine("--user", "postfix", "--user", "www-data")
        assert report.get("no-user").text == "there is no user www-data"
        # Who runs the test has made it, so its group is not always root's.
        (found,) = [each for each in report.bad if each.id in {"directory-shut", "not-in-group"}]
        assert found.text.startswith("postfix cannot enter /run/saslauthd")


class TestASocket:
    def listen(self, system: System, directory: str) -> None:
        system.put("etc/pysaslauthd.toml", f'mechanism = "pam"\nrun_path = "/{directory}"\n')
        (system.root / directory).mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(system.root / directory / "mux"))
        (system.root / directory / "mux").chmod(0o777)

    def test_that_all_can_reach_is_shut_by_its_directory(self, system: System) -> None:
        self.listen(system, "srv/mail/run")
        found = system.examine().get("open-to-all")
        assert "chgrp sasl /srv/mail/run" in found.cure
        assert "chmod 0710 /srv/mail/run" in found.cure

    @pytest.mark.parametrize("directory", ["run", "var/spool", "srv"])
    def test_in_a_directory_of_the_systems_shuts_nobody_out_of_that(
        self, system: System, directory: str
    ) -> None:
        self.listen(system, directory)
        (line,) = system.examine().get("open-to-all").cure
        assert line.startswith(f"# /{directory} is others' too: ")

    def test_behind_a_directory_that_is_another_affair(self, system: System) -> None:
        self.listen(system, "srv/private/run")
        (system.root / "srv/private").chmod(0o700)
        found = system.examine("--user", "cyrus").get("directory-shut")
        assert "cyrus cannot enter /srv/private" in found.text
        assert found.cure[-1] == "chmod a+x /srv/private"
        assert found.cure[0].startswith("# a run path that does not lead through")

    def test_of_a_powerful_group_makes_nobody_its_member(self, system: System) -> None:
        need_root()
        system.put("etc/group", GROUP + "shadow:x:42:\n")
        self.listen(system, "srv/mail/run")
        os.chown(system.root / "srv/mail/run", 0, 42)
        (system.root / "srv/mail/run").chmod(0o710)
        found = system.examine("--user", "postfix").get("directory-shut")
        assert not any(line.endswith(" shadow") for line in found.cure)
        assert "adduser postfix sasl" not in found.cure  # which that system has no program for
        assert "usermod -a -G sasl postfix" in found.cure


def test_a_program_that_is_not_there_is_said_to_ask_nobody(system: System) -> None:
    assert system.examine("--program", "postfix").get("not-asking").cure == []
    system.put("etc/postfix/main.cf", "")
    assert "smtpd_sasl_auth_enable=yes" in system.examine("--program", "postfix").get("not-asking").cure[0]


def test_a_login_may_be_any_bytes(system: System) -> None:
    report = system.examine("--login", "j\udcf6rg@ex.org")
    assert "pam looks for j\\xf6rg" in report.get("login-seen").text


def test_the_same_is_said_once(system: System) -> None:
    system.put("etc/postfix/main.cf", "smtpd_sasl_auth_enable = yes\n")
    lines = "smtp inet n - n - - smtpd\nsmtps inet n - n - - smtpd\n  -o smtpd_sasl_service=mail\n"
    system.put("etc/postfix/master.cf", lines)
    system.put("etc/postfix/sasl/smtpd.conf", SOUND)
    (system.root / "run/saslauthd").chmod(0o700)
    shut = [each for each in system.examine().bad if each.id == "directory-shut"]
    assert len(shut) == 1


def test_a_user_is_in_all_groups_that_name_him(system: System) -> None:
    person = accounts_of(Tree(system.root)).person("cyrus")
    assert person is not None
    assert (person.uid, person.gid, set(person.groups)) == (101, 8, {8, 45})


def test_a_program_that_nobody_knows_is_a_usage_error(system: System) -> None:
    command = [*COMMAND, "--root", str(system.root), "--program", "qmail"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "postfix" in done.stderr


def test_a_configuration_that_will_not_do_is_said_and_the_rest_is_looked_at(system: System) -> None:
    system.put("etc/pysaslauthd.toml", 'mechanism = "pan"\n')
    system.put("etc/postfix/main.cf", "smtpd_sasl_auth_enable = yes\n")
    system.put("etc/postfix/master.cf", "smtp inet n - n - - smtpd\n")
    assert system.ids() >= {"configuration", "no-sasl-file"}


def test_without_a_mechanism_the_originals_file_is_what_is_to_be_imported(system: System) -> None:
    system.put("etc/pysaslauthd.toml", "")
    assert "no-mechanism" in system.ids()
    system.put("etc/default/saslauthd", 'MECHANISMS="pam"\n')
    found = system.examine().get("no-mechanism")
    assert found.cure == ["pysaslauthd --import /etc/default/saslauthd >>/etc/pysaslauthd.toml"]


def test_for_people_it_prints_lines_that_do_nothing_to_a_terminal(system: System) -> None:
    system.put("etc/imapd.conf", f"sasl_{SOUND.replace('mech', 'sasl_mech')}sasl_saslauthd_path: /x\x1b[2J\n")
    command = [*COMMAND, "--root", str(system.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "problem: cyrus imapd asks /x\\x1b[2J, where nobody listens" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.endswith("\nproblems: 2, warnings: 0\n")


def test_accounts_that_nobody_can_have_are_passed_over(system: System) -> None:
    system.put("etc/passwd", f"{PASSWD}big:x:{'9' * 5000}:1::/:\nodd:x:\u0661:1::/:\n")
    found = system.examine("--user", "big", "--user", "odd", "--user", "postfix")
    assert [each.text for each in found.bad if each.id == "no-user"] == [
        "there is no user big",
        "there is no user odd",
    ]

"""What ``doctor`` says on a Debian with Postfix: each trouble set up for real, named, and gone when its cure was carried out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.doctor import carry_out, examine
from support.installed import installed_layer
from support.machine import Machine
from support.machine_logins import LOGIN, PASSWORD, add_user, log_in
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

PACKAGES = ("adduser", "postfix", "sasl2-bin", "libsasl2-modules")

SASL_FILE = "/etc/postfix/sasl/smtpd.conf"
SOUND = f"""\
postconf -e smtpd_sasl_auth_enable=yes
postconf -F smtp/inet/chroot=n
printf 'pwcheck_method: saslauthd\\nmech_list: PLAIN LOGIN\\n' >{SASL_FILE}
printf '@include common-auth\\n@include common-account\\n' >/etc/pam.d/smtp
adduser --quiet postfix sasl
service pysaslauthd start
"""
"""Postfix asks by a socket that is there for it, and PAM knows its service. It is not started."""

RESTART = "service postfix restart"


class Trouble(NamedTuple):
    """What is done to a sound machine, and what is said of it."""

    script: str
    finding: str
    says: tuple[str, ...]
    words: tuple[str, ...] = ()
    shuts_out: bool = False
    """Whether Postfix's user then is not answered, as the real client sees it too."""


def table(*lines: str) -> str:
    """A configuration file with one socket, in force."""
    text = "".join(f"{line}\\n" for line in ("[[socket]]", *lines))
    return f"printf '{text}' >/etc/pysaslauthd.toml; service pysaslauthd reload"


def elsewhere(directory: str) -> str:
    """Cyrus' daemon, as Debian starts it, in a directory."""
    return (
        f"install -d -g sasl -m 0710 {directory}; echo START=yes >>/etc/default/saslauthd; "
        f"sed -i 's|/var/run/saslauthd\"$|{directory}\"|' /etc/default/saslauthd; service saslauthd start"
    )


TROUBLES = {
    "/mux is missing": Trouble(
        f"echo 'saslauthd_path: /var/run/saslauthd' >>{SASL_FILE}",
        "mux-missing",
        ("postfix", "/var/run/saslauthd", "/mux is missing", SASL_FILE),
    ),
    "a chroot that is not served": Trouble(
        "postconf -F smtp/inet/chroot=y",
        "chroot-not-served",
        ("/var/spool/postfix/var/run/saslauthd/mux", "nobody listens", "/run/saslauthd/mux"),
    ),
    "another path": Trouble(
        f"echo 'saslauthd_path: /run/sasl2/mux' >>{SASL_FILE}",
        "not-served",
        ("postfix", "/run/sasl2/mux", "nobody listens"),
    ),
    "outside the group": Trouble(
        "gpasswd --delete postfix sasl",
        "not-in-group",
        ("postfix cannot enter /run/saslauthd", "root:sasl, mode 0710", "not in group sasl"),
        shuts_out=True,
    ),
    "a directory that shuts all out": Trouble(
        "chmod 0700 /run/saslauthd",
        "directory-shut",
        ("postfix cannot enter /run/saslauthd", "mode 0700"),
        shuts_out=True,
    ),
    "a socket that shuts all out": Trouble(
        table('mode = "0600"'),
        "socket-shut",
        ("postfix cannot connect to /run/saslauthd/mux", "mode 0600"),
        shuts_out=True,
    ),
    "a socket of another group": Trouble(
        table('mode = "0660"', 'group = "mail"'),
        "not-in-group",
        ("postfix cannot connect to /run/saslauthd/mux", "not in group mail"),
        shuts_out=True,
    ),
    "a list of others": Trouble(
        table('allow_users = ["root", "daemon"]'),
        "not-listed",
        ("postfix is on no list", "/etc/pysaslauthd.toml:2", "daemon, root"),
        shuts_out=True,
    ),
    "a list of other groups": Trouble(
        table('allow_groups = ["mail"]'),
        "not-listed",
        ("postfix is on no list", "allow_groups", "mail"),
        shuts_out=True,
    ),
    "everybody may ask": Trouble(
        "chmod 0755 /run/saslauthd", "open-to-all", ("any user", "/run/saslauthd/mux", "0755", "0777")
    ),
    "a file that is not read": Trouble(
        f"mkdir /etc/sasl2; mv {SASL_FILE} /etc/sasl2/",
        "sasl-file-unread",
        ("does not read /etc/sasl2/smtpd.conf", "/etc/postfix/sasl"),
    ),
    "a second file that says something else": Trouble(
        "printf 'pwcheck_method: auxprop\\n' >/usr/lib/sasl2/smtpd.conf",
        "sasl-file-unread",
        ("does not read /usr/lib/sasl2/smtpd.conf", SASL_FILE),
    ),
    "no file": Trouble(f"rm {SASL_FILE}", "no-sasl-file", ("smtpd.conf", "/etc/postfix/sasl")),
    "a broken file": Trouble(
        f"echo 'log_level : 7' >>{SASL_FILE}", "sasl-file-broken", (f"{SASL_FILE}:3", "colon")
    ),
    "auxprop": Trouble(
        f"sed -i 's/saslauthd/auxprop/' {SASL_FILE}", "not-saslauthd", (f"{SASL_FILE}:1", "auxprop")
    ),
    "no method": Trouble(f"sed -i 1d {SASL_FILE}", "not-saslauthd", (SASL_FILE, "no pwcheck_method")),
    "CRAM-MD5": Trouble(
        f"sed -i 's/^mech_list.*/mech_list: CRAM-MD5 SCRAM-SHA-256 PLAIN/' {SASL_FILE}",
        "mech-list",
        (f"{SASL_FILE}:2", "CRAM-MD5 and SCRAM-SHA-256"),
    ),
    "all mechanisms": Trouble(f"sed -i 2d {SASL_FILE}", "mech-list", ("no mech_list", "DIGEST-MD5")),
    "no AUTH": Trouble(
        "postconf -e smtpd_sasl_auth_enable=no",
        "not-asking",
        ("smtpd_sasl_auth_enable",),
        ("--program", "postfix"),
    ),
    "no PAM file": Trouble("rm /etc/pam.d/smtp", "no-pam-file", ("/etc/pam.d/smtp", "other counts")),
    "no PAM file, and all others are denied": Trouble(
        "rm /etc/pam.d/smtp; echo 'auth required pam_deny.so' >/etc/pam.d/other",
        "no-pam-file",
        ("/etc/pam.d/smtp", "lets nobody in"),
    ),
    "not to be started": Trouble(
        "sed -i 's/^START=yes/START=no/' /etc/default/pysaslauthd",
        "start-missing",
        ("/etc/default/pysaslauthd:", "START is no"),
    ),
    "no START, by Debian's own script": Trouble(
        "true",
        "start-missing",
        ("/etc/default/saslauthd has no START=yes",),
        ("--defaults", "/etc/default/saslauthd"),
    ),
    "nobody runs": Trouble("service pysaslauthd stop", "not-running", ("/run/saslauthd/mux", "no daemon")),
    "killed": Trouble(
        "pid=$(cat /run/saslauthd/saslauthd.pid); kill -KILL $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done",
        "not-running",
        ("left behind", "no daemon"),
    ),
    "Cyrus' daemon in our place": Trouble(
        "service pysaslauthd stop; echo START=yes >>/etc/default/saslauthd; service saslauthd start",
        "another-daemon",
        ("/usr/sbin/saslauthd (pid ", "/run/saslauthd/mux"),
    ),
    "Cyrus' daemon where the chroot looks": Trouble(
        f"postconf -F smtp/inet/chroot=y; {elsewhere('/var/spool/postfix/var/run/saslauthd')}",
        "another-daemon",
        ("/var/spool/postfix/var/run/saslauthd/mux", "/usr/sbin/saslauthd (pid ", "and not pysaslauthd"),
    ),
    "Cyrus' daemon where nobody looks": Trouble(
        elsewhere("/var/spool/postfix/var/run/saslauthd"),
        "another-daemon-elsewhere",
        ("/usr/sbin/saslauthd (pid ", "/var/spool/postfix/var/run/saslauthd/mux", "no program"),
    ),
    "/mux is missing in a chroot": Trouble(
        f"postconf -F smtp/inet/chroot=y; echo 'saslauthd_path: /var/run/saslauthd' >>{SASL_FILE}; "
        "install -d -g sasl -m 0710 /var/spool/postfix/var/run/saslauthd; "
        + table("", "[[socket]]", 'path = "/var/spool/postfix/var/run/saslauthd/mux"')
        + "; until test -S /var/spool/postfix/var/run/saslauthd/mux; do sleep 0.05; done",
        "mux-missing",
        ("/var/spool/postfix/var/run/saslauthd", "/mux is missing", SASL_FILE),
    ),
}


RECORDER = """
import json, os, socket, struct
os.umask(0)
server = socket.socket(socket.AF_UNIX)
server.bind("/run/saslauthd/mux")
server.listen()
while True:
    client, _ = server.accept()
    stream = client.makefile("rb")
    fields = [stream.read(struct.unpack(">H", stream.read(2))[0]).decode() for _ in range(4)]
    with open("/srv/asked", "a") as file:
        print(json.dumps(fields), file=file)
    client.sendall(b"\\0\\2OK")
    client.close()
"""
"""A daemon that writes down what it is asked: login, password, service, realm."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(installed_layer(*PACKAGES)) as machine:
        machine.shell(SOUND)
        yield machine


def answered(machine: Machine) -> str:
    """What Postfix's user is told by the C client."""
    words = ("testsaslauthd", "-u", LOGIN, "-p", PASSWORD, "-s", "smtp", "-f", "/run/saslauthd/mux")
    return machine.run(*words, user="postfix", check=False).stdout[3:5]


def offered(machine: Machine) -> set[str]:
    """What Postfix, started anew, offers to a mail program."""
    machine.shell("postfix stop; postfix start", check=False)
    ask = 'import smtplib; server = smtplib.SMTP("127.0.0.1"); server.ehlo("x"); print(server.esmtp_features.get("auth"))'
    told: list[str] = []

    def has_told() -> bool:
        done = machine.run("python3", "-c", ask, check=False)
        told[:] = done.stdout.split()
        return done.returncode == 0

    wait_until(has_told, "Postfix answers")
    return set(told)


def test_nothing_is_wrong_with_a_sound_machine(machine: Machine) -> None:
    report = examine(machine, ["-v", "--user", "postfix", "--program", "postfix"])
    assert report.bad == []
    assert {each.id for each in report.findings} >= {"listening", "let-in", "sasl-file", "pam-file", "start"}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_is_named_and_its_cure_cures(machine: Machine, name: str) -> None:
    trouble = TROUBLES[name]
    add_user(machine)
    machine.shell(trouble.script)
    if trouble.shuts_out:
        # A reload takes its time.
        wait_until(lambda: answered(machine) == "", "Postfix is shut out")
    found = examine(machine, trouble.words).get(trouble.finding)
    for text in trouble.says:
        assert text in found.text
    carry_out(machine, found, without=RESTART)
    if trouble.shuts_out:
        wait_until(lambda: answered(machine) == "OK", "Postfix is let in")
    assert examine(machine, trouble.words).bad == []


def test_a_user_who_is_not_there_is_named(machine: Machine) -> None:
    found = examine(machine, ["--user", "nobody-at-all"]).get("no-user")
    assert found.text == "there is no user nobody-at-all"


def test_postfix_reads_the_files_that_it_is_said_to_read(machine: Machine) -> None:
    assert offered(machine) == {"PLAIN", "LOGIN"}
    machine.shell(TROUBLES["a file that is not read"].script)
    assert offered(machine) > {"PLAIN", "LOGIN", "DIGEST-MD5"}
    (path,) = {line.split()[-1] for line in examine(machine).get("sasl-file-unread").cure if line[:2] == "mv"}
    assert path == SASL_FILE
    # The other place where Debian's looks, and the parameter that it does not heed.
    machine.shell("mkdir -p /usr/lib/sasl; mv /etc/sasl2/smtpd.conf /usr/lib/sasl/")
    machine.shell("postconf -e cyrus_sasl_config_path=/etc/sasl2")
    assert offered(machine) == {"PLAIN", "LOGIN"}
    assert examine(machine).bad == []


def test_a_directory_that_is_mounted_into_the_chroot_is_served(machine: Machine) -> None:
    jail = "/var/spool/postfix/var/run/saslauthd"
    machine.shell(f"postconf -F smtp/inet/chroot=y; mkdir -p {jail}; mount --bind /run/saslauthd {jail}")
    report = examine(machine, ["-v"])
    assert report.bad == []
    assert f"postfix can connect to {jail}/mux" in report.get("let-in").text
    machine.shell("service pysaslauthd stop")
    assert [each.id for each in examine(machine).bad] == ["not-running"]


@pytest.mark.parametrize("domain", ["", "mail.example"])
def test_a_login_is_sent_as_it_is_said_to_be(machine: Machine, tmp_path: Path, domain: str) -> None:
    machine.shell("service pysaslauthd stop")
    machine.start("python3", "-c", RECORDER, log=tmp_path / "log")
    machine.shell(f"postconf -e smtpd_sasl_local_domain={domain}; postfix start")
    logins = ("igor", "igor@ex.org", "a@b@c.org", " igor ")
    wait_until(lambda: log_in(machine) == 235, "Postfix answers")
    assert {log_in(machine, PASSWORD, login) for login in logins} == {235}
    asked = dict.fromkeys(machine.read("/srv/asked").splitlines())
    words = [word for login in logins for word in ("--login", login)]
    said = [each.text for each in examine(machine, words).findings if each.id == "login-seen"]
    for login in logins:
        (text,) = (each for each in said if each.startswith(f"{login}: "))
        name, realm = re.findall("sends login (.*?), (?:no realm|realm (.*?)), service smtp;", text)[0]
        assert json.dumps([name, PASSWORD, "smtp", realm]) in asked


def test_a_realm_that_gets_lost_on_the_way_is_named_and_kept_by_the_cure(machine: Machine) -> None:
    login = "bob@example.org"
    machine.shell(
        f"useradd --badname {login}; echo {login}:{PASSWORD} | chpasswd -c SHA256 -s 1000; postfix start"
    )
    wait_until(lambda: log_in(machine, PASSWORD, login) == 535, "Postfix is told that there is no bob")
    found = examine(machine, ["--login", login]).get("realm-stripped")
    assert found.level == "problem"
    assert "pam looks for bob and not for bob@example.org" in found.text
    carry_out(machine, found)
    assert log_in(machine, PASSWORD, login) == 235
    assert examine(machine, ["--login", login]).bad == []

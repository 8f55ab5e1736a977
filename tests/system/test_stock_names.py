"""From Debian's saslauthd to ours and back, with the README's commands, while Postfix in its chroot and sendmail ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import smtp
from support.built import packages
from support.guides import blocks
from support.leftovers import USERS, Inventory
from support.machine import Machine, debian
from support.machine_logins import LOGIN, PASSWORD, WRONG, add_user
from support.sendmail import Sendmail

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the packages and a machine.

CHROOT = "/var/spool/postfix"

# What Debian's README of sasl2-bin has for two programs that look for the socket in two places.
_ORIGINAL = f"""\
sed -i 's/^MECHANISMS=.*/MECHANISMS="shadow"/; s/^THREADS=.*/THREADS=3/' /etc/default/saslauthd
echo 'START=yes' >>/etc/default/saslauthd
sed 's,^OPTIONS=.*,OPTIONS="-c -m {CHROOT}/var/run/saslauthd",' /etc/default/saslauthd >/etc/default/saslauthd-postfix
dpkg-statoverride --add root sasl 710 {CHROOT}/var/run/saslauthd
update-rc.d saslauthd enable
service saslauthd start
"""
_POSTFIX = """\
adduser --quiet postfix sasl
mkdir -p /etc/postfix/sasl
printf 'pwcheck_method: saslauthd\\nmech_list: PLAIN LOGIN\\n' >/etc/postfix/sasl/smtpd.conf
postconf -e smtpd_sasl_auth_enable=yes smtpd_sasl_path=smtpd maillog_file=/var/log/mail.log
postconf -F 'smtp/inet/chroot=y'
service postfix start
"""
_PROBE = """\
import sys
sys.path.append("/probe")
import smtp
_, login, right, wrong = map(str.encode, sys.argv)
print(*(smtp.session(25, "PLAIN", login, password).auth for password in (right, wrong)))
"""
ACCEPTED_AND_REFUSED = [235, 535]


@pytest.fixture
def machine() -> Iterator[Machine]:
    binds = {"/packages": packages(), "/probe/smtp.py": Path(smtp.__file__)}
    with Machine(debian("adduser", "libsasl2-modules", "postfix", "sasl2-bin"), binds=binds) as machine:
        machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
        machine.write("/etc/apt/apt.conf.d/nobody-types", 'APT::Get::Assume-Yes "yes"; quiet "2";\n')
        machine.shell("mkdir /root/dist; cp /packages/*.deb /root/dist")
        add_user(machine)
        machine.shell(_ORIGINAL)
        machine.shell(_POSTFIX)
        yield machine


def postfix_says(machine: Machine) -> list[int]:
    done = machine.run("python3", "-", LOGIN, PASSWORD, WRONG, given=_PROBE)
    return [int(code) for code in done.stdout.split()]


def sendmail_says(machine: Machine) -> list[int]:
    with Sendmail(machine.root / "run/saslauthd/mux") as sendmail:
        words = (PASSWORD, WRONG)
        return [smtp.session(sendmail.port, "PLAIN", LOGIN.encode(), word.encode()).auth for word in words]


def both_log_in(machine: Machine) -> None:
    assert postfix_says(machine) == ACCEPTED_AND_REFUSED
    assert sendmail_says(machine) == ACCEPTED_AND_REFUSED


def who_answers(machine: Machine) -> set[str]:
    """The programs of the processes by the pid files."""
    script = (
        f"for d in /run/saslauthd {CHROOT}/run/saslauthd; do readlink /proc/$(cat $d/saslauthd.pid)/exe; done"
    )
    return {
        Path(line).name
        for line in machine.shell(script.replace(f"{CHROOT}/run", f"{CHROOT}/var/run")).stdout.split()
    }


def assert_nothing_is_left(before: Inventory) -> None:
    """Nothing but what another run of the daemon makes anew."""
    changed = [line for line in before.changes(*USERS, "/run/adduser") if "saslauthd.pid" not in line]
    assert changed == []


def test_there_and_back(machine: Machine) -> None:
    there, back = (block.text for block in blocks("debian-names"))
    both_log_in(machine)
    assert who_answers(machine) == {"saslauthd"}
    before = Inventory(machine)

    machine.shell(f"cd /root; {there}")
    assert who_answers(machine) == {"python3.11"}
    both_log_in(machine)
    machine.shell("service saslauthd restart")
    both_log_in(machine)
    assert machine.run("testsaslauthd", "-u", LOGIN, "-p", PASSWORD).stdout == '0: OK "Success."\n'
    assert machine.shell("which saslpasswd2").stdout, "what else sasl2-bin has stays"

    machine.shell(f"cd /root; {back}")
    assert who_answers(machine) == {"saslauthd"}
    both_log_in(machine)
    machine.shell("apt-get -qq purge -y pysaslauthd pysaslauthd-saslauthd")
    both_log_in(machine)
    assert_nothing_is_left(before)


def test_saslauthd_goes_on_where_ours_cannot_take_its_place(machine: Machine) -> None:
    both_log_in(machine)
    before = Inventory(machine)
    machine.shell("apt-get -qq install -y /packages/pysaslauthd_*.deb")

    machine.shell("head -c -1500 /packages/pysaslauthd-saslauthd_*.deb >/root/cut-off.deb")
    assert machine.run("dpkg", "--install", "/root/cut-off.deb", check=False).returncode == 1
    assert who_answers(machine) == {"saslauthd"}, "started again"
    both_log_in(machine)

    machine.write("/etc/default/saslauthd-other", 'START=yes\nMECHANISMS="sasldb"\n')
    done = machine.shell("dpkg --install /packages/pysaslauthd-saslauthd_*.deb", check=False)
    assert done.returncode == 1
    assert (
        "/etc/default/saslauthd-other:2: MECHANISMS: unknown authentication mechanism: sasldb" in done.stderr
    )
    assert who_answers(machine) == {"saslauthd"}, "never stopped"
    both_log_in(machine)

    machine.shell("rm /etc/default/saslauthd-other /root/cut-off.deb; apt-get -qq purge -y pysaslauthd")
    assert_nothing_is_left(before)

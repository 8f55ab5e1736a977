"""The README's walk-through, line by line: a Debian's saslauthd with LDAP is replaced, and Postfix in its chroot logs in."""

import re
from collections.abc import Iterator

import pytest

from support.installed import CHECKOUT, installed_layer
from support.machine import Machine
from support.machine_logins import PASSWORD, WRONG, ask, log_in, start_directory
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

PACKAGES = ("adduser", "libsasl2-modules", "postfix", "sasl2-bin", "slapd")

SECTION = "## From Debian's saslauthd to ours, step by step"
BLOCK = re.compile(r"```(sh|text)\n(.*?)```", re.DOTALL)

DEBIANS_FILE = """\
START=yes
DESC="SASL Authentication Daemon"
NAME="saslauthd"
MECHANISMS="ldap"
MECH_OPTIONS=""
THREADS=5
OPTIONS="-c -m /var/run/saslauthd"
"""
BEFORE = """\
printf 'pwcheck_method: saslauthd\\nmech_list: PLAIN LOGIN\\n' >/etc/postfix/sasl/smtpd.conf
postconf -e smtpd_sasl_auth_enable=yes
service saslauthd start
service postfix start
"""


def blocks() -> list[tuple[str, str]]:
    """What stands between fences in the section: the kind, and the lines."""
    text = (CHECKOUT / "README.md").read_text().partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    return BLOCK.findall(text)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(installed_layer(*PACKAGES)) as machine:
        start_directory(machine)
        machine.write("/etc/default/saslauthd", DEBIANS_FILE)
        machine.shell(BEFORE)
        wait_until(lambda: log_in(machine, PASSWORD) != 0, "Postfix answers")
        yield machine


def test_a_new_user_moves_over_and_finds_why_postfix_cannot_connect(machine: Machine) -> None:
    assert (ask(machine), log_in(machine, PASSWORD)) == ("OK", 454)
    (_, move), (_, look), (_, trouble), (_, cure), (_, end) = blocks()
    machine.shell(move)
    assert (ask(machine), ask(machine, WRONG), log_in(machine, PASSWORD)) == ("OK", "NO", 454)
    assert machine.shell(look, check=False).stdout == trouble
    printed = [line.strip() for line in trouble.splitlines() if line.startswith("    ")]
    *carried_out, again = cure.splitlines()
    assert carried_out == printed
    for line in carried_out:
        machine.shell(line)
    wait_until(lambda: log_in(machine, PASSWORD) != 0, "Postfix answers again")
    assert (log_in(machine, PASSWORD), log_in(machine, WRONG)) == (235, 535)
    assert machine.shell(again).stdout == end
    # The first client is answered where it always was, and what was Debian's is as it was.
    assert (ask(machine), machine.read("/etc/default/saslauthd")) == ("OK", DEBIANS_FILE)

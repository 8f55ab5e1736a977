"""A message is taken only from who has logged in, whatever knows the user, and then arrives."""

import smtplib
import uuid
from collections.abc import Iterator

import pytest

from support import smtp
from support.machine import Machine
from support.machine_daemon import IGOR, RIGHT, WRONG, daemon
from support.program_machines import LYDIA, SASLAUTHD_CONF, STRANGER, Machines
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.

ELSEWHERE = "somebody@elsewhere.example"

USERS = {"pam": IGOR, "shadow": IGOR, "ldap": LYDIA}
"""Whom each mechanism knows. Lydia has no account of the machine, so nothing but the directory can have let her in."""

MAY_NOT_RELAY = {"sendmail": 550, "postfix": 454}


@pytest.fixture(params=["sendmail", "postfix"])
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def machine(machines: Machines, name: str) -> Iterator[Machine]:
    found = machines[name].machine
    found.write("/etc/saslauthd.conf", SASLAUTHD_CONF, 0o600)
    yield found
    found.run("rm", "/etc/saslauthd.conf")


class Stranger:
    """Someone from another address than loopback, which no server trusts, at the port where mail from outside comes."""

    def __init__(self, port: int) -> None:
        self._smtp = smtplib.SMTP(smtp.HOST, port, "client.example", timeout=60, source_address=(STRANGER, 0))

    def __enter__(self) -> smtplib.SMTP:
        self._smtp.ehlo()
        return self._smtp

    def __exit__(self, *_: object) -> None:
        self._smtp.close()


def relayed(server: smtplib.SMTP) -> int:
    """What it says to a message for another domain."""
    server.docmd("MAIL", f"FROM:<{IGOR}@mx.example.test>")
    return server.docmd("RCPT", f"TO:<{ELSEWHERE}>")[0]


@pytest.mark.parametrize("mechanism", USERS)
def test_it_is_taken_only_after_auth_and_arrives(machine: Machine, name: str, mechanism: str) -> None:
    user, mark = USERS[mechanism], uuid.uuid4().hex
    with daemon(machine, mechanism), machine.loopback():
        with Stranger(25) as server:
            assert relayed(server) == MAY_NOT_RELAY[name]
        with Stranger(587) as server:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                server.login(user, WRONG)
            assert relayed(server) >= 500
        with Stranger(587) as server:
            server.login(user, RIGHT)
            assert relayed(server) == 250
            server.rset()
            server.sendmail(f"{user}@localhost", [f"{IGOR}@localhost"], f"Subject: {mark}\r\n\r\nHello.\r\n")
    wait_until(lambda: mark in machine.read(f"/var/mail/{IGOR}"), "it arrives")


def test_sendmail_tells_in_its_log_who_logged_in(machines: Machines) -> None:
    machine, log, _ = machines["sendmail"]
    with daemon(machine, "pam"), machine.loopback(), Stranger(587) as server:
        server.login(f"{IGOR}@example.org", RIGHT)
    line = (
        f"AUTH=server, relay=stranger.example.org [{STRANGER}], authid={IGOR}@example.org, mech=PLAIN, bits=0"
    )
    wait_until(lambda: line in log.text, line)


def test_sendmail_offers_and_takes_no_auth_in_clear_where_p_is_set(machines: Machines) -> None:
    machine = machines["sendmail-tls"].machine
    with daemon(machine, "pam"), machine.loopback():
        with Stranger(587) as server:
            assert not server.has_extn("auth")
            assert server.docmd("AUTH", "PLAIN")[0] == 503
        assert smtp.session(587, "PLAIN", IGOR.encode(), RIGHT.encode(), tls=True).auth == 235

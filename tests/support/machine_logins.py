"""Users and a directory in a machine of a test's own, and the C client that asks the daemon there."""

from support import booted, daemon
from support.machine import Machine

LOGIN, PASSWORD, WRONG = daemon.LOGIN.decode(), daemon.PASSWORD.decode(), daemon.WRONG.decode()

NEEDED = ("busybox", "insserv", "sasl2-bin", "slapd", *booted.PACKAGES)
"""Packages for all that is done to a service, with systemd and without: one layer, made once, serves both."""

MECHANISMS = ("pam", "shadow", "ldap")

_SLAPD_CONF = """\
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /srv/slapd.pid
database mdb
suffix "dc=example,dc=org"
directory /srv/ldap
"""
_ENTRIES = f"""\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: cn={LOGIN},dc=example,dc=org
objectClass: person
cn: {LOGIN}
sn: {LOGIN}
userPassword: {PASSWORD}
"""
_SASLAUTHD_CONF = """\
ldap_servers: ldap://127.0.0.1:3389/
ldap_search_base: dc=example,dc=org
ldap_filter: (cn=%u)
"""

_LOG_IN = """
import smtplib, sys
server = smtplib.SMTP("127.0.0.1", 25, local_hostname="client.example", timeout=60)
server.ehlo()
server.user, server.password = sys.argv[1:]
try:
    print(server.auth("PLAIN", server.auth_plain)[0])
except smtplib.SMTPAuthenticationError as error:
    print(error.smtp_code)
"""


def add_user(machine: Machine) -> None:
    """Somebody with an account, for pam and shadow. The hash is a cheap one: it is not what is tested."""
    machine.shell(f"useradd {LOGIN}; echo {LOGIN}:{PASSWORD} | chpasswd -c SHA256 -s 1000")


def start_directory(machine: Machine) -> None:
    """A directory with the same user, and the file by which the daemon finds it, which only root can read."""
    machine.write("/srv/slapd.conf", _SLAPD_CONF)
    machine.write("/srv/entries", _ENTRIES)
    machine.write("/etc/saslauthd.conf", _SASLAUTHD_CONF, 0o600)
    machine.shell(
        "mkdir /srv/ldap; slapadd -f /srv/slapd.conf -l /srv/entries; "
        "slapd -f /srv/slapd.conf -h ldap://127.0.0.1:3389/"
    )


def ask(
    machine: Machine, password: str = PASSWORD, mux: str = "/run/saslauthd/mux", service: str = "imap"
) -> str:
    """What testsaslauthd is told, ``OK`` or ``NO``; nothing if nobody answers."""
    done = machine.run("testsaslauthd", "-u", LOGIN, "-p", password, "-f", mux, "-s", service, check=False)
    return done.stdout[3:5] if done.stdout.startswith("0: ") else ""


def log_in(machine: Machine, password: str = PASSWORD, login: str = LOGIN) -> int:
    """The code with which the mail server there answers AUTH PLAIN; 0 for no answer."""
    done = machine.run("python3", "-c", _LOG_IN, login, password, check=False)
    return int(done.stdout) if done.returncode == 0 else 0

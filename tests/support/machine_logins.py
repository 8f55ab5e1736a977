"""Users and a directory in a machine of a test's own, and the C client that asks the daemon there."""

from support.machine import Machine

LOGIN, PASSWORD, WRONG = "alice", "secret-Pass_1", "wrong-Pass_2"

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
ldap_servers: ldap://127.0.0.1/
ldap_search_base: dc=example,dc=org
ldap_filter: (cn=%u)
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
        "slapd -f /srv/slapd.conf -h ldap://127.0.0.1/"
    )


def ask(machine: Machine, password: str = PASSWORD, mux: str = "/run/saslauthd/mux") -> str:
    """What testsaslauthd is told, ``OK`` or ``NO``; nothing if nobody answers."""
    done = machine.run("testsaslauthd", "-u", LOGIN, "-p", password, "-f", mux, check=False)
    return done.stdout[3:5] if done.stdout.startswith("0: ") else ""

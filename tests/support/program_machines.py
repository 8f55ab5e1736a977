"""The machines of the programs that ask saslauthd, each made as the README's guides say."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple, Self

from support import booted, guides
from support.booted import BootedMachine
from support.devlog import DevLog
from support.guides import Claim, Log
from support.installed import installed_layer
from support.machine import Layer, Machine
from support.machine_daemon import IGOR, RIGHT, STUCK, TORTOISE, add_users
from support.packages import need_root
from support.sasl_programs import ASKER, BASE, CHECKPASS, CHECKPASS_FILE

STRANGER = "192.0.2.1"
"""An address of the machine that is not loopback: who comes from there has no right to relay."""

LYDIA = "lydia"
"""A user of the directory, with the password of all; no account of the machine."""

REALM = "example.org"

SASLAUTHD_CONF = f"ldap_servers: ldap://127.0.0.1/\nldap_search_base: {BASE}\n"
"""Has mechanism ldap ask the directory of the machine."""

_ADMIN = (f"cn=admin,{BASE}", "/root/admin-password")
_DIRECTORY = ("slapd", "ldap-utils", *booted.PACKAGES)
_TOOLS = (*_DIRECTORY, "sasl2-bin", "subversion", "memcached", "libsasl2-modules")
"""Packages besides those that the guides install."""

_SASL = "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n"

_SVNSERVE = f"""\
[general]
anon-access = none
auth-access = read
realm = {REALM}
[sasl]
use-sasl = true
min-encryption = 0
max-encryption = 256
"""


class Served(NamedTuple):
    """A machine where a guide was followed, its log, and what the guides claimed. Our daemon does not run."""

    machine: Machine
    log: DevLog
    claims: dict[str, list[Claim]]


class Kind(NamedTuple):
    """What one of the machines is for: the guides followed there, and what else is made after them."""

    guides: tuple[str, ...]
    finish: Callable[[Machine], None] = lambda _: None
    tools: tuple[str, ...] = ()


class Machines:
    """Gives each of them, made when it is first asked for and there until the end of ``with``."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Served] = {}
        self._failed: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all that run. Whoever is asked for again is made again."""
        self._running.clear()
        self._stack.close()

    def __getitem__(self, name: str) -> Served:
        assert name not in self._failed, f"the machine {name} could not be made: {self._failed[name]}"
        if name not in self._running:
            try:
                self._running[name] = self._made(KINDS[name])
            except Exception as error:
                # It would fail again, as long, for each test that wants it.
                self._failed[name] = str(error)
                raise
        return self._running[name]

    def _made(self, kind: Kind) -> Served:
        machine = self._stack.enter_context(Machine(_layer(kind)))
        log = self._stack.enter_context(DevLog(machine.root / "dev/log"))
        machine.run("ip", "address", "add", f"{STRANGER}/32", "dev", "lo")
        machine.shell(f"echo '{STRANGER} stranger.{REALM}' >>/etc/hosts")
        claims = _follow_all(kind, machine, log)
        kind.finish(machine)
        machine.run("service", "pysaslauthd", "stop")
        return Served(machine, log, claims)


def claims_under_systemd(name: str) -> dict[str, list[Claim]]:
    """Of the same guides, followed on a machine where systemd starts the services."""
    with BootedMachine(_layer(KINDS[name])) as machine:
        return _follow_all(KINDS[name], machine, _Journal(machine))


class _Journal:
    """What systemd collects of a machine's logs."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def text(self) -> str:
        return self._machine.run("journalctl", "--no-pager", "--output=cat").stdout


def _layer(kind: Kind) -> Layer:
    need_root()
    return installed_layer(
        *{*kind.tools, *(package for guide in kind.guides for package in guides.packages(guide))}
    )


def _follow_all(kind: Kind, machine: Machine, log: Log) -> dict[str, list[Claim]]:
    add_users(machine)
    if "slapd" in kind.tools:
        _make_directory(machine)
    machine.run("service", "pysaslauthd", "start")
    return {guide: guides.follow(guide, machine, log) for guide in kind.guides}


def _make_directory(machine: Machine) -> None:
    """Debian's slapd, empty but for LYDIA."""
    machine.shell(
        f"""\
(umask 077; printf {RIGHT} >{_ADMIN[1]})
debconf-set-selections <<'END'
slapd slapd/domain string {REALM}
slapd slapd/password1 password {RIGHT}
slapd slapd/password2 password {RIGHT}
END
dpkg-reconfigure -f noninteractive slapd
service slapd start
"""
    )
    _wait_listening(machine, 389)
    _add(machine, LYDIA, RIGHT)


def _wait_listening(machine: Machine, *ports: int) -> None:
    """On each of them: who was started, or told to read its files anew, may not be so far."""
    for port in ports:
        machine.shell(f"until ss -ltn | grep -q ':{port} '; do sleep 0.1; done")


def _add(machine: Machine, login: str, stored: str) -> None:
    entry = f"objectClass: inetOrgPerson\nuid: {login}\ncn: x\nsn: x\nuserPassword: {stored}\n"
    command = ("ldapadd", "-x", "-D", _ADMIN[0], "-y", _ADMIN[1])
    machine.run(*command, given=f"dn: uid={login},{BASE}\n{entry}")


def _finish_postfix(machine: Machine) -> None:
    """A second smtpd outside the chroot, and the programs that need no guide."""
    machine.shell(
        f"""\
postconf -M '10025/inet=10025 inet n - n - - smtpd'
postconf -e default_transport=hold: mynetworks=
service postfix reload
sed -i '/^popminpoll:/d' /etc/imapd.conf
printf 'failedloginpause: 0s\\npopminpoll: 0\\nvirtdomains: userid\\ndefaultdomain: localhost\\n' >>/etc/imapd.conf
service cyrus-imapd restart
useradd --system --no-create-home --groups sasl {ASKER}
adduser --quiet memcache sasl
svnadmin create /srv/repository
mkdir -p /etc/sasl2 /etc/checkpass
"""
    )
    _wait_listening(machine, 10025, 143)
    for application in ("svn", "memcached"):
        machine.write(f"/etc/sasl2/{application}.conf", _SASL)
    machine.write("/etc/checkpass/checkpass.conf", _SASL)
    machine.write(CHECKPASS, CHECKPASS_FILE.read_text())
    machine.write("/srv/repository/conf/svnserve.conf", _SVNSERVE)
    # With -u it would give up its groups, and sasl with them.
    machine.shell("memcached -S -d -l 127.0.0.1", user="memcache")
    _wait_listening(machine, 11211)
    machine.run("chmod", "-R", "go+rX", "/srv/repository")
    machine.shell("svnserve -d -r /srv", user=ASKER)
    for login in (TORTOISE, STUCK, "nobody-at-all", f"{IGOR}@{REALM}"):
        _add(machine, login, f"{{SASL}}{login}")


KINDS = {
    "sendmail": Kind(("sendmail",), tools=_DIRECTORY),
    "sendmail-tls": Kind(("sendmail", "sendmail-tls"), tools=_DIRECTORY),
    "postfix": Kind(("postfix", "slapd", "cyrus"), _finish_postfix, _TOOLS),
    "exim": Kind(("exim",)),
}
"""By name. The first two have the same packages, so they are one layer."""

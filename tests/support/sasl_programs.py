"""The programs that ask saslauthd, each in a machine of ours, and how each tells its user what it heard."""

import base64
import imaplib
import poplib
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support import smtp
from support.machine import Machine
from support.machine_daemon import MUX

_LIMIT = 30.0

CHROOTED_MUX = "var/spool/postfix/var/run/saslauthd/mux"

ASKER = "asker"
"""A user of the machine who is in the group ``sasl`` and in no other."""

BASE = "dc=example,dc=org"


class Program(NamedTuple):
    """One that asks. ``login`` has it ask for a login and a password, and gives its words for the answer.

    ``mux`` is where it asks, below the machine's root. ``splits_realm`` is whether it takes ``user@realm`` apart, and
    ``writes_once`` whether its request is one write, as with libsasl.
    """

    name: str
    machine: str
    login: Callable[[Machine, str, str], str]
    accepted: str
    refused: str
    unavailable: str
    mux: str = MUX
    splits_realm: bool = True
    writes_once: bool = True


def _smtp(port: int, *, tls: bool = False) -> Callable[[Machine, str, str], str]:
    def login(machine: Machine, login: str, password: str) -> str:
        with machine.loopback():
            return str(smtp.session(port, "PLAIN", login.encode(), password.encode(), tls=tls).auth)

    return login


def _imap(machine: Machine, login: str, password: str) -> str:
    with machine.loopback(), imaplib.IMAP4(smtp.HOST, timeout=_LIMIT) as server:
        try:
            return server.login(login, password)[0]
        except imaplib.IMAP4.error as error:
            return _text(error)


def _pop3(machine: Machine, login: str, password: str) -> str:
    with machine.loopback():
        server = poplib.POP3(smtp.HOST, timeout=_LIMIT)
        try:
            server.user(login)
            return server.pass_(password).decode().split()[0]
        except poplib.error_proto as error:
            return _text(error)
        finally:
            server.close()


def _text(error: Exception) -> str:
    """What a server said, which the library has as bytes."""
    said = error.args[0]
    return said.decode() if isinstance(said, bytes) else str(said)


def _sieve(machine: Machine, login: str, password: str) -> str:
    with machine.loopback(), socket.create_connection((smtp.HOST, 4190), _LIMIT) as connection:
        stream = connection.makefile("rwb")
        while not stream.readline().startswith(b"OK"):
            pass
        both = base64.b64encode(f"\0{login}\0{password}".encode())
        stream.write(b'AUTHENTICATE "PLAIN" "%s"\r\n' % both)
        stream.flush()
        return stream.readline().decode().strip()


def _memcached(machine: Machine, login: str, password: str) -> str:
    """The status of its binary protocol, in hexadecimal."""
    mechanism, both = b"PLAIN", f"\0{login}\0{password}".encode()
    head = struct.pack("!BBHBBHIIQ", 0x80, 0x21, len(mechanism), 0, 0, 0, len(mechanism + both), 0, 0)
    with machine.loopback(), socket.create_connection((smtp.HOST, 11211), _LIMIT) as connection:
        connection.sendall(head + mechanism + both)
        reply = connection.makefile("rb").read(8)
        return f"{struct.unpack('!6xH', reply)[0]:#x}"


def _svn(machine: Machine, login: str, password: str) -> str:
    words = (
        "svn",
        "info",
        "--non-interactive",
        "--no-auth-cache",
        "--username",
        login,
        "--password",
        password,
    )
    done = machine.run(*words, "svn://127.0.0.1/repository", check=False)
    said = re.search(r"SASL.*?:", done.stderr)
    return said[0] if said else str(done.returncode)


def _bind(machine: Machine, login: str, password: str) -> str:
    """A simple bind as the entry of the login; what ldapwhoami exits with is LDAP's result code."""
    words = ("ldapwhoami", "-x", "-D", f"uid={login},{BASE}", "-w", password)
    return str(machine.run(*words, check=False, user=ASKER).returncode)


def _testsaslauthd(machine: Machine, login: str, password: str) -> str:
    user, _, realm = login.partition("@")
    words = ("testsaslauthd", "-u", user, "-r", realm, "-p", password, "-f", f"/{MUX}")
    return machine.run(*words, check=False, user=ASKER).stdout.strip()


def _libsasl(machine: Machine, login: str, password: str) -> str:
    words = ("env", "SASL_CONF_PATH=/etc/checkpass", "python3", "-I", CHECKPASS, "smtp", login, password)
    done = machine.run(*words, user=ASKER)
    return re.sub(r'.*"code": (-?[0-9]+).*', r"\1", done.stdout)


CHECKPASS = "/usr/local/lib/checkpass.py"
CHECKPASS_FILE = Path(__file__).with_name("checkpass.py")

_FAILED, _TESTED = "Login failed", '0: OK "Success."'

PROGRAMS = (
    Program("sendmail", "sendmail", _smtp(587), "235", "535", "535"),
    Program("sendmail-tls", "sendmail-tls", _smtp(587, tls=True), "235", "535", "535"),
    Program("postfix", "postfix", _smtp(10025), "235", "535", "454"),
    Program("postfix-chrooted", "postfix", _smtp(587), "235", "535", "454", mux=CHROOTED_MUX),
    Program("exim", "exim", _smtp(25), "235", "535", "435", splits_realm=False, writes_once=False),
    Program("slapd", "postfix", _bind, "0", "49", "49"),
    Program(
        "imapd", "postfix", _imap, "OK", f"{_FAILED}: authentication failure", f"{_FAILED}: generic failure"
    ),
    Program("pop3d", "postfix", _pop3, "+OK", "-ERR [AUTH] Invalid login", "-ERR [AUTH] Invalid login"),
    Program("timsieved", "postfix", _sieve, "OK", 'NO "Authentication Error"', 'NO "Authentication Error"'),
    Program("svnserve", "postfix", _svn, "0", "SASL(-13):", "SASL(-1):"),
    Program("memcached", "postfix", _memcached, "0x0", "0x20", "0x20"),
    Program("testsaslauthd", "postfix", _testsaslauthd, _TESTED, '0: NO "authentication failed"', "0:"),
    Program("libsasl", "postfix", _libsasl, "0", "-13", "-1"),
)

"""A real slapd of a test's own: private directory, random ports on loopback, TLS, people of all kinds."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

from support.certificates import Certificates, Pair
from support.ldap_directory import PEOPLE, SERVICE_DN, SUFFIX, Entry, directory, ldif
from support.ldap_schemes import scheme_people
from support.logged import whole_lines
from support.packages import need_program
from support.tcp_ports import HOST, free_port
from support.waiting import wait_until

ROOT_DN = f"cn=root,{SUFFIX}"
"""Without a password; who runs the test is it when he comes by :attr:`Slapd.ldapi` with SASL EXTERNAL."""

ACCESS = (
    f'to attrs=userPassword by dn.exact="{SERVICE_DN}" read by anonymous auth by * none',
    "to * by * read",
)
"""The service account reads passwords, everybody all else."""

NO_ANONYMOUS = ("disallow bind_anon", "require authc")
"""For :attr:`Options.settings`: who has not bound gets nothing, and an anonymous bind is refused (code 48)."""

_SCHEMAS, _MODULES = Path("/etc/ldap/schema"), Path("/usr/lib/ldap")

_ANONYMOUS_BIND = bytes.fromhex("300c020101600702010304008000")

_ATTEMPTS = 5
_LIMIT = 60.0


class Options(NamedTuple):
    """What a slapd is told besides the usual."""

    users: int = 20
    entries: tuple[Entry, ...] = ()
    """More of them; their parents are there before them."""
    settings: tuple[str, ...] = ()
    """More lines of slapd.conf, in front of the database: ``sizelimit 5``, ``conn_max_pending 3``."""
    database: tuple[str, ...] = ()
    """More lines behind it, of the database and its overlays: ``overlay memberof``."""
    modules: tuple[str, ...] = ()
    """To load besides the database's: ``memberof``, ``retcode``, ``pw-sha2``, ``argon2``."""
    access: tuple[str, ...] = ACCESS
    certificates: Certificates | None = None
    """With them there are StartTLS and :attr:`Slapd.ldaps`."""
    identity: Pair | None = None
    """What it shows; ``good`` of the certificates by default."""
    verify_client: str = "never"
    """Or ``demand``; then ``client`` of the certificates, by SASL EXTERNAL, is the service account."""
    logs: bool = True
    """Whether it writes down every operation, for :meth:`Slapd.operations`."""


class Slapd:
    """``with Slapd() as slapd`` runs it in the foreground, as the test's own user.

    The port is kept over :meth:`stop` and :meth:`start`, and so is what it holds.
    """

    def __init__(self, options: Options | None = None) -> None:
        self._slapd, self._slapadd = need_program("slapd", "slapd"), need_program("slapadd", "slapd")
        self._ldapmodify = need_program("ldapmodify", "ldap-utils")
        self._options = options or Options()
        # Not pytest's tmp_path: a socket's path has 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-slapd-"))
        # For ldapi: whom the test starts may be another user.
        self.directory.chmod(0o755)
        self.port = self.tls_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "log"
        self._log_start = 0
        self._settings = self.directory / "slapd.conf"

    def __enter__(self) -> Self:
        try:
            self._fill()
            self._start_somewhere()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    @property
    def ldap(self) -> str:
        """URI of the port without TLS, on which StartTLS may follow."""
        return f"ldap://{HOST}:{self.port}"

    @property
    def ldaps(self) -> str:
        return f"ldaps://{HOST}:{self.tls_port}"

    @property
    def ldapi(self) -> str:
        return f"ldapi://{quote(str(self.socket_path), safe='')}"

    @property
    def socket_path(self) -> Path:
        return self.directory / "ldapi"

    @property
    def log(self) -> str:
        return whole_lines(self._log)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def operations(self, kind: str = "") -> list[str]:
        """What clients asked for, such as ``BIND dn="" method=128`` or ``SRCH base=...``, in this order.

        ``kind`` is the first word: BIND, SRCH, CMP, EXT, ABANDON, UNBIND. An operation is written down
        before it is answered.
        """
        found = re.findall(
            r"conn=(?!1000 )\d+ op=\d+ ((?:BIND|SRCH|CMP|EXT|ABANDON|UNBIND)\b.*)", self._new_log()
        )
        return [line for line in found if line.startswith(kind) and _is_request(line)]

    def connections(self) -> int:
        """How many clients have connected."""
        return len(re.findall(r"conn=(?!1000 )\d+ fd=\d+ ACCEPT", self._new_log()))

    def forget(self) -> None:
        """:meth:`operations` and :meth:`connections` are from now on those that are still to come."""
        self._log_start = len(self.log)

    def _new_log(self) -> str:
        """Connection 1000 is the first after a start, which saw whether it is there."""
        return self.log[self._log_start :]

    def start(self) -> None:
        """Again, after :meth:`stop`."""
        assert self.process is None
        if not self._start():
            raise AssertionError(f"slapd does not start:\n{self.log[-3000:]}")

    def stop(self) -> None:
        """It says good-bye to its clients and ends; its ports refuse."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """It ends without a word."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """It stops answering; connecting still succeeds, as the kernel does that."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def modify(self, changes: bytes) -> None:
        """Change entries; ``changes`` is LDIF as ldapmodify reads it, and an entry as it stands is added."""
        command: list[str | Path] = [self._ldapmodify, "-Q", "-Y", "EXTERNAL", "-H", self.ldapi, "-a"]
        done = subprocess.run(command, input=changes, capture_output=True, check=False, timeout=_LIMIT)
        assert done.returncode == 0, done.stderr.decode()

    def add(self, *entries: Entry) -> None:
        self.modify(ldif(entries))

    def set_password(self, dn: str, *stored: bytes) -> None:
        replaced = ldif(
            [Entry(dn, {"changetype": ["modify"], "replace": ["userPassword"], "userPassword": stored})]
        )
        self.modify(replaced)

    def _fill(self) -> None:
        (self.directory / "database").mkdir()
        self._settings.write_text("\n".join(self._lines()) + "\n")
        people = [p.entry for p in scheme_people()]
        entries = [*directory(self._options.users), *people, *self._options.entries]
        command: list[str | Path] = [self._slapadd, "-q", "-f", self._settings]
        done = subprocess.run(command, input=ldif(entries), capture_output=True, check=False, timeout=_LIMIT)
        assert done.returncode == 0, done.stderr.decode()

    def _lines(self) -> list[str]:
        """slapd.conf."""
        options = self._options
        return [
            *(f"include {_SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson", "nis")),
            f"modulepath {_MODULES}",
            *(f"moduleload {name}" for name in ("back_mdb", *options.modules)),
            "threads 4",
            "tool-threads 1",
            *self._tls(),
            *_sasl(),
            *options.settings,
            "database mdb",
            f"suffix {SUFFIX}",
            f"rootdn {ROOT_DN}",
            f"directory {self.directory}/database",
            "maxsize 67108864",
            "dbnosync",
            "index objectClass,uid,mail,uniqueMember,member,memberUid eq",
            *(f"access {rule}" for rule in options.access),
            *options.database,
        ]

    def _tls(self) -> list[str]:
        certificates = self._options.certificates
        if certificates is None:
            return []
        shown = self._options.identity or certificates.good
        return [
            f"TLSCACertificateFile {certificates.ca}",
            f"TLSCertificateFile {shown.certificate}",
            f"TLSCertificateKeyFile {shown.key}",
            f"TLSVerifyClient {self._options.verify_client}",
        ]

    def _start_somewhere(self) -> None:
        for _ in range(_ATTEMPTS):
            self.port, self.tls_port = free_port(), free_port()
            if self._start():
                return
            if "Address already in use" not in self.log:
                break
        raise AssertionError(f"slapd does not start:\n{self.log[-3000:]}")

    def _start(self) -> bool:
        addresses = [f"{self.ldap}/", f"{self.ldapi}/"]
        if self._options.certificates is not None:
            addresses.append(f"{self.ldaps}/")
        # With -d it stays in the foreground; 256 is the log of operations. -s is what syslog gets.
        level = "256" if self._options.logs else "0"
        command: list[str | Path] = [
            self._slapd,
            "-h",
            " ".join(addresses),
            "-f",
            self._settings,
            "-d",
            level,
            "-s",
            "0",
        ]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers_or_ended, "slapd answers")
        if self.process.poll() is None:
            return True
        self.process = None
        return False

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            return True
        try:
            with socket.create_connection((HOST, self.port), timeout=_LIMIT) as connection:
                connection.sendall(_ANONYMOUS_BIND)
                return bool(connection.recv(100))
        except OSError:
            return False

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _remove(self) -> None:
        try:
            self.kill()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


def _sasl() -> list[str]:
    """Who is who: by DIGEST-MD5 and the like a login, by the socket's owner or a client certificate a DN."""
    who = f"gidNumber={os.getegid()}[+]uidNumber={os.geteuid()},cn=peercred,cn=external,cn=auth"
    return [
        "sasl-host localhost",
        "sasl-secprops none",
        f'authz-regexp "^{who}$" "{ROOT_DN}"',
        f'authz-regexp "^cn=client$" "{SERVICE_DN}"',
        f'authz-regexp "^uid=reader,.*cn=auth$" "{SERVICE_DN}"',
        f'authz-regexp "^uid=([^,]+),.*cn=auth$" "uid=$1,{PEOPLE}"',
    ]


def _is_request(line: str) -> bool:
    """A successful bind is written down again, and what a search wants is a line of its own."""
    return line.startswith(("CMP", "EXT", "ABANDON", "UNBIND", "SRCH base=")) or " method=" in line

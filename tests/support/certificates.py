"""Certificates of a test's own: one authority, what it signed, and what it should not have.

Made by the ``openssl`` program: keys on an elliptic curve, some 10 ms each.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from support.packages import need_program

SERVER_NAMES = ("DNS:localhost", "DNS:ldap.example.test", "IP:127.0.0.1")
"""What the good certificate is for; loopback is reached by the first and the last."""

CLIENT_NAME = "client"
"""Common name of the client certificate; its subject, as slapd writes it, is ``cn=client``."""

_AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
_NO_IDENTIFIERS = ("subjectKeyIdentifier=none", "authorityKeyIdentifier=none")
_LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature")

_SETTINGS = """\
[req]
distinguished_name = names
[names]
[ca]
default_ca = own
[own]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = supplied
"""


class Pair(NamedTuple):
    """A certificate and its key, both PEM, the key not encrypted."""

    certificate: Path
    key: Path


class Certificates:
    """In ``directory``, which is made if it is missing.

    :ivar authority: signed ``good``, ``wrong_host``, ``expired`` and ``client``. :attr:`ca` is its file for those who
        verify, :attr:`ca_directory` the same as a directory of hashed names.
    :ivar other: an authority of the same kind that signed ``unknown`` only.
    :ivar plain: an authority without key usage and key identifiers, as administrators make them, which
        OpenSSL's strict mode refuses; it signed ``by_plain``.
    """

    def __init__(self, directory: Path) -> None:
        self._openssl = need_program("openssl", "openssl")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        # Whom the test starts may be another user; the keys are readable to their owner alone.
        directory.chmod(0o755)
        # The machine's own would add extensions, and which differs between systems.
        self._settings = directory / "openssl.cnf"
        self._settings.write_text(_SETTINGS.format(directory=directory))
        (directory / "index").touch()
        self.authority = self._make("authority", _AUTHORITY)
        self.other = self._make("other", _AUTHORITY)
        self.plain = self._make("plain", ("basicConstraints=CA:TRUE", *_NO_IDENTIFIERS))
        self.good = self.server("good")
        self.wrong_host = self.server("wrong-host", ("DNS:elsewhere.example.test", "IP:192.0.2.1"))
        self.unknown = self.server("unknown", by=self.other)
        self.by_plain = self._make("by-plain", (*self._names(SERVER_NAMES), *_NO_IDENTIFIERS), self.plain)
        self.expired = self._expired("expired")
        self.client = self._make(CLIENT_NAME, (*_LEAF, "extendedKeyUsage=clientAuth"), self.authority)
        self.unknown_client = self._make(
            "unknown-client", (*_LEAF, "extendedKeyUsage=clientAuth"), self.other
        )

    @property
    def ca(self) -> Path:
        """The file that makes :attr:`good` good."""
        return self.authority.certificate

    @property
    def ca_directory(self) -> Path:
        """The same as :attr:`ca`, in a directory as ``openssl rehash`` leaves it."""
        directory = self.directory / "authorities"
        if not directory.exists():
            directory.mkdir()
            name = self._run("x509", "-in", self.ca, "-noout", "-subject_hash").strip()
            (directory / f"{name}.0").write_bytes(self.ca.read_bytes())
        return directory

    def server(self, name: str, names: Sequence[str] = SERVER_NAMES, by: Pair | None = None) -> Pair:
        """Another server's; ``names`` as openssl writes them, ``DNS:...`` or ``IP:...``."""
        return self._make(name, (*self._names(names), *_LEAF), by or self.authority)

    @staticmethod
    def _names(names: Sequence[str]) -> tuple[str]:
        return (f"subjectAltName={','.join(names)}",)

    def _make(self, name: str, extensions: Sequence[str], by: Pair | None = None) -> Pair:
        pair = self._pair(name)
        signed = ("-CA", by.certificate, "-CAkey", by.key) if by is not None else ()
        self._run("req", "-x509", "-days", "2", *signed, *self._subject(pair, name, extensions))
        return pair

    def _expired(self, name: str) -> Pair:
        """``openssl req`` cannot make one; the program for whole authorities can."""
        pair, request = self._pair(name), self.directory / f"{name}.csr"
        self._run(
            "req", "-new", *self._subject(pair._replace(certificate=request), name, self._names(SERVER_NAMES))
        )
        self._run(
            *("ca", "-batch", "-notext", "-config", self._settings, "-in", request, "-out", pair.certificate),
            *("-cert", self.authority.certificate, "-keyfile", self.authority.key),
            *("-startdate", "20200101000000Z", "-enddate", "20210101000000Z"),
        )
        return pair

    def _pair(self, name: str) -> Pair:
        return Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")

    def _subject(self, pair: Pair, name: str, extensions: Sequence[str]) -> list[str | Path]:
        words: list[str | Path] = [
            "-config",
            self._settings,
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        words += ["-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair.certificate]
        return words + [word for extension in extensions for word in ("-addext", extension)]

    def _run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self._openssl, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

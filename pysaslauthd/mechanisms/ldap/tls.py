"""TLS towards the directory: one context, made before the first connection.

Everything that can be wrong with files and ciphers shows here, at the start, and by the key's name. ldap3's own class
would verify nothing unless told to, read the key again at each handshake, when the worker may no longer be allowed
to, and pass over ciphers that it does not know.
"""

import contextlib
import os
import re
import ssl
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config.ldap_conf import ClientDefaults
from pysaslauthd.config.ldap_keys import LdapConf

# GnuTLS starts a priority string with one of these; none is a word of OpenSSL's.
_GNUTLS = re.compile(r"@|(NORMAL|SECURE\d*|PERFORMANCE|LEGACY|PFS|SUITEB\d+|NONE|SYSTEM)(?![A-Z0-9])")

# As "openssl rehash" names the certificates of a directory, by the hash of the subject.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")

# Where systems keep what they trust, for a Python that was built to look elsewhere.
_SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class TlsError(ValueError):
    """What the configuration says of TLS cannot be; the message names the key."""


class Copies(NamedTuple):
    """Paths to read in place of the configured ones, such as ``/proc/self/fd/7``; None for the configured one."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def is_verifying(conf: LdapConf, defaults: ClientDefaults) -> bool:
    """Whether the server has to prove who it is: yes, unless a file says no.

    Unset is yes, as in libldap; the original's documentation says otherwise, and is wrong.
    """
    if conf.tls_check_peer is not None:
        return conf.tls_check_peer
    return defaults.tls_reqcert not in {"never", "allow"}


def make_context(conf: LdapConf, defaults: ClientDefaults, copies: Copies) -> ssl.SSLContext:
    """The context of all connections.

    :raises TlsError: a file is missing or not what its key says, or no cipher is left.
    """
    # create_default_context would be strict from Python 3.13 on, and refuse private authorities without key usage
    # that have served for years.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Python's own default, but not Debian's Python's. The system may demand more.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # What the administrator lists is trusted, be it the server's own certificate: so GnuTLS, Debian's libldap.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if is_verifying(conf, defaults):
        _trust(context, conf, defaults, copies)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if conf.tls_ciphers:
        _set_ciphers(context, conf)
    if conf.tls_cert and conf.tls_key:
        _load_certificate(context, conf, copies)
    return context


def reason(error: OSError) -> str:
    """Why TLS or a socket failed, in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message or error}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError | BrokenPipeError):
        return "the server closed the connection"
    if isinstance(error, ssl.SSLError):
        return (error.reason or type(error).__name__).lower().replace("_", " ")
    return error.strerror or str(error)


def _trust(context: ssl.SSLContext, conf: LdapConf, defaults: ClientDefaults, copies: Copies) -> None:
    """The authorities of saslauthd.conf alone if it names some, else those of ldap.conf, else the system's."""
    if conf.tls_cacert_file or conf.tls_cacert_dir:
        file, directory = conf.tls_cacert_file, conf.tls_cacert_dir
        names = conf.at("tls_cacert_file"), conf.at("tls_cacert_dir")
    else:
        file, directory = defaults.tls_cacert, defaults.tls_cacertdir
        names = "ldap.conf: TLS_CACERT", "ldap.conf: TLS_CACERTDIR"
    if file:
        _trust_file(context, f"{names[0]}: {file}", copies.ca or file)
    if directory:
        _trust_directory(context, f"{names[1]}: {directory}", directory)
    if not file and not directory:
        _trust_system(context)


def _trust_file(context: ssl.SSLContext, name: str, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise TlsError(f"{name}: expected certificates in PEM form") from None
    except OSError as error:
        raise TlsError(f"{name}: {error.strerror}") from None


def _trust_directory(context: ssl.SSLContext, name: str, directory: Path) -> None:
    """OpenSSL looks for names that are hashes; GnuTLS reads all files, so where there are none we do."""
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise TlsError(f"{name}: {error.strerror}") from None
    if any(_HASHED.fullmatch(file.name) for file in files):
        context.load_verify_locations(capath=directory)
        return
    for file in files:
        with contextlib.suppress(OSError):  # of which SSLError is one
            context.load_verify_locations(cafile=file)
    if not context.cert_store_stats()["x509"]:
        raise TlsError(f"{name}: expected files with certificates in PEM form")


def _trust_system(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    if context.cert_store_stats()["x509"] or ssl.get_default_verify_paths().capath:
        return
    for store in _SYSTEM_STORES:
        if os.access(store, os.R_OK):
            context.load_verify_locations(cafile=store)
            return
    raise TlsError("ldap_tls_cacert_file: expected one, as this system has no certificates that it trusts")


def _set_ciphers(context: ssl.SSLContext, conf: LdapConf) -> None:
    try:
        context.set_ciphers(conf.tls_ciphers)
    except (ssl.SSLError, ValueError):
        found = f"expected a cipher list of OpenSSL, found {conf.tls_ciphers!r}"
        if _GNUTLS.match(conf.tls_ciphers):
            found += ", which is a priority string of GnuTLS; without the key, good ciphers are chosen"
        raise TlsError(f"{conf.at('tls_ciphers')}: {found}") from None


def _load_certificate(context: ssl.SSLContext, conf: LdapConf, copies: Copies) -> None:
    certificate, key = copies.certificate or conf.tls_cert, copies.key or conf.tls_key
    assert certificate is not None
    assert key is not None
    names = f"{conf.at('tls_cert')}: {conf.tls_cert}", f"{conf.at('tls_key')}: {conf.tls_key}"
    for name, path in zip(names, (certificate, key), strict=True):
        try:
            path.open("rb").close()  # OpenSSL would not say which of the two
        except OSError as error:
            raise TlsError(f"{name}: {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except _EncryptedError:
        raise TlsError(f"{names[1]}: has a passphrase, and nobody is there to type it") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"{names[1]}: is not the key of the certificate {conf.tls_cert}") from None
        raise TlsError(
            f"{names[0]}: expected a certificate, and in {conf.tls_key} its key, both PEM"
        ) from None


class _EncryptedError(Exception):
    """In place of the question for a passphrase that OpenSSL would ask on the terminal."""


def _no_passphrase() -> str:
    raise _EncryptedError

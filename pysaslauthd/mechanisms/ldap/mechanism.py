"""Mechanism ``ldap`` as a worker runs it, and what is looked at before its configuration counts."""

from collections.abc import Sequence
from pathlib import Path

from pysaslauthd.config.ldap_conf import ClientDefaults, LdapConfError, read_client_defaults, read_ldap_conf
from pysaslauthd.config.ldap_keys import LdapConf
from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import Answer, Cause, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.logs import log
from pysaslauthd.mechanisms.ldap import tls
from pysaslauthd.mechanisms.ldap.connect import Connector
from pysaslauthd.mechanisms.ldap.diagnosis import searched, states_of
from pysaslauthd.mechanisms.ldap.login import Directory
from pysaslauthd.mechanisms.ldap.servers import Servers
from pysaslauthd.mechanisms.ldap.trace import explaining
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.sealed import Inspection, SealedFiles

CLIENT_DEFAULTS = (Path("/etc/ldap/ldap.conf"), Path("/etc/openldap/ldap.conf"))
"""Where OpenLDAP's own settings are, on Debian and on Red Hat; saslauthd's library reads them."""


class UnusableError(Exception):
    """The configuration will not do. The message has a line for each reason."""


class Worker:
    """The mechanism in a worker. With a configuration that will not do it lives, and no login is possible."""

    def __init__(self, options: Options, files: SealedFiles) -> None:
        self._trouble = ""
        try:
            self._conf, self._connector = prepared(options, files)
            self._directory = Directory(self._conf)
        except (UnusableError, ValueError):
            # The master has logged why, when it looked at the same copies.
            self._trouble = f"{options.configuration} cannot be used"

    def begin(self) -> None:
        """On the loop that is to run it."""
        if not self._trouble:
            self._directory.begin(Servers(self._conf, self._connector))

    @property
    def is_spent(self) -> bool:
        """See :class:`ConcurrentMechanism`."""
        return not self._trouble and self._directory.is_stuck

    async def check(self, identity: Identity, password: Secret) -> Answer:
        """Ask the directory; whoever calls limits the time."""
        if self._trouble:
            return unavailable(Cause.BACKEND, self._trouble)
        return await self._directory.check(identity, password)

    async def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """See :class:`ConcurrentMechanism`."""
        if self._trouble:
            steps.note(self._trouble)
            return unavailable(Cause.BACKEND, self._trouble)
        with explaining(steps):
            return await self._directory.explain(identity, password, steps)


def inspect(options: Options, files: SealedFiles) -> Inspection:
    """What is wrong with the configuration, odd about it, and missing from ``files``."""
    try:
        conf = _read(options, files)
    except UnusableError as error:
        return Inspection(errors=tuple(str(error).splitlines()))
    further = tuple(conf.nested_files.values())
    if not all(map(files.has, further)):
        return Inspection(further=further)
    try:
        prepared(options, files)
        Directory(conf)
    except (UnusableError, ValueError) as error:
        return Inspection(errors=tuple(str(error).splitlines()), warnings=conf.warnings)
    return Inspection(warnings=conf.warnings)


def diagnose(options: Options, files: SealedFiles, identities: Sequence[Identity]) -> object:
    """The state of each server, what would be searched for each identity, and why that cannot be said; as JSON takes it."""
    try:
        conf, connector = prepared(options, files)
    except (UnusableError, ValueError) as error:
        return [], [], str(error)
    return states_of(conf, connector), [searched(conf, each) for each in identities], ""


def _read(options: Options, files: SealedFiles) -> LdapConf:
    path = options.configuration
    assert path is not None
    try:
        return read_ldap_conf(files.read(path), str(path))
    except OSError as error:
        # The original's line.
        raise UnusableError(f"Could not open saslauthd config file: {path} ({error.strerror})") from None
    except LdapConfError as error:
        raise UnusableError(str(error)) from None


def prepared(options: Options, files: SealedFiles) -> tuple[LdapConf, Connector]:
    """The configuration, and what makes connections as it says.

    :raises UnusableError: it will not do.
    :raises ValueError: the same; the message names the key.
    """
    conf = _read(options, files)
    for key, path in conf.nested_files.items():
        try:
            files.read(path)
        except OSError as error:
            raise UnusableError(f"{conf.at(key.removeprefix('ldap_'))}: {path}: {error.strerror}") from None
    copies = tls.Copies(
        ca=conf.tls_cacert_file and files.place(conf.tls_cacert_file),
        certificate=conf.tls_cert and files.place(conf.tls_cert),
        key=conf.tls_key and files.place(conf.tls_key),
    )
    return conf, Connector(conf, _client_defaults(), copies)


def _client_defaults() -> ClientDefaults:
    for path in CLIENT_DEFAULTS:
        try:
            return read_client_defaults(path.read_bytes())
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning(f"{path}: {error.strerror}")
    return read_client_defaults(b"")

"""Connections to directory servers: resolve, connect, TLS, SASL bind. Everything here blocks, and belongs in a thread.

ldap3 takes the steps; then its socket is taken from it and it is forgotten. What is put around it is there because of
its ways: a limit on each read and none on the whole, referrals followed with the password in hand, servers' states
shared between connections, certificates that are not looked at. So each attempt has objects of its own, every socket
is known to the :class:`Attempt` before anything waits in it, and TLS is a context made once.
"""

import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import ldap3
from ldap3.core.exceptions import (
    LDAPExceptionError,
    LDAPSessionTerminatedByServerError,
    LDAPStartTLSError,
)
from ldap3.protocol.sasl.sasl import send_sasl_negotiation

from pysaslauthd.config.ldap_conf import ClientDefaults
from pysaslauthd.config.ldap_keys import LdapConf, octets
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import sasl, tls
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint, place_of

__all__ = ["Attempt", "ConnectError", "Connector", "Endpoint"]

T = TypeVar("T")

_MOST_ANSWERED = 64 << 10
"""Bytes that a server may say before we take over; StartTLS and DIGEST-MD5 need some hundred, Kerberos some thousand."""

_HOSTNAME_MISMATCH = 62  # X509_V_ERR_HOSTNAME_MISMATCH

_MOST_ROUNDS = 8
"""Requests of one SASL bind; DIGEST-MD5 has two or three, Kerberos three or four."""

_LONGEST_TEXT = 200  # characters of a server's words in our log

_SUCCESS, _SASL_BIND_IN_PROGRESS, _INVALID_CREDENTIALS = 0, 14, 49


class SaslOutcome(NamedTuple):
    """The result code of a bind, and what the server said of it."""

    code: int
    text: str


class Connector:
    """Makes connections as the configuration says: one for a worker and all its threads.

    A certificate has to name the host of the URI, also where that is ``localhost``. libldap then compares
    the machine's own name in its place; that is not copied, as nobody wrote that name.

    :raises ValueError: the configuration cannot be; the message names the key.
    """

    def __init__(self, conf: LdapConf, defaults: ClientDefaults, copies: tls.Copies | None = None) -> None:
        self._conf = conf
        self._mechanism = conf.mech or defaults.sasl_mech
        if conf.use_sasl and self._mechanism:
            _check_mechanism(conf, self._mechanism)
        self._service = sasl.Account(
            octets(conf.id), conf.password, octets(conf.realm or defaults.sasl_realm), octets(conf.authz_id)
        )
        self._context: ssl.SSLContext | str
        try:
            self._context = tls.make_context(conf, defaults, copies or tls.Copies())
        except tls.TlsError as error:
            if conf.uses_tls:
                raise
            self._context = str(error)  # of no interest unless a referral leads to ldaps

    def connect(self, endpoint: Endpoint, attempt: Attempt, *, sasl_bind: bool) -> socket.socket:
        """A connection on which nothing is outstanding, not blocking; with ``sasl_bind``, bound as the service account.

        It is an :class:`ssl.SSLSocket` where TLS is used. With TLS 1.3 the server judges our certificate
        after the handshake: that it refuses it is the end of the stream, or an :class:`ssl.SSLError`, of
        what is read or written first.

        :raises ConnectError: it could not be, for whatever reason.
        """

        def finish(connection: _Connection) -> socket.socket:
            if sasl_bind:
                result = self._sasl_bind(connection, endpoint, self._service)
                if result["result"] != _SUCCESS:
                    raise _refused(result, f"{connection.sasl_mechanism}: ")
            return _take_over(connection, attempt)

        return self._with_connection(endpoint, attempt, finish)

    def sasl_verify(
        self, endpoint: Endpoint, attempt: Attempt, login: bytes, password: Secret, realm: bytes
    ) -> "SaslOutcome":
        """What a SASL bind as ``login`` came to, on a connection that ends with it.

        ``realm`` is SASL's, and counts where the server offers several or none; empty for the configured one.

        :raises ConnectError: the server could not be asked, or did not prove who it is.
        """
        if not login or not password:
            return SaslOutcome(_INVALID_CREDENTIALS, "")

        def finish(connection: _Connection) -> SaslOutcome:
            account = sasl.Account(login, password, realm or self._service.realm)
            result = self._sasl_bind(connection, endpoint, account, for_users=True)
            return SaslOutcome(int(result["result"]), str(result["message"]))

        return self._with_connection(endpoint, attempt, finish)

    def _with_connection(
        self, endpoint: Endpoint, attempt: Attempt, finish: "Callable[[_Connection], T]"
    ) -> T:
        connection = None
        try:
            attempt.check()
            connection = self._new(endpoint, attempt)
            self._open(connection, endpoint, attempt)
            return finish(connection)
        except Exception as error:  # noqa: BLE001  (ldap3 lets out whatever reading a bad answer happens to raise)
            failure = _failure(endpoint, attempt, connection, error)
        finally:
            attempt.close()
            if connection is not None:
                # It has the password in several places, and refers to itself, so that it would stay for a while.
                connection.__dict__.clear()
        # Not inside the handler: the exception handled there leads to frames that know the password.
        try:
            raise failure
        finally:
            del failure, connection  # else its traceback leads to itself

    def _new(self, endpoint: Endpoint, attempt: Attempt) -> "_Connection":
        addresses = endpoint.addresses()
        attempt.check()
        attempt.step = "connect"
        server = _Server(
            addresses,
            use_ssl=endpoint.scheme == "ldaps",
            tls=_Tls(self._context, endpoint.host.partition("%")[0].rstrip(".") or None),
            # Each address gets its share, so that a silent one does not keep us from the next.
            connect_timeout=max(1, self._conf.timeout // len(addresses)),
        )
        return _Connection(server, attempt, self._conf.timeout)

    def _open(self, connection: "_Connection", endpoint: Endpoint, attempt: Attempt) -> None:
        connection.open(read_server_info=False)
        connection.failures.clear()  # those of addresses before the one that is open
        if not self._conf.start_tls or endpoint.scheme == "ldaps":
            return
        attempt.step = "StartTLS"
        try:
            connection.start_tls(read_server_info=False)
        except LDAPStartTLSError:
            if connection.result["result"] == _SUCCESS:
                raise
            raise _refused(connection.result) from None
        if not isinstance(connection.tap.held, ssl.SSLSocket):
            raise ConnectError("not started")

    def _sasl_bind(
        self, connection: "_Connection", endpoint: Endpoint, account: sasl.Account, *, for_users: bool = False
    ) -> dict[str, Any]:
        connection.attempt.step = "SASL bind"
        properties, strength = self._conf.sasl_secprops, _strength(connection.tap.held)
        mechanism = self._mechanism
        if not mechanism:
            mechanism = sasl.choose(_offered(connection), account, properties, strength)
        sasl.check_mechanism(mechanism, for_users=for_users)
        if refusal := sasl.refusal(mechanism, properties, strength):
            raise sasl.SaslError(f"ldap_sasl_secprops: {refusal}")
        client = sasl.make_client(mechanism, account, endpoint.host)
        connection.sasl_mechanism = mechanism
        challenge: bytes | None = None
        for _ in range(_MOST_ROUNDS):
            result: dict[str, Any] = send_sasl_negotiation(connection, None, client.respond(challenge))
            if result["result"] == _SUCCESS:
                client.finish(result["saslCreds"])
            if result["result"] != _SASL_BIND_IN_PROGRESS:
                return result
            challenge = result["saslCreds"] or b""
        raise sasl.SaslError(f"{mechanism}: no end after {_MOST_ROUNDS} rounds")


class _Connection(ldap3.Connection):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's, whose sockets are known to the attempt before anything waits in them."""

    def __init__(self, server: "_Server", attempt: Attempt, timeout: int) -> None:
        self.attempt = attempt
        self.failures: list[str] = []
        super().__init__(
            server,
            auto_bind=ldap3.AUTO_BIND_NONE,
            authentication=ldap3.SASL,
            client_strategy=ldap3.SAFE_SYNC,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            raise_exceptions=False,
            receive_timeout=timeout,
            return_empty_attributes=False,
        )

    @property
    def tap(self) -> "_Tap":
        """The socket, which there is from the first address on."""
        assert self._tap is not None
        return self._tap

    @property
    def socket(self) -> "_Tap | None":
        """The name by which ldap3 has it."""
        return self._tap

    @socket.setter
    def socket(self, new: "socket.socket | None") -> None:
        if new is None:
            self._tap: _Tap | None = None
            return
        self.attempt.hold(new)
        if new.family != socket.AF_UNIX:
            # Before TLS: without it the first request after the handshake waits for 40 ms.
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._tap = _Tap(new, self)

    def note(self, place: str, error: Exception) -> None:
        """Why it did not work with an address: ldap3 keeps the text of an exception and no more."""
        why = tls.reason(error) if isinstance(error, OSError) else str(error)
        self.failures.append(f"{self.attempt.step} ({place}): {why}")


class _Tap:
    """A socket as ldap3 has it: what is read is counted, and where it does not connect is noted."""

    def __init__(self, held: socket.socket, connection: _Connection) -> None:
        self.held = held
        self._connection = connection
        self._left = _MOST_ANSWERED

    def connect(self, address: Any) -> None:
        self._connection.attempt.step = "connect"
        try:
            self.held.connect(address)
        except OSError as error:
            self._connection.note(place_of(address), error)
            raise

    def recv(self, size: int) -> bytes:
        data = self.held.recv(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"the server said more than {_MOST_ANSWERED} bytes")
        return data

    def close(self) -> None:
        self._connection.attempt.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)


class _Server(ldap3.Server):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's, with addresses found beforehand: it asks twice about a name that has none, and does not say why.

    One for each connection: it keeps the address in use, and takes that of one connection for another's.
    """

    def __init__(self, addresses: list[Any], **options: Any) -> None:
        self._addresses = addresses
        super().__init__("resolved", get_info=ldap3.NONE, allowed_referral_hosts=[], **options)

    def candidate_addresses(self) -> list[Any]:
        """As ldap3's: what getaddrinfo gives, and two places for its notes."""
        return [[*address, None, None] for address in self._addresses]


class _Tls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's, with a context that is ready: OpenSSL checks the name, and the key was read long ago."""

    def __init__(self, context: ssl.SSLContext | str, name: str | None) -> None:
        super().__init__()
        self._context = context
        self._name = name

    def wrap_socket(self, connection: _Connection, do_handshake: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  (as ldap3 calls it)
        """As ldap3's."""
        connection.attempt.step = "TLS handshake"
        place = place_of(connection.tap.getpeername())
        try:
            self._wrap(connection)
        except (OSError, ValueError, ConnectError) as error:
            connection.note(place, error)
            raise

    def _wrap(self, connection: _Connection) -> None:
        context = self._context
        if isinstance(context, str):
            raise ConnectError(context)
        if context.check_hostname and self._name is None:
            raise ConnectError("ldapi has no host for a certificate to name; it needs no ldap_start_tls")
        wrapped = context.wrap_socket(
            connection.tap.held, do_handshake_on_connect=False, server_hostname=self._name
        )
        connection.socket = wrapped
        try:
            wrapped.do_handshake()
        except ssl.SSLCertVerificationError as error:
            if self._name == "localhost" and error.verify_code == _HOSTNAME_MISMATCH:
                raise ConnectError(f"{tls.reason(error)} Name the server as its certificate does") from None
            raise
        # An anonymous cipher, to be had by @SECLEVEL=0, has no certificate that could be wrong.
        if context.verify_mode == ssl.CERT_REQUIRED and not wrapped.getpeercert(binary_form=True):
            raise ConnectError("certificate: the server has none")


def _check_mechanism(conf: LdapConf, mechanism: str) -> None:
    place = conf.at("mech") if conf.mech else "ldap.conf: SASL_MECH"
    try:
        sasl.check_mechanism(mechanism, for_users=conf.effective_method == "fastbind")
    except sasl.SaslError as error:
        raise ValueError(f"{place}: {error}") from None


def _strength(held: socket.socket) -> int:
    """The bits of security that SASL may count on, as libldap tells it."""
    cipher = held.cipher() if isinstance(held, ssl.SSLSocket) else None
    if cipher is not None:
        return int(cipher[2])
    return sasl.LOCAL_STRENGTH if held.family == socket.AF_UNIX else 0


def _offered(connection: _Connection) -> set[str]:
    attribute = "supportedSASLMechanisms"
    _, result, response, _ = connection.search("", "(objectClass=*)", ldap3.BASE, attributes=[attribute])
    if result["result"] != _SUCCESS:
        raise _refused(result, "reading the mechanisms that it offers: ")
    values = [value for entry in response for value in entry.get("raw_attributes", {}).get(attribute, [])]
    return {value.decode(errors="replace").upper() for value in values}


def _take_over(connection: _Connection, attempt: Attempt) -> socket.socket:
    held = connection.tap.held
    if isinstance(held, ssl.SSLSocket) and held.pending():
        raise ConnectError("the server said more than it was asked")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
    held.setblocking(False)
    connection.closed = True
    return attempt.give()


def _refused(result: dict[str, Any], what: str = "") -> ConnectError:
    code, text = result["result"], result["message"][:_LONGEST_TEXT]
    words = f"{what}refused with code {code} ({result['description']})"
    return ConnectError(f"{words}: {text}" if text else words, code)


def _failure(
    endpoint: Endpoint, attempt: Attempt, connection: _Connection | None, error: Exception
) -> ConnectError:
    """What to raise for ``error``: with its words, and with nothing that leads to it."""
    code = error.code if isinstance(error, ConnectError) else None
    if attempt.is_cancelled:
        why = f"{attempt.step}: given up"
    elif connection is not None and connection.failures:
        why = "; ".join(connection.failures)
    else:
        why = f"{attempt.step}: {_why(error)}"
    return ConnectError(f"{endpoint.uri}: {why}", code)


def _why(error: BaseException) -> str:
    while isinstance(error, LDAPExceptionError) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, ConnectError | sasl.SaslError):
        return str(error)
    if isinstance(error, LDAPSessionTerminatedByServerError):
        return "the server closed the connection"
    if isinstance(error, OSError):
        return tls.reason(error)
    # Not its text: that may be about what was sent.
    return f"the server's answer is not understood ({type(error).__name__})"

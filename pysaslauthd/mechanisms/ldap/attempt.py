"""Where a connection is to go, and one that is on its way there."""

import contextlib
import re
import socket
import threading
import urllib.parse
from encodings import idna, punycode  # noqa: F401  (else Python reads them at the first name, when it may not be let)
from typing import Any, NamedTuple

# Where libldap looks for ldapi:/// as Debian builds it, and as others do.
_LOCAL_SOCKETS = ("/run/slapd/ldapi", "/run/ldapi")

_PORTS = {"ldap": 389, "ldaps": 636, "ldapi": 0}


class ConnectError(Exception):
    """Our side broke: the message is a line for the log, with the endpoint and the step, and without a secret.

    :ivar code: the result code with which the server refused StartTLS or the SASL bind; None if it did not.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Endpoint(NamedTuple):
    """Where a server listens. ``path`` counts with ldapi alone, ``host`` and ``port`` with the others."""

    uri: str
    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, uri: str) -> "Endpoint":
        """From a URI as in ``ldap_servers`` or in a referral, whose DN and filter do not count here.

        :raises ValueError: it is none, with what was expected.
        """
        scheme, separator, rest = uri.partition("://")
        scheme = scheme.lower()
        if scheme not in _PORTS or not separator or "\0" in uri:
            raise ValueError(f"{uri}: expected ldap://, ldaps:// or ldapi://")
        if scheme == "ldapi":
            path = urllib.parse.unquote(re.split("[/?]", rest)[0], errors="surrogateescape")
            return cls(uri, scheme, "", 0, path)
        try:
            parts = urllib.parse.urlsplit(uri)
            port = parts.port
            # In the form that the resolver and TLS take. No host is this machine, as with libldap.
            host = urllib.parse.unquote(parts.hostname or "localhost").encode("idna").decode()
        except ValueError as error:  # of which UnicodeError is one
            raise ValueError(f"{uri}: {error}") from None
        if "@" in parts.netloc or port == 0 or not all("!" <= letter <= "~" for letter in host):
            raise ValueError(f"{uri}: expected a host, and a port from 1 to 65535 if it is not the usual one")
        return cls(uri, scheme, host, port or _PORTS[scheme], "")

    def addresses(self) -> list[tuple[Any, ...]]:
        """Where that is, as :func:`socket.getaddrinfo` says it and in its order. This asks the resolver.

        :raises OSError: nowhere, or the resolver does not know.
        """
        if self.scheme == "ldapi":
            paths = (self.path,) if self.path else _LOCAL_SOCKETS
            return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path) for path in paths]
        return list(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))


def place_of(address: Any) -> str:
    """The address of a socket, for the log."""
    return str(address if isinstance(address, str) else address[0])


class Attempt:
    """One connection in the making, which its owner can give up from any thread.

    The owner also is who limits it as a whole: ldap3 limits each read, so a server that says a byte now
    and then would hold it for ever.

    :ivar step: where it is, for the log of who gives it up.
    """

    def __init__(self) -> None:
        self.step = "resolve"
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cancelled = False
        self._is_given = False

    def cancel(self) -> None:
        """Give it up: what waits on the socket ends now, and whatever still comes of it is closed.

        That goes for a socket that has been returned, too: it may have been in the moment in which its
        owner lost patience. Only the resolver cannot be interrupted; it comes back when its own limits
        end, and then nothing follows.
        """
        with self._lock:
            self.is_cancelled = True
            if self._socket is None:
                return
            with contextlib.suppress(OSError):
                # An SSLSocket's own shutdown ends TLS, and who uses it goes on in clear.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            if self._is_given:
                self._close()

    def check(self) -> None:
        """For the connector, before a step that no socket can end.

        :raises ConnectError: it was cancelled.
        """
        if self.is_cancelled:
            raise ConnectError("given up")

    def hold(self, new: socket.socket) -> None:
        """For the connector: ``new`` is the socket from now on, and one before it is closed.

        :raises ConnectError: it was cancelled, and ``new`` is closed.
        """
        with self._lock:
            self._close()
            self._socket = new
            if self.is_cancelled:
                self._close()
            self.check()

    def give(self) -> socket.socket:
        """For the connector: the socket, its owner's from now on.

        :raises ConnectError: it was cancelled.
        """
        with self._lock:
            self.check()
            assert self._socket is not None
            self._is_given = True
            return self._socket

    def close(self) -> None:
        """For the connector: the socket ends here, unless it was given."""
        with self._lock:
            if not self._is_given:
                self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

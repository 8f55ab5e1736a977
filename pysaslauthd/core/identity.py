"""Who logs in, as cache, mechanism and log see it."""

import re
from typing import NamedTuple

from pysaslauthd.core.wire import Request

_NO_SERVICE = re.compile(rb"\A\.|[\x00-\x1f/\x7f]")


class Identity(NamedTuple):
    """A request without its password, after the realm policy.

    ``realm`` is always the one of the wire, also when it was joined to the login.
    """

    login: bytes
    service: bytes
    realm: bytes
    client_address: bytes | None

    @property
    def remote_host(self) -> bytes:
        """The client's address without its port; empty if the request had none."""
        return (self.client_address or b"").partition(b";")[0]


def identify(request: Request, *, append_realm: bool) -> Identity:
    """Apply the realm policy: with ``append_realm`` (``-r``) a realm that is there joins the login.

    As in the original, a login that has an ``@`` already gets the realm all the same.
    """
    login = request.login
    if append_realm and request.realm:
        login = login + b"@" + request.realm
    return Identity(login, request.service, request.realm, request.client_address)


def is_service_name(service: bytes) -> bool:
    """Whether a service may be looked up as a file: no ``/``, no dot in front, no control character.

    PAM itself takes what is behind the last ``/``, so ``../../tmp/x`` would be another way to say
    ``x``; nobody needs one.
    """
    return _NO_SERVICE.search(service) is None

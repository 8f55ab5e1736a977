"""Who logs in, as cache, mechanism and log see it."""

from typing import NamedTuple

from pysaslauthd.core.wire import Request


class Identity(NamedTuple):
    """A request without its password, after the realm policy.

    ``realm`` is always the one of the wire, also when it was joined to the login.
    """

    login: bytes
    service: bytes
    realm: bytes
    client_address: bytes | None


def identify(request: Request, *, append_realm: bool) -> Identity:
    """Apply the realm policy: with ``append_realm`` (``-r``) a realm that is there joins the login.

    As in the original, a login that has an ``@`` already gets the realm all the same.
    """
    login = request.login
    if append_realm and request.realm:
        login = login + b"@" + request.realm
    return Identity(login, request.service, request.realm, request.client_address)

"""Who logs in, as cache, mechanism and log see it."""

import enum
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


class RealmPolicy(enum.StrEnum):
    """What the mechanism is to see as the login."""

    LOGIN = "login"
    """The login as it came."""
    APPEND = "login@realm"
    """With the realm, if there is one: the original's ``-r``. A login that has an ``@`` already gets it all the same."""
    APPEND_MISSING = "login@realm unless it has one"
    """The same for a login without an ``@``."""
    STRIP = "strip"
    """Without what is behind the last ``@``."""


def identify(request: Request, policy: RealmPolicy) -> Identity:
    """Who logs in, after the realm policy."""
    login = request.login
    if policy is RealmPolicy.STRIP:
        # Nothing would be left of "@realm": that is no login with a realm, but a strange one.
        login = login.rpartition(b"@")[0] or login
    elif request.realm and (
        policy is RealmPolicy.APPEND or (policy is RealmPolicy.APPEND_MISSING and b"@" not in login)
    ):
        login = login + b"@" + request.realm
    return Identity(login, request.service, request.realm, request.client_address)


def realm_of(request: Request) -> bytes:
    """The realm that a request is about: its own, or what is behind the last ``@`` of its login; empty for none."""
    if request.realm or b"@" not in request.login:
        return request.realm
    return request.login.rpartition(b"@")[2]


def is_service_name(service: bytes) -> bool:
    """Whether a service may be looked up as a file: no ``/``, no dot in front, no control character.

    PAM itself takes what is behind the last ``/``, so ``../../tmp/x`` would be another way to say
    ``x``; nobody needs one.
    """
    return _NO_SERVICE.search(service) is None

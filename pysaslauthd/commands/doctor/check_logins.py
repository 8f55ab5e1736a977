"""What becomes of a login on the way from a mail program to the mechanism. Pure."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from pysaslauthd.commands.doctor.accounts import Accounts
from pysaslauthd.commands.doctor.findings import Finding, note, problem, warning
from pysaslauthd.commands.doctor.own import Own
from pysaslauthd.commands.doctor.programs import Client
from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.config.options import Options
from pysaslauthd.core.identity import Identity, RealmPolicy, identify
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request


class Travelled(NamedTuple):
    """A login as it was typed, as a client sends it, and as the mechanisms see it."""

    typed: str
    client: Client
    request: Request
    identity: Identity

    @property
    def realm(self) -> str:
        """What was typed behind the last ``@``, or what the client has in its place."""
        return self.typed.rpartition("@")[2] if "@" in self.typed else self.client.realm

    @property
    def whole(self) -> str:
        """The login with the realm, once."""
        return self.typed if "@" in self.typed or not self.realm else f"{self.typed}@{self.realm}"

    @property
    def sent(self) -> str:
        """What the client sends, in words."""
        parts = [f"login {_text(self.request.login)}"]
        parts.append(f"realm {_text(self.request.realm)}" if self.request.realm else "no realm")
        parts.append(f"service {_text(self.request.service)}" if self.request.service else "no service")
        return ", ".join(parts)


def travelled(typed: str, client: Client, policy: RealmPolicy) -> Travelled:
    """What a login becomes. libsasl cuts the blanks around it, and splits it at its last ``@``."""
    login, realm = typed, client.realm
    if client.splits_logins:
        login = login.strip()
        user, at, behind = login.rpartition("@")
        login, realm = (user, behind) if at else (login, client.realm)
    request = Request(os.fsencode(login), Secret(b""), client.service.encode(), os.fsencode(realm))
    return Travelled(typed, client, request, identify(request, policy))


def mechanisms_for(options: Options, request: Request) -> tuple[Mechanism, ...]:
    """Who is asked: by the first table that fits, else by the setting."""
    service, realm = os.fsdecode(request.service).lower(), os.fsdecode(request.realm).lower()
    for table in options.chains:
        services, realms = ({name.lower() for name in names} for names in (table.services, table.realms))
        if (not services or service in services) and (not realms or realm in realms):
            return table.mechanism
    return options.mechanism


def check_login(login: Travelled, own: Own, accounts: Accounts) -> Iterator[Finding]:
    """What the mechanisms see that know no realm, and whether that is whom was meant."""
    options = own.options
    if options is None:
        return
    seen = _text(login.identity.login)
    rows = mechanisms_for(options, login.request)
    for row in rows:
        yield note(
            "login-seen",
            f"{login.typed}: {login.client.what} sends {login.sent}; {row.name} looks for {seen}"
            if not row.uses_realm
            else f"{login.typed}: {login.client.what} sends {login.sent}; {row.name} gets login {seen}",
        )
    if login.realm and seen.endswith(f"@{login.realm}@{login.realm}"):
        yield problem(
            "realm-doubled",
            f"{login.typed}: {login.client.what} sends {login.sent}, and with realm_policy"
            f" {options.settings.realm_policy} ({own.origins['realm_policy']}) the mechanism looks for {seen}",
            *own.set("realm_policy", f'"{RealmPolicy.APPEND_MISSING}"'),
            *own.reload(),
        )
        return
    for row in rows:
        if not row.uses_realm and login.realm and seen != login.whole:
            yield from _stripped(login, row, own, accounts)


def _stripped(login: Travelled, row: Mechanism, own: Own, accounts: Accounts) -> Iterator[Finding]:
    seen = _text(login.identity.login)
    is_known, is_whole_known = (accounts.person(name) is not None for name in (seen, login.whole))
    if is_known and not is_whole_known:
        return
    text = (
        f"{login.typed}: {row.name} looks for {seen} and not for {login.whole}, as the realm goes its own way"
    )
    lines = (*own.set("realm_policy", f'"{RealmPolicy.APPEND}"'), *own.reload())
    if is_whole_known and not is_known:
        yield problem(
            "realm-stripped", f"{text}; this machine has a user {login.whole} and none called {seen}", *lines
        )
    elif is_whole_known:
        yield warning("realm-stripped", f"{text}; this machine has both users", *lines)
    else:
        yield warning("realm-stripped", f"{text}; this machine has no user of either name", *lines)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")

"""The path of one login through the directory: the methods bind, custom and fastbind, and the group check.

What each step came to is for the log at debug: "it says NO" has a dozen reasons. A step ends in one
of two ways that are no success: :class:`RefusedError` is the user's side, :class:`TroubleError` ours.
"""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pysaslauthd.config.ldap_keys import LdapConf, octets
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import passwords
from pysaslauthd.mechanisms.ldap.attempt import Endpoint
from pysaslauthd.mechanisms.ldap.channel import Channel, Found
from pysaslauthd.mechanisms.ldap.codec import Code, Done, Entry, Search
from pysaslauthd.mechanisms.ldap.dn_cache import DnCache
from pysaslauthd.mechanisms.ldap.referrals import targets
from pysaslauthd.mechanisms.ldap.searches import NO_ATTRIBUTES, SearchTemplate, as_text, dn_template
from pysaslauthd.mechanisms.ldap.servers import NoServerError, Purpose, Servers, describe_code
from pysaslauthd.mechanisms.ldap.tokens import DnTemplate, Template, UnfitValueError, values_of
from pysaslauthd.mechanisms.ldap.trace import explained
from pysaslauthd.mechanisms.steps import Steps

_WRONG_PASSWORD = frozenset({Code.INVALID_CREDENTIALS, Code.NO_SUCH_OBJECT, Code.INVALID_DN_SYNTAX})
_NO_SUCH_ACCOUNT_NOW = frozenset(
    {
        Code.CONSTRAINT_VIOLATION,  # 389 and eDirectory: too many wrong passwords
        Code.INAPPROPRIATE_AUTHENTICATION,  # an entry without a password
        Code.INSUFFICIENT_ACCESS_RIGHTS,
        Code.UNWILLING_TO_PERFORM,  # an account that is locked, or not active
    }
)
"""Refusals of a bind that are the account's; all codes that are in neither set are our side's."""

_SASL_UNKNOWN = ("user not found", "unable to canonify user")
"""What slapd adds to ``other`` for a user that SASL does not know, in libsasl's words, by mechanism."""

_NO_ENTRY = frozenset({Code.SUCCESS, Code.NO_SUCH_OBJECT})
_NOT_A_MEMBER = frozenset({Code.COMPARE_FALSE, Code.NO_SUCH_OBJECT, Code.NO_SUCH_ATTRIBUTE})

MOST_VALUES = 16
"""Of a password attribute that are compared; a comparison may take seconds, and nobody has so many passwords."""

Values = dict[str, bytes]
Ask = Callable[[Callable[[Channel], Awaitable[Found]]], Awaitable[Found]]


class RefusedError(Exception):
    """The user's side. ``reason`` is what the failure line says, the message what the log says at debug."""

    def __init__(self, cause: Cause, reason: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.reason = reason


class TroubleError(Exception):
    """Our side broke; the message says how."""


class Directory:
    """Checks logins as one ``saslauthd.conf`` says.

    :raises ValueError: a filter or DN of it cannot be; the message names the key.
    """

    def __init__(self, conf: LdapConf) -> None:
        self._conf = conf
        self._limit = float(conf.timeout)
        self._default_realm = octets(conf.default_realm)
        method = conf.effective_method
        self._method = {"bind": self._bind, "custom": self._custom, "fastbind": self._fastbind}[method]
        self._user_search: SearchTemplate | None = None
        self._user_name: DnTemplate | None = None
        if method == "fastbind":
            self._user_name = dn_template(conf, "filter", conf.filter)
        else:
            wanted = (octets(conf.password_attr),) if method == "custom" else NO_ATTRIBUTES
            self._user_search = SearchTemplate.of(
                conf, ("search_base", conf.search_base), ("filter", conf.filter), conf.scope, wanted
            )
        self._group_name = self._group_search = None
        if conf.effective_group_method == "attr":
            if conf.use_sasl and method == "fastbind":
                raise ValueError(
                    f"{conf.at('group_dn')}: there is no DN to compare it with, as users bind by SASL;"
                    " expected ldap_group_filter"
                )
            self._group_name = dn_template(conf, "group_dn", conf.group_dn)
        elif conf.effective_group_method == "filter":
            texts = conf.group_filter + conf.effective_group_search_base
            if conf.use_sasl and method == "fastbind" and "D" in Template.parse(texts).letters:
                raise ValueError(f"{conf.at('group_filter')}: %D is not known, as users bind by SASL")
            base = ("group_search_base", conf.effective_group_search_base)
            self._group_search = SearchTemplate.of(
                conf, base, ("group_filter", conf.group_filter), conf.group_scope, NO_ATTRIBUTES
            )
        self._names = DnCache(conf.dn_cache)
        self._hashing = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="ldap-crypt")
        self._servers: Servers

    def begin(self, servers: Servers) -> None:
        """To be called on the loop, before the first login."""
        self._servers = servers

    @property
    def is_stuck(self) -> bool:
        """Whether no login will ever come through again in this process."""
        return self._servers.is_stuck

    async def check(self, identity: Identity, password: Secret) -> Answer:
        """Whether ``password`` is that of ``identity``. Whoever calls limits the whole of it."""
        if not password:
            return _refusal(identity, RefusedError(Cause.REQUEST, "Empty password", "an empty password"))
        return await self._outcome(identity, lambda values: self._method(values, password))

    async def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """See :class:`ConcurrentMechanism`. To be called where ``steps`` takes what is :func:`explained`."""
        steps.note(f"method {self._conf.effective_method}; servers {' '.join(self._conf.servers)}")
        if password:
            answer = await self.check(identity, password)
        else:
            answer = await self._outcome(identity, self._look)
        for detail in answer.details:
            steps.note(detail)
        return answer

    async def _outcome(self, identity: Identity, action: Callable[[Values], Awaitable[None]]) -> Answer:
        """What the action comes to, for the values of this login."""
        values = values_of(identity, self._default_realm, domain_falls_back=self._conf.domain_from_realm)
        try:
            await action(values)
        except RefusedError as refused:
            return _refusal(identity, refused)
        except UnfitValueError as error:
            return _refusal(identity, RefusedError(Cause.UNKNOWN_USER, "User not found", str(error)))
        except (NoServerError, TroubleError) as error:
            detail = f"ldap: {_shown(identity)}: {error}"
            return Answer(Verdict.UNAVAILABLE, Cause.BACKEND, f"ldap: {error}", details=(detail,))
        return ACCEPTED

    async def _look(self, values: Values) -> None:
        """What can be done without a password."""
        if self._user_search is None:
            name = b"" if self._user_name is None else self._user_name.fill(values)
            _note(lambda: f"the user's DN is {as_text(name)}; without a password nobody is asked about it")
            return
        entry = (await self._find(values)).entry
        if self._conf.effective_method == "custom":
            stored = self._stored(entry)
            _note(lambda: f"{self._conf.password_attr} has {len(stored)} values: {_schemes(stored)}")
        await self._check_group(values | {"D": entry.dn}, self._ask)

    async def _bind(self, values: Values, password: Secret) -> None:
        # Where it is to be seen how the DN is found, one that is known does not count.
        name = self._names.get(values) if explained() is None else None
        refusal = await self._refusal_of(name, password) if name is not None else None
        if name is None or refusal is not None:
            self._names.forget(values)
            user = await self._find(values)
            if refusal is not None and user.entry.dn == name:
                raise refusal  # it has not been renamed since
            name = user.entry.dn
            await self._verify(name, password, user)
            await self._check_group(values | {"D": name}, self._ask)
            if user.place is None:
                self._names.put(values, name)
        else:
            await self._check_group(values | {"D": name}, self._ask)

    async def _refusal_of(self, name: bytes, password: Secret) -> RefusedError | None:
        try:
            await self._verify(name, password, None)
        except RefusedError as refusal:
            return refusal
        return None

    async def _custom(self, values: Values, password: Secret) -> None:
        entry = (await self._find(values)).entry
        stored = self._stored(entry)
        _note(lambda: f"{self._conf.password_attr} has {len(stored)} values: {_schemes(stored)}")
        if not await self._fits(stored, password):
            raise RefusedError(Cause.WRONG_PASSWORD, "Invalid password", _about(entry.dn, "wrong password"))
        await self._check_group(values | {"D": entry.dn}, self._ask)

    def _stored(self, entry: Entry) -> list[bytes]:
        """The values of the password attribute."""
        return entry.attributes.get(octets(self._conf.password_attr).lower(), [])

    async def _fastbind(self, values: Values, password: Secret) -> None:
        if self._conf.use_sasl:
            await self._sasl_bind(values, password)
            return
        assert self._user_name is not None
        name = self._user_name.fill(values)
        if not name:
            raise RefusedError(
                Cause.UNKNOWN_USER, "User not found", "ldap_filter makes an empty DN of this login"
            )

        async def action(channel: Channel) -> Done:
            done = await channel.bind(name, password, self._conf.effective_version, self._limit)
            if done.code == Code.SUCCESS:
                # On the same connection: there may be no other account that can look at groups.
                await self._check_group(values | {"D": name}, lambda ask: ask(channel))
            return done

        done = await self._servers.use(Purpose.BIND, action)
        _note(lambda: f"bind as {as_text(name)}: {_told(done)}")
        _judge(done, name)

    async def _sasl_bind(self, values: Values, password: Secret) -> None:
        login, realm = values["u"], values["r"]
        if b"@" not in login:
            login += values["R"]
        outcome = await self._servers.run(
            lambda connector, endpoint, attempt: connector.sasl_verify(
                endpoint, attempt, login, password, realm
            )
        )
        is_unknown = outcome.code == Code.OTHER and any(text in outcome.text for text in _SASL_UNKNOWN)
        # To the client this is no other answer than that to a wrong password.
        text = "" if password.is_in(outcome.text.encode()) else outcome.text
        _judge_code(Code.INVALID_CREDENTIALS if is_unknown else outcome.code, text, login)
        await self._check_group(values, self._ask)

    async def _find(self, values: Values) -> "_User":
        """The one entry of the user, and where that is."""
        assert self._user_search is not None
        search = self._user_search.fill(values)
        _note(functools.partial(self._user_search.describe, "user", values))
        found, found_at = await self._servers.find(lambda channel: channel.search(search, self._limit))
        place = None
        if self._conf.referrals:
            found, place = await self._followed(search, found)
        where = f"user search below {search.base.decode(errors='replace') or 'the root'}"
        if found.number > 1 or (found.code == Code.SIZE_LIMIT_EXCEEDED and found.number):
            raise RefusedError(Cause.UNKNOWN_USER, "User not found", f"{where}: more than one entry")
        if found.code == Code.INVALID_DN_SYNTAX and self._user_search.base.template.letters:
            raise RefusedError(Cause.UNKNOWN_USER, "User not found", f"{where}: {_told(found.done)}")
        if found.code not in _NO_ENTRY:
            raise TroubleError(f"{where}: {_told(found.done)}")
        if not found.number:
            raise RefusedError(Cause.UNKNOWN_USER, "User not found", f"{where}: no entry")
        entry = found.entries[0]
        if not entry.dn:
            raise TroubleError(f"{where}: an entry without a name")
        _note(lambda: f"found {as_text(entry.dn)}")
        return _User(entry, place, found_at)

    async def _verify(self, name: bytes, password: Secret, user: "_User | None") -> None:
        """Bind as ``name``, which is that of ``user`` if it was looked up just now."""
        if user is None or user.place is not None:
            done = await self._bind_at(name, password, user and user.place)
        else:
            done = await self._servers.bind(self._bind_action(name, password), user.found_at)
        if done.code == Code.REFERRAL and self._conf.referrals:
            for target in targets(done.referrals, self._servers.knows):
                name = target.name or name
                done = await self._bind_at(name, password, target.endpoint)
                break
        _note(lambda: f"bind as {as_text(name)}: {_told(done)}")
        _judge(done, name)

    async def _bind_at(self, name: bytes, password: Secret, place: Endpoint | None) -> Done:
        return await self._servers.use(Purpose.BIND, self._bind_action(name, password), place)

    def _bind_action(self, name: bytes, password: Secret) -> Callable[[Channel], Awaitable[Done]]:
        return lambda channel: channel.bind(name, password, self._conf.effective_version, self._limit)

    async def _fits(self, stored: list[bytes], password: Secret) -> bool:
        """Whether it is the password of any of the attribute's values."""
        unusable = ""
        for value in stored[:MOST_VALUES]:
            try:
                if passwords.is_slow(value):
                    loop = asyncio.get_running_loop()
                    fits = await loop.run_in_executor(self._hashing, passwords.matches, value, password)
                else:
                    fits = passwords.matches(value, password)
            except passwords.UnusableHashError as error:
                unusable = str(error)
            except passwords.ComparisonFailedError as error:
                raise TroubleError(str(error)) from None
            else:
                if fits:
                    return True
        if unusable:
            raise RefusedError(Cause.WRONG_PASSWORD, "Invalid password", f"wrong password, or {unusable}")
        return False

    async def _check_group(self, values: Values, ask: Ask) -> None:
        if self._group_name is not None:
            name = self._group_name.fill(values)
            if not name:
                raise _not_a_member("ldap_group_dn makes an empty DN of this login")
            attribute = octets(self._conf.group_attr)

            async def compare(channel: Channel) -> Found:
                done = await channel.compare(name, attribute, values["D"], self._limit)
                return Found(done, (), 0, ())

            _note(
                lambda: (
                    f"group {as_text(name)}: has {self._conf.group_attr} the value {as_text(values['D'])}?"
                )
            )
            found = await ask(compare)
            where = f"group {name.decode(errors='replace')}"
            if found.code in _NOT_A_MEMBER:
                raise _not_a_member(f"{where}: {describe_code(found.code)}")
            if found.code != Code.COMPARE_TRUE:
                raise TroubleError(f"{where}: {_told(found.done)}")
            _note(lambda: "the group has this user")
        elif self._group_search is not None:
            search = self._group_search.fill(values)
            _note(functools.partial(self._group_search.describe, "group", values))
            found = await ask(lambda channel: channel.search(search, self._limit))
            where = f"group search below {search.base.decode(errors='replace') or 'the root'}"
            if found.number:
                _note(lambda: "the group has this user")
                return
            if found.code not in _NO_ENTRY:
                raise TroubleError(f"{where}: {_told(found.done)}")
            raise _not_a_member(f"{where}: no entry")

    async def _ask(self, action: Callable[[Channel], Awaitable[Found]]) -> Found:
        return await self._servers.use(Purpose.SEARCH, action)

    async def _followed(self, search: Search, found: Found) -> tuple[Found, Endpoint | None]:
        """With what those of our servers found to which ``found`` refers, and where the last entry is."""
        is_elsewhere = found.code == Code.REFERRAL
        uris = found.done.referrals if is_elsewhere else found.references
        done, entries, number, place = found.done, found.entries, found.number, None
        for target in targets(uris, self._servers.knows):
            there = target.search(search, continues=not is_elsewhere)
            other = await self._search_at(there, target.endpoint)
            entries += other.entries
            number += other.number
            place = target.endpoint if other.number else place
            if done.code == Code.REFERRAL or (done.code in _NO_ENTRY and other.code not in _NO_ENTRY):
                done = other.done  # one that went wrong is not made good by another
        return Found(done, entries, number, ()), place

    async def _search_at(self, search: Search, place: Endpoint) -> Found:
        return await self._servers.use(
            Purpose.SEARCH, lambda channel: channel.search(search, self._limit), place
        )


class _User(NamedTuple):
    """An entry, at which server alone it is if a referral led there, and which server was asked."""

    entry: Entry
    place: Endpoint | None
    found_at: Endpoint


def _note(make: Callable[[], str]) -> None:
    """Take down a step, which is only made where somebody wants to know."""
    steps = explained()
    if steps is not None:
        steps.note(make())


def _schemes(stored: list[bytes]) -> str:
    return ", ".join(map(passwords.kind_of, stored[:MOST_VALUES])) or "none"


def _judge(done: Done, name: bytes) -> None:
    _judge_code(done.code, done.text.decode(errors="replace"), name)


def _judge_code(code: int, text: str, name: bytes) -> None:
    if code == Code.SUCCESS:
        return
    told = f"{describe_code(code)} {text}".rstrip()
    if code in _WRONG_PASSWORD:
        raise RefusedError(Cause.WRONG_PASSWORD, "Invalid password", _about(name, f"bind refused: {told}"))
    if code in _NO_SUCH_ACCOUNT_NOW:
        raise RefusedError(Cause.ACCOUNT, "Bind refused", _about(name, f"bind refused: {told}"))
    raise TroubleError(f"bind: {told}")


def _told(done: Done) -> str:
    return f"{describe_code(done.code)} {done.text.decode(errors='replace')}".rstrip()


def _about(name: bytes, text: str) -> str:
    return f"{name.decode(errors='replace')}: {text}"


def _not_a_member(text: str) -> RefusedError:
    return RefusedError(Cause.ACCOUNT, "Group member check failed", text)


def _refusal(identity: Identity, refused: RefusedError) -> Answer:
    detail = f"ldap: {_shown(identity)}: {refused}"
    return Answer(Verdict.REJECT, refused.cause, refused.reason, details=(detail,))


def _shown(identity: Identity) -> str:
    """The login as in the original's line of this kind."""
    text = identity.login.decode(errors="replace")
    return f"{text}/{identity.realm.decode(errors='replace')}" if identity.realm else text

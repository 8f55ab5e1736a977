"""What a mechanism says of those whom it has to ask, found out by a process without rights.

Root neither reads what a directory's owner wrote nor talks to it. The process that does ends with its limit, whatever
it waits for.
"""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from pysaslauthd.config.options import Options
from pysaslauthd.core.identity import Identity
from pysaslauthd.master import privileges
from pysaslauthd.master.inspection import asked, inspected
from pysaslauthd.master.privileges import Rights
from pysaslauthd.sealed import SealedFiles

LIMIT = 30.0
"""Seconds for all servers together; they are asked at once, and each has the seconds of ``ldap_timeout`` for a step."""


class ServerState(NamedTuple):
    """A server of the configuration. ``trouble`` is empty if it answers."""

    uri: str
    host: str
    port: int
    is_ldaps: bool
    line: int
    """Of the configuration, where it is named; 0 if nowhere."""
    trouble: str


class Searched(NamedTuple):
    """What would be looked for. ``empty_domain``: a domain is asked for, and the login has none."""

    filter: str
    base: str
    empty_domain: bool


class Diagnosis(NamedTuple):
    """What a mechanism says. With ``trouble`` nothing else is known."""

    servers: tuple[ServerState, ...] = ()
    searches: tuple[Searched, ...] = ()
    trouble: str = ""


def diagnosis_of(options: Options, identities: Sequence[Identity]) -> Diagnosis | None:
    """Have the mechanism of ``options``, which are for one alone, try its servers, and fill its filter for each identity.

    None for a mechanism that has no server, or whose configuration will not do, which :mod:`examine` says.
    """
    module = importlib.import_module(options.row.module)
    diagnose = getattr(module, "diagnose", None)
    if diagnose is None or options.configuration is None:
        return None
    try:
        user, _ = privileges.unprivileged_user(options.user)
    except LookupError as error:
        return Diagnosis(trouble=str(error.args[0]))
    files = SealedFiles()
    try:
        files.add(options.configuration)
        inspected(files, lambda copies: module.inspect(options, copies), Rights(user))
        answer = asked(
            files, lambda copies: diagnose(options, copies, tuple(identities)), Rights(user), LIMIT
        )
    except OSError as error:
        return Diagnosis(trouble=f"no process to be had that asks them: {error.strerror}")
    finally:
        files.close()
    return decoded(answer, len(identities))


def decoded(answer: Any, identities: int) -> Diagnosis | None:
    """What that process said of so many identities. It talks to strangers, and is not believed to keep to a form.

    None if it said that the configuration will not do.
    """
    if answer is None:
        return Diagnosis(trouble=f"the process that asks them died, or took {LIMIT:g} s")
    try:
        servers, searches, trouble = answer
        states = [ServerState(*_fitting(each, (str, str, int, bool, int, str))) for each in servers]
        filled = [Searched(*_fitting(each, (str, str, bool))) for each in searches]
        if not trouble and len(filled) != identities:
            raise ValueError
    except (TypeError, ValueError):
        return Diagnosis(trouble="the process that asks them said what nobody understands")
    return None if trouble else Diagnosis(tuple(states), tuple(filled))


def _fitting(values: Any, kinds: tuple[type, ...]) -> list[Any]:
    """``values``, if they are of these kinds.

    :raises TypeError: they are not.
    :raises ValueError: there are more or fewer.
    """
    for value, kind in zip(values, kinds, strict=True):
        if type(value) is not kind:
            raise TypeError
    return list(values)

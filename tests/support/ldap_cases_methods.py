"""Files that say how users and groups are found and passwords compared."""

from support.ldap_cases import (
    ALL_VALUES,
    CUT,
    EMPTY_DN,
    GROUP_FILTER,
    GROUP_LIMIT,
    HEAD,
    INJECTION,
    MORE_SCHEMES,
    PASS_THE_HASH,
    PERCENT,
    SERVICE,
    Ask,
    Case,
    ask,
    right,
    unavailable,
    wrong,
)
from support.ldap_directory import (
    INNER,
    NO_PASSWORD,
    ODD_PASSWORDS,
    OTHER_TWIN,
    REALM_USERS,
    STRANGE_NAMES,
    TWIN,
    TWO_PASSWORDS,
    U0,
    U1,
    user,
)
from support.ldap_schemes import BROKEN, CLASSIC, NEWER, scheme_person

COMMON = (
    right(U0),
    wrong(U0),
    ask("u0", U1.password),
    right(U1),
    ask("nobody", "nobody's Secret"),
    ask("U0", U0.password, "OK"),
    ask("u0", U0.password.upper()),
    ask("u0 ", U0.password, "OK"),
)
"""The login as slapd compares it: neither case nor outer blanks count."""

INJECTIONS = tuple(
    ask(login, U0.password)
    for login in (
        "*",
        "u*",
        "u0)(uid=*",
        "*)(uid=*))(|(uid=*",
        "u0)",
        "u0\\",
        "\\75\\30",
        "u0\\00",
        "u0,ou=people",
        b"u0\xff",
    )
)

FASTBIND = "ldap_servers: $ldap\nldap_auth_method: fastbind\n"
CUSTOM = HEAD + SERVICE + "ldap_auth_method: custom\n"


def _odd_passwords(method: str) -> tuple[Ask, ...]:
    """Right ones and wrong ones; what is longer than 127 bytes is cut by the original's binds."""
    asks: list[Ask] = []
    for name, person in ODD_PASSWORDS.items():
        if name == "hash":
            asks += [right(person, "NO")] if method != "custom" else []
        elif len(person.password) > 127 and method != "custom":
            asks.append(right(person, "NO", ours="OK", because=CUT))
        else:
            asks.append(right(person))
        asks.append(wrong(person))
    return tuple(asks)


_CUT = (
    right(ODD_PASSWORDS["127"]),
    ask("odd-127", ODD_PASSWORDS["127"].password + b"more", "OK", ours="NO", because=CUT),
    ask("odd-126", ODD_PASSWORDS["126"].password + b"more"),
    ask("odd-127", ODD_PASSWORDS["127"].password[:126]),
)

SEARCHES = (
    Case("anonymous", HEAD, COMMON + INJECTIONS),
    Case("service-account", HEAD + SERVICE, COMMON + INJECTIONS),
    Case(
        "strange-names", HEAD + SERVICE, tuple(f(p) for p in STRANGE_NAMES.values() for f in (right, wrong))
    ),
    Case("odd-passwords", HEAD, _odd_passwords("bind") + _CUT),
    Case("scope-one", HEAD + "ldap_scope: one\n", COMMON),
    Case(
        "scope-one-above",
        "ldap_servers: $ldap\nldap_search_base: $suffix\nldap_scope: one\n",
        (right(U0, "NO"),),
    ),
    Case(
        "scope-base",
        "ldap_servers: $ldap\nldap_search_base: uid=%u,$people\nldap_scope: base\nldap_filter: (objectClass=*)\n",
        (right(U0), wrong(U0), ask("nobody", "x"), right(U1)),
    ),
    Case("base-missing", "ldap_servers: $ldap\n", (right(U0, "NO"),)),
    Case(
        "base-unknown",
        "ldap_servers: $ldap\nldap_search_base: ou=none,$suffix\n",
        (right(U0, "NO"), wrong(U0)),
    ),
    Case("filter-without-parentheses", HEAD + "ldap_filter: uid=%u\n", COMMON + INJECTIONS),
    Case(
        "filter-of-three",
        HEAD + "ldap_filter: (&(objectClass=inetOrgPerson)(|(uid=%u)(cn=%u))(!(uid=u1)))\n",
        (right(U0), wrong(U0), right(U1, "NO"), *INJECTIONS),
    ),
    Case("filter-substring", HEAD + "ldap_filter: (mail=%u@mail.*)\n", (right(U0), wrong(U0), *INJECTIONS)),
    Case("filter-escapes", HEAD + r"ldap_filter: (\75id=%u)" + "\n", (right(U0, "NO"),)),
    Case("filter-bad", HEAD + "ldap_filter: (&(uid=%u)\n", unavailable(U0)),
    Case(
        "filter-everybody", HEAD + "ldap_filter: (uid=u0)\n", (ask("whoever", U0.password, "OK"), wrong(U0))
    ),
    Case("time-limit", HEAD + "ldap_time_limit: 0\nldap_timeout: 3\n", COMMON[:3]),
    Case(
        "duplicates",
        "ldap_servers: $ldap\nldap_search_base: $suffix\n",
        (right(TWIN, "NO"), right(OTHER_TWIN, "NO"), right(U0), wrong(U0)),
    ),
    Case(
        "duplicates-and-no-limit",
        "ldap_servers: $ldap\nldap_search_base: $suffix\nldap_size_limit: 0\n",
        (right(TWIN, "NO"), right(OTHER_TWIN, "NO"), right(U0)),
    ),
    Case(
        "duplicates-apart",
        "ldap_servers: $ldap\nldap_search_base: ou=%r,$suffix\n",
        (
            right(TWIN, realm="people"),
            right(OTHER_TWIN, realm="others"),
            right(OTHER_TWIN, "NO", realm="people"),
        ),
    ),
)
"""How one entry is found."""

_JOE, _OTHER_JOE, _SUB_JOE = (REALM_USERS[realm] for realm in ("one.test", "two.test", "sub.one.test"))
_REALMS = "ldap_servers: $ldap\nldap_search_base: o={},$realms\nldap_filter: (uid=%U)\n"


def _joe(login: str, password: bytes, reference: str = "NO", **more: str) -> Ask:
    return ask(login, password, reference, **more)


TOKENS = (
    Case(
        "realm",
        _REALMS.format("%r"),
        (
            right(_JOE, realm="one.test"),
            right(_OTHER_JOE, realm="two.test"),
            right(_JOE, "NO", realm="two.test"),
            right(_JOE, "NO", realm="none.test"),
            right(_JOE, "NO", realm="x,o=one.test"),
            right(_JOE, "NO", realm="*"),
            right(_JOE, "NO", realm="one.test)(o=*"),
            right(_JOE, realm="ONE.test"),
            ask("joe@two.test", _JOE.password, "OK", realm="one.test"),
        ),
    ),
    Case("realm-missing", _REALMS.format("%r"), (right(_JOE, "NO"),)),
    Case(
        "default-realm",
        _REALMS.format("%r") + "ldap_default_realm: one.test\n",
        (right(_JOE), wrong(_JOE), right(_OTHER_JOE, realm="two.test"), right(_OTHER_JOE, "NO")),
    ),
    Case(
        "default-domain",
        _REALMS.format("%r") + "ldap_default_domain: two.test\n",
        (right(_OTHER_JOE), wrong(_JOE)),
    ),
    Case(
        "domain",
        _REALMS.format("%d"),
        (
            ask("joe@one.test", _JOE.password, "OK"),
            ask("joe@two.test", _JOE.password),
            ask("joe@two.test", _OTHER_JOE.password, "OK", realm="one.test"),
            right(_JOE, "NO", realm="one.test"),
            ask("joe@", _JOE.password, realm="one.test"),
            ask("joe@one.test@two.test", _JOE.password),
        ),
    ),
    Case(
        "domain-and-default-realm",
        _REALMS.format("%d") + "ldap_default_realm: one.test\n",
        (right(_JOE, "NO"), ask("joe@two.test", _OTHER_JOE.password, "OK")),
    ),
    Case(
        "realm-appended",
        _REALMS.format("%d"),
        (right(_JOE, realm="one.test"), right(_JOE, "NO"), right(_OTHER_JOE, "NO", realm="one.test")),
        options=("-r",),
    ),
    Case(
        "labels",
        _REALMS.format("%2.%1"),
        (
            ask("joe@one.test", _JOE.password, "OK"),
            ask("joe@sub.one.test", _JOE.password, "OK"),
            right(_JOE, realm="one.test"),
            right(_JOE, realm="deep.sub.one.test"),
            right(_JOE, "NO", realm="test"),
            ask("joe@two.test", _OTHER_JOE.password, "OK", realm="one.test"),
            ask("joe@one..test", _JOE.password),
            ask("joe@", _JOE.password, "OK", realm="one.test"),
        ),
    ),
    Case(
        "three-labels",
        _REALMS.format("%3.%2.%1"),
        (ask("joe@sub.one.test", _SUB_JOE.password, "OK"), ask("joe@one.test", _JOE.password)),
    ),
    Case(
        "realm-with-at",
        HEAD + "ldap_filter: (mail=%U%R)\n",
        (
            right(U0, realm="mail.test"),
            right(U0, "NO"),
            wrong(U0, realm="mail.test"),
            ask("u0@x", U0.password, "OK", realm="mail.test"),
            right(U0, "NO", realm="*"),
        ),
    ),
    Case(
        "whole-login",
        HEAD + "ldap_filter: (mail=%u)\n",
        (ask("u0@mail.test", U0.password, "OK"), right(U0, "NO"), right(U0, "NO", realm="mail.test")),
    ),
    Case(
        "service",
        _REALMS.format("%s"),
        (
            right(REALM_USERS["imap"]),
            right(REALM_USERS["smtp"], service="smtp"),
            right(REALM_USERS["imap"], "NO", service="smtp"),
            right(_JOE, "NO", service="x,o=one.test"),
        ),
    ),
    Case("percent", HEAD + "ldap_filter: (|(uid=%u)(cn=100%%)(cn=%x%0none))\n", COMMON[:5]),
    Case(
        "percent-at-the-end",
        HEAD + "ldap_filter: uid=%u%\n",
        (right(U0, "NO", ours="OK", because=PERCENT), wrong(U0)),
    ),
    Case("unused-dn-token", HEAD + "ldap_filter: (&(uid=%u)(!(cn=x%D)))\n", COMMON[:3]),
)
"""What goes into filters and bases."""

_STORED = {**NEWER, **BROKEN}


def _typed(name: str) -> Ask:
    """Typing what is stored."""
    stored = scheme_person(name).stored[0]
    if name == "no-end" or stored.startswith(b" "):
        return ask(f"scheme-{name}", stored, "OK")
    if stored.upper().startswith((b"{CRYPT}", b"{MD5}", b"{SHA}", b"{SSHA}")):
        return ask(f"scheme-{name}", stored)
    return ask(f"scheme-{name}", stored, "OK", ours="NO", because=PASS_THE_HASH)


def _newer(name: str) -> Ask:
    return right(scheme_person(name), "NO", ours="OK", because=MORE_SCHEMES)


COMPARISONS = (
    Case("custom", CUSTOM, COMMON + INJECTIONS),
    Case("custom-schemes", CUSTOM, tuple(f(scheme_person(name)) for name in CLASSIC for f in (right, wrong))),
    Case(
        "custom-newer-schemes",
        CUSTOM,
        (
            *(_newer(name) for name in NEWER),
            *(wrong(scheme_person(name)) for name in NEWER),
            *(_typed(name) for name in NEWER),
        ),
    ),
    Case(
        "custom-broken",
        CUSTOM,
        (
            *(right(scheme_person(name), "NO") for name in BROKEN if name != "cleartext"),
            _newer("cleartext"),
            *(_typed(name) for name in BROKEN),
        ),
    ),
    Case("custom-odd-passwords", CUSTOM, _odd_passwords("custom")),
    Case(
        "custom-values",
        CUSTOM,
        (
            ask("two-passwords", "new one", "OK"),
            ask("two-passwords", "old one", ours="OK", because=ALL_VALUES),
            right(NO_PASSWORD, "NO"),
            wrong(TWO_PASSWORDS),
        ),
    ),
    Case("custom-without-rights", HEAD + "ldap_auth_method: custom\n", (right(U0, "NO"), wrong(U0))),
    Case("custom-attribute", CUSTOM + "ldap_password_attr: sn\n", (ask("u0", "x", "OK"), right(U0, "NO"))),
    Case(
        "custom-duplicates", CUSTOM.replace("$people", "$suffix"), (right(TWIN, "NO"), right(U0), wrong(U0))
    ),
    Case(
        "bind-schemes",
        HEAD,
        (
            *(right(scheme_person(name)) for name in CLASSIC if name != "unix"),
            *(wrong(scheme_person(name)) for name in CLASSIC),
            *(right(scheme_person(name), "NO") for name in BROKEN),
            right(NO_PASSWORD, "NO"),
            right(TWO_PASSWORDS),
            ask("two-passwords", "new one", "OK"),
        ),
    ),
    Case(
        "fastbind",
        FASTBIND + "ldap_filter: uid=%u,$people\n",
        (
            right(U0),
            wrong(U0),
            right(U1),
            ask("u0", U1.password),
            ask("nobody", "x"),
            right(U0),
            right(INNER, "NO"),
            ask(f"{INNER.login},ou=inner", INNER.password, "OK", ours="NO", because=INJECTION),
            *INJECTIONS,
        ),
    ),
    Case(
        "fastbind-odd-passwords",
        FASTBIND + "ldap_filter: uid=%u,$people\n",
        _odd_passwords("fastbind") + _CUT,
    ),
    Case(
        "fastbind-realms",
        FASTBIND + "ldap_filter: uid=%U,o=%r,$realms\nldap_default_realm: one.test\n",
        (right(_JOE), right(_OTHER_JOE, realm="two.test"), right(_JOE, "NO", realm="two.test")),
    ),
    Case(
        "fastbind-empty",
        FASTBIND + "ldap_filter: %r\n",
        (
            ask("u0", "anything", "OK", ours="NO", because=EMPTY_DN),
            ask("nobody", "anything", "OK", ours="NO", because=EMPTY_DN),
            ask("u0", "x", realm="nonsense"),
        ),
    ),
)
"""How a password is compared."""

_FILTER_GROUP = HEAD + "ldap_group_match_method: filter\nldap_group_search_base: $groups\nldap_group_filter: "
_MEMBERS = (
    right(U0),
    wrong(U0),
    right(U1, "NO"),
    right(STRANGE_NAMES["comma"]),
    right(STRANGE_NAMES["jürgen"]),
)

GROUP_CASES = (
    Case("group", HEAD + "ldap_group_dn: $staff\n", _MEMBERS),
    Case("group-service-account", HEAD + SERVICE + "ldap_group_dn: $staff\n", _MEMBERS),
    Case("group-custom", CUSTOM + "ldap_group_dn: $staff\n", _MEMBERS),
    Case(
        "group-fastbind",
        FASTBIND + "ldap_filter: uid=%u,$people\nldap_group_dn: $staff\n",
        (right(U0), wrong(U0), right(U1, "NO"), right(U0)),
    ),
    Case(
        "group-attribute",
        HEAD + "ldap_group_dn: $admins\nldap_group_attr: member\n",
        (right(U0), right(U1, "NO"), right(STRANGE_NAMES["comma"], "NO")),
    ),
    Case(
        "group-by-service",
        HEAD + "ldap_group_dn: cn=%s,$groups\n",
        (
            right(U0, service="staff"),
            right(U1, "NO", service="staff"),
            right(U0, "NO", service="nobody"),
            right(U0, "NO", service="no-such"),
            right(U0, "NO", service="x,cn=staff"),
        ),
    ),
    Case("group-of-another-attribute", HEAD + "ldap_group_dn: $admins\n", (right(U0, "NO"),)),
    Case("group-filter", _FILTER_GROUP + "(&(objectClass=groupOfUniqueNames)(uniqueMember=%D))\n", _MEMBERS),
    Case(
        "group-filter-by-login",
        _FILTER_GROUP + "(&(cn=mail)(memberUid=%u))\n",
        (right(U0), wrong(U0), right(U1, "NO"), right(user(2)), *INJECTIONS),
    ),
    Case(
        "group-filter-of-two",
        _FILTER_GROUP + "(memberUid=%u)\n",
        (right(U0, "NO", ours="OK", because=GROUP_LIMIT), right(U1, "NO")),
    ),
    Case(
        "group-filter-and-size",
        _FILTER_GROUP + "(memberUid=%u)\nldap_size_limit: 5\n",
        (right(U0), right(U1, "NO")),
    ),
    Case(
        "group-filter-scopes", _FILTER_GROUP + "(memberUid=%u)\nldap_group_scope: base\n", (right(U0, "NO"),)
    ),
    Case(
        "group-filter-base",
        HEAD.replace("$people", "$suffix") + "ldap_group_match_method: filter\n"
        "ldap_group_filter: (&(cn=mail)(memberUid=%u))\n",
        (right(U0), right(U1, "NO")),
    ),
    Case(
        "group-filter-with-dn",
        _FILTER_GROUP.replace("$groups", "%D") + "(uid=u0)\n",
        (right(U0), right(U1, "NO")),
    ),
    Case(
        "group-filter-without-method",
        HEAD + "ldap_group_search_base: $groups\nldap_group_filter: (uniqueMember=%D)\n",
        (right(U0, "NO", ours="OK", because=GROUP_FILTER), right(U1, "NO"), wrong(U0)),
    ),
    Case(
        "group-method-without-filter",
        HEAD + "ldap_group_dn: $staff\nldap_group_match_method: filter\n",
        unavailable(U0),
    ),
)
"""Who has to be in a group."""

"""Files that say how an entry is found, and what goes into filters and bases."""

from support.ldap_cases import (
    HEAD,
    PERCENT,
    SERVICE,
    Case,
    ask,
    right,
    unavailable,
    wrong,
)
from support.ldap_directory import (
    OTHER_TWIN,
    REALM_USERS,
    STRANGE_NAMES,
    TWIN,
    U0,
    U1,
)

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

SEARCHES = (
    Case("anonymous", HEAD, COMMON + INJECTIONS),
    Case("service-account", HEAD + SERVICE, COMMON + INJECTIONS),
    Case(
        "strange-names", HEAD + SERVICE, tuple(f(p) for p in STRANGE_NAMES.values() for f in (right, wrong))
    ),
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
    Case("filter-escapes", HEAD + r"ldap_filter: (\75id=%u)" + "\n", unavailable(U0)),
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

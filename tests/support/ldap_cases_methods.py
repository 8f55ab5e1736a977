"""Files that say how passwords are compared, and who has to be in a group."""

from support.ldap_cases import (
    ALL_VALUES,
    CUT,
    EMPTY_DN,
    GROUP_FILTER,
    GROUP_LIMIT,
    HEAD,
    INJECTION,
    LONGER,
    MORE_SCHEMES,
    PASS_THE_HASH,
    SERVICE,
    Ask,
    Case,
    ask,
    right,
    unavailable,
    wrong,
)
from support.ldap_cases_searches import COMMON, INJECTIONS
from support.ldap_directory import (
    INNER,
    NO_PASSWORD,
    ODD_PASSWORDS,
    REALM_USERS,
    STRANGE_NAMES,
    TWIN,
    TWO_PASSWORDS,
    U0,
    U1,
    user,
)
from support.ldap_schemes import BROKEN, CLASSIC, NEWER, scheme_person

FASTBIND = "ldap_servers: $ldap\nldap_auth_method: fastbind\n"
CUSTOM = HEAD + SERVICE + "ldap_auth_method: custom\n"


def _odd_passwords(method: str) -> tuple[Ask, ...]:
    """Right ones and wrong ones; what is longer than 127 bytes is cut by the original's binds."""
    asks: list[Ask] = []
    for name, person in ODD_PASSWORDS.items():
        if name == "hash":
            # A hash that is too short, in which custom crashes the original.
            asks += [right(person, "NO")] if method != "custom" else []
            continue
        if len(person.password) > 127 and method != "custom":
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

_JOE, _OTHER_JOE = REALM_USERS["one.test"], REALM_USERS["two.test"]


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
    Case("bind-odd-passwords", HEAD, _odd_passwords("bind") + _CUT),
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
            *(
                right(scheme_person(name), "NO")
                for name in BROKEN
                if name not in {"cleartext", "md5-longer", "sha-longer"}
            ),
            right(scheme_person("md5-longer"), ours="NO", because=LONGER),
            right(scheme_person("sha-longer"), ours="NO", because=LONGER),
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

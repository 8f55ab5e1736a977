"""Files that are written in ways that people write them, and the daemons read differently."""

from support.ldap_cases import (
    HEAD,
    SERVICE,
    STRICT,
    TOLERANT,
    WORDS,
    Case,
    ask,
    right,
    unavailable,
    wrong,
)
from support.ldap_directory import U0, U1

_GOOD = (right(U0), wrong(U0), right(U1))
_TOLERATED = (
    right(U0, "NO", ours="OK", because=TOLERANT),
    wrong(U0),
    right(U1, "NO", ours="OK", because=TOLERANT),
)
_STRICT_NO = (
    right(U0, "NO", ours="-", because=STRICT),
    ask("u0", "x", ours="-", because=STRICT),
)
_STRICT_OK = (
    right(U0, ours="-", because=STRICT),
    ask("u0", "x", ours="-", because=STRICT),
)

FILES = (
    Case(
        "comments-and-blanks",
        "# all\n\n   \n  # more\n\tldap_servers:$ldap\n   ldap_search_base:   $people\n#ldap_filter: (uid=x)\n",
        _GOOD,
    ),
    Case("no-newline-at-the-end", HEAD.rstrip("\n"), _GOOD),
    Case("upper-case-keys", HEAD.replace("ldap_", "LDAP_").replace("search", "Search"), _GOOD),
    Case("values-in-capitals", HEAD + "ldap_scope: SUB\nldap_auth_method: CUSTOM\n" + SERVICE, _GOOD),
    Case("alias-of-the-password", HEAD + SERVICE.replace("ldap_password", "ldap_bind_pw"), _GOOD),
    Case(
        "last-one-counts", "ldap_servers: $dead\nldap_filter: (uid=x)\nldap_filter: (uid=%u)\n" + HEAD, _GOOD
    ),
    Case("unknown-keys", HEAD + "ldap_serverz: x\nkrb5_keytab: /etc/keytab\nnonsense: 1\n", _GOOD),
    Case("dos-lines", HEAD.replace("$ldap", "$ldap/").replace("\n", "\r\n"), _GOOD),
    Case("blank-before-the-colon", HEAD.replace(":", " :", 1), _TOLERATED),
    Case("equals-sign", HEAD.replace(": ", "=", 1), unavailable(U0)),
    Case("no-colon", HEAD + "ldap_scope sub\n", unavailable(U0)),
    Case("empty-value", HEAD + "ldap_filter:\n", unavailable(U0)),
    Case("blank-value", HEAD + "ldap_filter:   \n", unavailable(U0)),
    Case("blank-behind-the-password", HEAD + SERVICE.rstrip("\n") + "  \n", _TOLERATED),
    Case("dos-line-of-the-password", HEAD + SERVICE.replace("\n", "\r\n"), _TOLERATED),
    Case("quotes", HEAD.replace("$people", '"$people"'), _TOLERATED),
    Case("comment-behind", HEAD + "ldap_filter: (uid=%u) # the user\n", unavailable(U0)),
    Case("long-comment", "# " + "x" * 5000 + "\n" + HEAD, _TOLERATED),
    Case("empty", "", unavailable(U0)),
    Case("timeout-of-letters", HEAD + "ldap_timeout: abc\n", _STRICT_NO),
    Case("number-and-more", HEAD + "ldap_size_limit: 5 entries\n", _GOOD),
    Case("unknown-scope", HEAD + "ldap_scope: subtree\n", _STRICT_OK),
    Case("unknown-method", HEAD + "ldap_auth_method: search\n", _STRICT_OK),
    Case(
        "custom-and-then-bind", HEAD + SERVICE + "ldap_auth_method: custom\nldap_auth_method: bind\n", _GOOD
    ),
    Case(
        "one-and-then-sub",
        "ldap_servers: $ldap\nldap_search_base: $suffix\nldap_scope: one\nldap_scope: sub\n",
        (right(U0, "NO", ours="OK", because=WORDS), wrong(U0)),
    ),
)

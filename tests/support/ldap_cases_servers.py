"""Files that say which servers there are and how they are spoken to."""

from support.ldap_cases import (
    ANONYMOUS,
    CIPHERS,
    CUT,
    HEAD,
    SERVICE,
    SKIPS,
    SWITCH,
    UNAVAILABLE,
    Case,
    ask,
    right,
    unavailable,
    wrong,
)
from support.ldap_directory import ODD_PASSWORDS, U0, U1, person

CHECKED = (right(U0), wrong(U0), right(U1), ask("nobody", "x"))

BUSY = person("busy", b"busy's")
"""Whose bind is answered with busy (51)."""


def _servers(servers: str, more: str = "") -> str:
    return f"ldap_servers: {servers}\nldap_search_base: $people\n{more}"


SERVERS = (
    Case("two-servers", _servers("$ldap $ldaps", "ldap_tls_cacert_file: $ca\n"), CHECKED),
    Case("first-refuses", _servers("$dead $ldap"), CHECKED),
    Case("second-refuses", _servers("$ldap $dead"), CHECKED),
    Case("comma-between", _servers("$dead,$ldap"), CHECKED),
    Case("all-refuse", _servers("$dead $dead/"), unavailable(U0)),
    Case(
        "first-is-silent",
        _servers("$silent $ldap", "ldap_timeout: 1\n"),
        (
            right(U0, "NO", ours="OK", because=SKIPS),
            right(U0, "NO", ours="OK", because=SKIPS),
        ),
    ),
    Case("all-are-silent", _servers("$silent", "ldap_timeout: 1\n"), unavailable(U0)[:1]),
    Case("local-socket", _servers("$ldapi"), CHECKED),
    Case("slash-behind", _servers("$ldap/"), CHECKED),
    Case("no-uri", _servers("127.0.0.1"), unavailable(U0)),
    Case("version-2", HEAD + "ldap_version: 2\n", CHECKED),
    Case("version-2-refused", _servers("$strict", "ldap_version: 2\n"), unavailable(U0)),
    Case("wrong-service-password", HEAD + "ldap_bind_dn: $reader\nldap_password: wrong\n", unavailable(U0)),
    Case(
        "unknown-service-account", HEAD + "ldap_bind_dn: cn=no,$suffix\nldap_password: x\n", unavailable(U0)
    ),
    Case(
        "service-without-password",
        HEAD + "ldap_bind_dn: $reader\n",
        (right(U0, "NO", ours="OK", because=ANONYMOUS), wrong(U0)),
    ),
    Case("anonymous-refused", _servers("$strict"), unavailable(U0)),
    Case("anonymous-refused-to-others", _servers("$strict", SERVICE), CHECKED),
    Case(
        "anonymous-refused-fastbind",
        "ldap_servers: $strict\nldap_auth_method: fastbind\nldap_filter: uid=%u,$people\n",
        CHECKED,
    ),
    Case("user-is-busy", HEAD, (right(BUSY, "NO", ours="-", because=UNAVAILABLE), right(U0))),
    Case(
        "fastbind-errors",
        "ldap_servers: $ldap\nldap_auth_method: fastbind\nldap_filter: cn=%u,$errors\n",
        tuple(ask(name, "x", ours="-", because=UNAVAILABLE) for name in ("busy", "moved", "gone")),
    ),
    Case("search-is-busy", _servers("$ldap").replace("$people", "cn=busy,$errors"), unavailable(U0)),
    Case(
        "search-ends-the-connection", _servers("$ldap").replace("$people", "cn=gone,$errors"), unavailable(U0)
    ),
    Case(
        "search-gets-a-notice",
        _servers("$ldap").replace("$people", "cn=%r,$errors"),
        (right(U0, "NO", realm="none"),),
    ),
    Case(
        "references",
        _servers("$ldap").replace("$people", "$referrals"),
        (right(person("referred", b"referred's")), ask("referred", "x"), right(U0, "NO")),
    ),
    Case("referral", _servers("$ldap").replace("$people", "ou=moved,$referrals"), unavailable(U0)),
    Case(
        "referral-followed",
        _servers("$ldap", "ldap_referrals: yes\n").replace("$people", "ou=moved,$referrals"),
        (right(U0), wrong(U0)),
    ),
    Case("alias-ignored", _servers("$ldap").replace("$people", "$others"), (right(U0, "NO"),)),
    Case(
        "alias-followed",
        _servers("$ldap", "ldap_deref: always\n").replace("$people", "$others"),
        (right(U0), wrong(U0)),
    ),
    Case(
        "alias-searched",
        _servers("$ldap", "ldap_deref: search\n").replace("$people", "$others"),
        (right(U0), wrong(U0)),
    ),
    Case(
        "alias-found",
        _servers("$ldap", "ldap_deref: find\n").replace("$people", "$others"),
        (right(U0, "NO"),),
    ),
    Case(
        "size-of-the-server",
        _servers("$strict", SERVICE + "ldap_size_limit: 0\nldap_filter: (objectClass=inetOrgPerson)\n"),
        (right(U0, "NO"),),
    ),
)

_TLS = "ldap_start_tls: yes\n"
_CA = "ldap_tls_cacert_file: $ca\n"

ENCRYPTED = (
    Case("starttls", HEAD + _TLS + _CA, CHECKED),
    Case("ldaps", _servers("$ldaps", _CA), CHECKED),
    Case("ldaps-ca-directory", _servers("$ldaps", "ldap_tls_cacert_dir: $ca_directory\n"), CHECKED),
    Case(
        "starttls-fastbind",
        "ldap_servers: $ldap\nldap_auth_method: fastbind\nldap_filter: uid=%u,$people\n" + _TLS + _CA,
        CHECKED,
    ),
    Case("starttls-unknown-ca", HEAD + _TLS, unavailable(U0)),
    Case("ldaps-unknown-ca", _servers("$ldaps"), unavailable(U0)),
    Case("ldaps-other-ca", _servers("$unknown", _CA), unavailable(U0)),
    Case("ldaps-wrong-host", _servers("$wrong_host", _CA), unavailable(U0)),
    Case("ldaps-expired", _servers("$expired", _CA), unavailable(U0)),
    Case("ldaps-not-checked", _servers("$expired $wrong_host", "ldap_tls_check_peer: no\n"), CHECKED),
    Case("ldaps-checked", _servers("$ldaps", _CA + "ldap_tls_check_peer: yes\n"), CHECKED),
    Case("ldaps-checked-unknown", _servers("$ldaps", "ldap_tls_check_peer: yes\n"), unavailable(U0)),
    Case(
        "Yes-to-the-check",
        _servers("$ldaps", "ldap_tls_check_peer: Yes\n"),
        (right(U0, ours="-", because=SWITCH), ask("u0", "wrong", ours="-", because=SWITCH)),
    ),
    Case("Yes-to-starttls", HEAD + "ldap_start_tls: Yes\n", (right(U0, ours="-", because=SWITCH),)),
    Case("On-to-starttls", HEAD + "ldap_start_tls: On\n" + _CA, CHECKED),
    Case("client-defaults", _servers("$ldaps"), CHECKED, client_defaults="TLS_CACERT $ca\n"),
    Case("client-defaults-no-check", _servers("$ldaps"), CHECKED, client_defaults="TLS_REQCERT never\n"),
    Case(
        "client-defaults-base", "ldap_servers: $ldap\n", (right(U0, "NO"),), client_defaults="BASE $people\n"
    ),
    Case("starttls-over-tls", _servers("$ldaps", _CA + _TLS), unavailable(U0)),
    Case(
        "client-certificate",
        _servers("$demanding", _CA + "ldap_tls_cert: $client_cert\nldap_tls_key: $client_key\n"),
        CHECKED,
    ),
    Case("no-client-certificate", _servers("$demanding", _CA), unavailable(U0)),
    Case(
        "other-client-certificate",
        _servers("$demanding", _CA + "ldap_tls_cert: $other_cert\nldap_tls_key: $other_key\n"),
        unavailable(U0),
    ),
    Case("private-authority", _servers("$by_plain", "ldap_tls_cacert_file: $plain\n"), CHECKED),
    Case("no-ca-file", _servers("$ldaps", "ldap_tls_cacert_file: /nonexistent/ca.pem\n"), unavailable(U0)),
    Case(
        "ciphers",
        _servers("$ldaps", _CA + "ldap_tls_ciphers: NORMAL\n"),
        (right(U0, ours="-", because=CIPHERS),),
    ),
)

_SASL = "ldap_use_sasl: yes\nldap_mech: DIGEST-MD5\nldap_id: reader\nldap_password: $reader_password\n"
_READ = HEAD + "ldap_auth_method: custom\n"

SASL = (
    Case("sasl-custom", _READ + _SASL, CHECKED),
    Case(
        "sasl-custom-aliases",
        _READ + _SASL.replace("ldap_id", "ldap_sasl_authc_id").replace("ldap_mech", "ldap_sasl_mech"),
        CHECKED,
    ),
    Case("sasl-custom-wrong", _READ + _SASL.replace("$reader_password", "wrong"), unavailable(U0)),
    Case("sasl-custom-unknown-mech", _READ + _SASL.replace("DIGEST-MD5", "NONSENSE"), unavailable(U0)),
    Case(
        "sasl-external",
        "ldap_servers: $demanding\nldap_search_base: $people\nldap_auth_method: custom\nldap_use_sasl: yes\nldap_mech: EXTERNAL\n"
        + _CA
        + "ldap_tls_cert: $client_cert\nldap_tls_key: $client_key\n",
        CHECKED,
    ),
    Case(
        "sasl-fastbind",
        HEAD + "ldap_use_sasl: yes\nldap_mech: DIGEST-MD5\n",
        (
            right(U0),
            wrong(U0),
            ask("nobody", "x"),
            right(ODD_PASSWORDS["126"]),
            right(ODD_PASSWORDS["255"], "NO", ours="OK", because=CUT),
        ),
    ),
    Case(
        "sasl-fastbind-group",
        HEAD + "ldap_use_sasl: yes\nldap_mech: DIGEST-MD5\nldap_group_dn: $staff\n",
        unavailable(U0),  # ours refuses the file: no DN is known that the group could have
    ),
)

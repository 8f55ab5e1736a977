"""saslauthd.conf: what the original takes, what it gets wrong, and what nobody could take."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config import ldap_conf
from pysaslauthd.config.complaints import MOST_MESSAGES
from pysaslauthd.config.ldap_conf import (
    LARGEST_FILE,
    ClientDefaults,
    LdapConfError,
    read_client_defaults,
    read_ldap_conf,
)
from pysaslauthd.config.ldap_keys import (
    KEYS,
    LARGEST_INTEGER,
    LdapConf,
    SecurityProperties,
    explanations,
    octets,
)
from pysaslauthd.core.secret import Secret


def read(data: bytes) -> LdapConf:
    return read_ldap_conf(data, "F")


def told(data: bytes) -> list[str]:
    """The warnings on a file that can be used."""
    return list(read(data).warnings)


def refused(data: bytes) -> list[str]:
    """The errors of one that cannot."""
    with pytest.raises(LdapConfError) as caught:
        read(data)
    return str(caught.value).split("\n")


IN_CLEAR = "passwords go to {} in clear, for who is on the way to read; ldap_start_tls: yes helps"


class TestTypicalFiles:
    def test_of_debian(self) -> None:
        conf = read(
            b"# /etc/saslauthd.conf\n"
            b"ldap_servers: ldap://127.0.0.1/ ldap://10.1.1.25:1389/\n"
            b"ldap_version: 3\n"
            b"ldap_timeout: 10\n"
            b"ldap_time_limit: 10\n"
            b"ldap_scope: sub\n"
            b"ldap_search_base: ou=people,dc=example,dc=org\n"
            b"ldap_auth_method: bind\n"
            b"ldap_bind_dn: cn=saslauthd,dc=example,dc=org\n"
            b"ldap_bind_pw: geheim\n"
            b"ldap_filter: (&(uid=%u)(objectClass=person))\n"
            b"ldap_debug: 0\n"
            b"\n"
            b"ldap_start_tls: no\n"
        )
        assert conf.servers == ("ldap://127.0.0.1/", "ldap://10.1.1.25:1389/")
        assert (conf.timeout, conf.time_limit) == (10, 10)
        assert conf.bind_dn == "cn=saslauthd,dc=example,dc=org"
        assert conf.password == Secret(b"geheim")
        assert conf.filter == "(&(uid=%u)(objectClass=person))"
        assert conf.warnings == (f"F:2: ldap_servers: {IN_CLEAR.format('ldap://10.1.1.25:1389/')}",)

    def test_of_red_hat(self) -> None:
        conf = read(
            b"ldap_servers: ldaps://ldap1.example.org/,ldaps://ldap2.example.org/\n"
            b"ldap_use_sasl: yes\n"
            b"ldap_mech: digest-md5\n"
            b"ldap_auth_method: fastbind\n"
            b"ldap_tls_cacert_file: /etc/pki/tls/certs/ca-bundle.crt\n"
            b"ldap_tls_check_peer: yes\n"
            b"krb5_keytab: /etc/krb5.keytab\n"
            b"krb5_smtp_instance: mail\n"
        )
        assert conf.servers == ("ldaps://ldap1.example.org/", "ldaps://ldap2.example.org/")
        assert conf.mech == "DIGEST-MD5"
        assert conf.effective_method == "fastbind"
        assert conf.nested_files == {"ldap_tls_cacert_file": Path("/etc/pki/tls/certs/ca-bundle.crt")}
        assert conf.warnings == ()

    def test_of_active_directory(self) -> None:
        conf = read(
            b"ldap_servers: ldap://dc1.ad.example.org\n"
            b"ldap_auth_method: fastbind\n"
            b"ldap_filter: %u@ad.example.org\n"
        )
        assert (conf.effective_method, conf.filter) == ("fastbind", "%u@ad.example.org")
        assert conf.warnings == (f"F:1: ldap_servers: {IN_CLEAR.format('ldap://dc1.ad.example.org')}",)

    def test_that_are_empty_mean_the_defaults(self) -> None:
        assert read(b"") == LdapConf(source="F")
        assert read(b"\n# nothing\n  \t\n  # nothing\n\r\n").warnings == ()


# Key, default, an example and what it means: the original's, as documented and as measured.
EVERY_KEY: list[tuple[str, object, bytes, object]] = [
    ("servers", ("ldap://localhost/",), b"ldapi:///", ("ldapi:///",)),
    ("bind_dn", "", b"cn=a,dc=b", "cn=a,dc=b"),
    ("password", Secret(b""), b"se cret", Secret(b"se cret")),
    ("bind_pw", Secret(b""), b"secret", Secret(b"secret")),
    ("version", 3, b"2", 2),
    ("search_base", "", b"ou=%s,dc=b", "ou=%s,dc=b"),
    ("filter", "(uid=%u)", b"mail=%u", "mail=%u"),
    ("scope", "sub", b"one", "one"),
    ("auth_method", "bind", b"custom", "custom"),
    ("password_attr", "userPassword", b"authPassword;binary", "authPassword;binary"),
    ("group_dn", "", b"cn=%s,ou=groups", "cn=%s,ou=groups"),
    ("group_attr", "uniqueMember", b"member", "member"),
    ("group_match_method", "attr", b"filter", "filter"),
    ("group_filter", "", b"(member=%D)", "(member=%D)"),
    ("group_search_base", "", b"ou=groups", "ou=groups"),
    ("group_scope", "sub", b"base", "base"),
    ("default_realm", "", b"example.org", "example.org"),
    ("default_domain", "", b"example.org", "example.org"),
    ("timeout", 5, b"1", 1),
    ("time_limit", 5, b"0", 0),
    ("size_limit", 1, b"2147483647", LARGEST_INTEGER),
    ("deref", "never", b"always", "always"),
    ("referrals", False, b"on", True),
    ("restart", True, b"off", False),
    ("start_tls", False, b"1", True),
    ("tls_check_peer", None, b"no", False),
    ("tls_cacert_file", None, b"/a b", Path("/a b")),
    ("tls_cacert_dir", None, b"/a", Path("/a")),
    ("tls_cert", None, b"/a", Path("/a")),
    ("tls_key", None, b"/a", Path("/a")),
    ("tls_ciphers", "", b"HIGH:!aNULL", "HIGH:!aNULL"),
    ("use_sasl", False, b"true", True),
    ("id", "", b"joe", "joe"),
    ("sasl_authc_id", "", b"joe", "joe"),
    ("authz_id", "", b"u:joe", "u:joe"),
    ("sasl_authz_id", "", b"u:joe", "u:joe"),
    ("realm", "", b"r", "r"),
    ("sasl_realm", "", b"r", "r"),
    ("mech", "", b"Gssapi", "GSSAPI"),
    ("sasl_mech", "", b"EXTERNAL", "EXTERNAL"),
    ("sasl_secprops", None, b"none", SecurityProperties()),
    ("debug", 0, b"-1", -1),
]
OURS: list[tuple[str, object, bytes, object]] = [
    ("domain_from_realm", False, b"yes", True),
    ("dn_cache", 0, b"600", 600),
    ("max_operations", 32, b"1000", 1000),
    ("max_connections", 256, b"4", 4),
]


class TestKeys:
    def test_are_the_originals_and_ours(self) -> None:
        assert list(KEYS) == [f"ldap_{name}" for name, *_ in EVERY_KEY + OURS]
        assert all("not in saslauthd" in explanations()[f"ldap_{name}"] for name, *_ in OURS)
        assert explanations()["ldap_bind_pw"] == "the same as ldap_password"

    @pytest.mark.parametrize(("name", "default", "text", "value"), EVERY_KEY + OURS)
    def test_have_a_type_and_a_default(self, name: str, default: object, text: bytes, value: object) -> None:
        field = KEYS[f"ldap_{name}"].name
        for key in (f"ldap_{name}".encode(), f"LDAP_{name.title()}".encode()):
            conf = read(key + b": " + text + b"\nkrb5_end: x")
            assert getattr(conf, field) == value
            assert type(getattr(conf, field)) is type(value)
            assert getattr(read(b""), field) == default
            assert conf.at(field) == f"F:1: ldap_{field}"
        assert read(b"").at(field) == f"F: ldap_{field}"

    def test_keep_bytes_that_are_not_utf_8(self) -> None:
        conf = read(b"ldap_bind_dn: cn=J\xe4ger\nldap_password: \xe4\xff\nldap_filter: (cn=\xc3\xa4%u)")
        assert octets(conf.bind_dn) == b"cn=J\xe4ger"
        assert conf.password == Secret(b"\xe4\xff")
        assert conf.filter == "(cn=ä%u)"
        assert conf.warnings == (
            "F:1: ldap_bind_dn: not UTF-8, which directory servers expect; sent as it is",
        )

    def test_have_values_of_any_length(self) -> None:
        conf = read(
            b"#"
            + b"x" * 9000
            + b"\nldap_password: "
            + b"p" * 9000
            + b"\nldap_group_filter: (cn="
            + b"g" * 9000
        )
        assert conf.password == Secret(b"p" * 9000)
        assert len(conf.group_filter) == 9004


class TestLines:
    @pytest.mark.parametrize(
        "line",
        [
            b"ldap_scope: one",
            b"ldap_scope:one",
            b"\t ldap_scope:\t \v\f one",
            b"LDAP_Scope: ONE",
            b"ldap_scope: sub\n#ldap_scope: base\nldap_auth_method: bind\nldap_scope: one",
        ],
    )
    def test_are_a_key_a_colon_and_a_value(self, line: bytes) -> None:
        assert read(line).scope == "one"

    @pytest.mark.parametrize(
        "data", [b"ldap_filter: a=%u\nldap_filter: b=%u", b"LDAP_FILTER:a=%u\nldap_filter:b=%u"]
    )
    def test_that_repeat_a_key_replace_the_first(self, data: bytes) -> None:
        assert read(data).filter == "b=%u"
        assert told(data) == ["F:2: ldap_filter: given again; this line counts, and not line 1"]

    def test_that_repeat_a_key_may_use_its_other_name(self) -> None:
        conf = read(b"ldap_bind_dn: cn=a\nldap_password: one\nldap_bind_pw: two\n")
        assert conf.password == Secret(b"two")
        assert conf.warnings == ("F:3: ldap_bind_pw: given again; this line counts, and not line 2",)

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            (b"ldap_scope=one", "ldap_scope: expected a colon behind the key"),
            (b"ldap_scope = one", "ldap_scope: expected a colon behind the key"),
            (b"ldap_password geheim", "ldap_password: expected a colon behind the key"),
            (b"geheim", "expected KEY: VALUE"),
            (b"ge heim: x", "expected KEY: VALUE"),
            (b": x", "expected KEY: VALUE"),
            (b"ldap.scope: one", "expected KEY: VALUE"),
            (b"\xc3\xa4: x", "expected KEY: VALUE"),
            (b"ldap_password:", "ldap_password: expected a value"),
            (b"ldap_password: \t ", "ldap_password: expected a value"),
            (b"ldap_password: \r", "ldap_password: expected a value"),
            (b'ldap_password: ""', "ldap_password: expected a value"),
            (b"no_such_key:", "no_such_key: expected a value"),
            (b"ldap_password: gehe\0im", "ldap_password: expected text, found a NUL byte"),
        ],
    )
    def test_that_cannot_be_are_refused_without_being_shown(self, line: bytes, error: str) -> None:
        assert refused(b"\n" + line + b"\n") == [f"F:2: {error}"]


class TestWhatTheOriginalGetsWrong:
    @pytest.mark.parametrize(
        ("line", "warning"),
        [
            (b"ldap_id : a", "ldap_id: blanks before the colon are ignored; saslauthd refuses the file"),
            (b"ldap_id\t:a", "ldap_id: blanks before the colon are ignored; saslauthd refuses the file"),
            (
                b"ldap_id: a \t",
                "ldap_id: blanks at the end are ignored; saslauthd takes them for a part of the value",
            ),
            (
                b'ldap_id: "a"',
                "ldap_id: the quotes around the value are ignored; saslauthd takes them for a part of it. If they are, write each twice",
            ),
            (
                b"ldap_id: a\r",
                "ends with a carriage return, as DOS writes lines; it is ignored, here and below",
            ),
            (
                b"\xef\xbb\xbfldap_id: a",
                "a byte order mark, which is ignored; saslauthd refuses such a file",
            ),
        ],
    )
    def test_is_taken_for_what_it_means(self, line: bytes, warning: str) -> None:
        conf = read(line + b"\nldap_use_sasl: yes\nldap_auth_method: custom")
        assert conf.id == "a"
        assert conf.warnings == (f"F:1: {warning}",)

    def test_is_told_of_a_dos_file_once(self) -> None:
        assert told(b"# c\r\n\r\nldap_scope: one\r\nldap_deref: find\r\nldap_timeout: 9\r\n") == [
            "F:3: ends with a carriage return, as DOS writes lines; it is ignored, here and below"
        ]

    @pytest.mark.parametrize(
        ("written", "password"),
        [
            (b"geheim  ", b"geheim"),
            (b'"geheim"', b"geheim"),
            (b'"geheim "  ', b"geheim "),
            (b'""geheim""', b'"geheim"'),
            (b"geheim\r", b"geheim"),
            (b'"geheim', b'"geheim'),
            (b'geheim"', b'geheim"'),
            (b'"', b'"'),
            (b"'geheim'", b"'geheim'"),
            (b"geheim # nicht", b"geheim # nicht"),
        ],
    )
    def test_is_never_shown_of_a_password(self, written: bytes, password: bytes) -> None:
        conf = read(b"ldap_bind_dn: cn=a\nldap_password: " + written)
        assert conf.password == Secret(password)
        assert "geheim" not in f"{conf!r}{conf}{conf.warnings}"
        assert bool(conf.warnings) is (written != password)

    def test_is_told_of_comments_behind_a_value(self) -> None:
        assert told(b"ldap_bind_dn: cn=a#1\nldap_password: x") == []
        assert told(b"ldap_bind_dn: cn=a # me\nldap_password: x") == [
            "F:1: ldap_bind_dn: the '#' is a part of the value; a comment needs a line of its own"
        ]

    def test_is_told_of_unknown_keys(self) -> None:
        assert told(b"ldap_sope: x\nldap_uri: x\nhttpform_host: x\nkrb5_verify_principal: x\nzzz: x") == [
            "F:1: ldap_sope: no such key; did you mean ldap_scope?",
            "F:2: ldap_uri: no such key; did you mean ldap_id?",
            "F:5: zzz: no such key",
        ]


class TestSwitches:
    @pytest.mark.parametrize("word", ["1", "y", "yes", "t", "true", "on"])
    def test_that_are_on(self, word: str) -> None:
        assert read(f"ldap_referrals: {word}".encode()).referrals is True
        assert told(f"ldap_referrals: {word}".encode()) == []

    @pytest.mark.parametrize("word", ["0", "n", "no", "f", "false", "off", "NO", "No", "OFF", "False", "N"])
    def test_that_are_off(self, word: str) -> None:
        assert read(f"ldap_restart: {word}".encode()).restart is False
        assert told(f"ldap_restart: {word}".encode()) == []

    @pytest.mark.parametrize("word", ["Yes", "YES", "On", "ON", "True", "TRUE", "Y", "T", "oN"])
    def test_that_the_original_takes_for_off(self, word: str) -> None:
        conf = read(f"ldap_referrals: {word}".encode())
        assert conf.referrals is True
        assert conf.warnings == (f"F:1: ldap_referrals: {word!r} is yes here; saslauthd reads it as off",)

    @pytest.mark.parametrize(
        ("text", "value"), [("yes # please", True), ("on,", True), ("never", False), ("0x", False)]
    )
    def test_that_the_original_takes_by_their_first_letters(self, text: str, value: bool) -> None:  # noqa: FBT001
        conf = read(f"ldap_referrals: {text}".encode())
        assert conf.referrals is value
        assert conf.warnings == (
            f"F:1: ldap_referrals: {text!r} is read as {'yes' if value else 'no'}, as saslauthd does",
        )

    @pytest.mark.parametrize("text", ["enabled", "2", "demand", "o", "-1", "+1", "ja"])
    def test_that_are_neither(self, text: str) -> None:
        assert refused(f"ldap_start_tls: {text}".encode()) == [
            f"F:1: ldap_start_tls: expected yes or no, found {text!r}"
        ]


class TestNumbers:
    @pytest.mark.parametrize(
        ("key", "text", "expected"),
        [
            ("ldap_timeout", "abc", "1 to 86400"),
            ("ldap_timeout", "0", "1 to 86400"),
            ("ldap_timeout", "-1", "1 to 86400"),
            ("ldap_timeout", "86401", "1 to 86400"),
            ("ldap_timeout", "+5", "1 to 86400"),
            ("ldap_timeout", "٣", "1 to 86400"),
            ("ldap_timeout", "9" * 5000, "1 to 86400"),
            ("ldap_time_limit", "00000000005", "0 to 2147483647"),
            ("ldap_time_limit", "-1", "0 to 2147483647"),
            ("ldap_size_limit", "2147483648", "0 to 2147483647"),
            ("ldap_version", "1", "2 to 3"),
            ("ldap_version", "4", "2 to 3"),
            ("ldap_dn_cache", "-1", "0 to 86400"),
            ("ldap_max_operations", "0", "1 to 1000"),
            ("ldap_max_operations", "1001", "1 to 1000"),
            ("ldap_max_connections", "3", "4 to 10000"),
            ("ldap_max_connections", "10001", "4 to 10000"),
        ],
    )
    def test_that_cannot_be(self, key: str, text: str, expected: str) -> None:
        shown = text if len(text) <= 80 else text[:80] + "..."
        assert refused(f"{key}: {text}".encode()) == [
            f"F:1: {key}: expected a whole number from {expected}, found {shown!r}"
        ]

    def test_with_something_behind_them_are_read_as_the_original_does(self) -> None:
        conf = read(b"ldap_timeout: 10 # seconds\nldap_time_limit: 7s")
        assert (conf.timeout, conf.time_limit) == (10, 7)
        assert conf.warnings == (
            "F:1: ldap_timeout: '10 # seconds' is read as 10, as saslauthd does",
            "F:2: ldap_time_limit: '7s' is read as 7, as saslauthd does",
        )


class TestWords:
    @pytest.mark.parametrize(
        ("key", "words"),
        [
            ("scope", ["sub", "one", "base"]),
            ("group_scope", ["sub", "one", "base"]),
            ("auth_method", ["bind", "custom", "fastbind"]),
            ("group_match_method", ["attr", "filter"]),
            ("deref", ["never", "find", "search", "always"]),
        ],
    )
    def test_are_known_in_any_case_and_no_others_are(self, key: str, words: list[str]) -> None:
        for word in words:
            for text in (word, word.upper(), word.title()):
                data = f"ldap_{key}: {words[-1]}\nldap_{key}: {text}\nldap_filter: uid=%u"
                assert getattr(read(data.encode()), key) == word
        assert refused(f"ldap_{key}: what".encode()) == [
            f"F:1: ldap_{key}: expected {' or '.join(words)}, found 'what'"
        ]

    def test_of_attributes_have_no_blanks(self) -> None:
        for key in ("ldap_password_attr", "ldap_group_attr"):
            assert refused(f"{key}: user password".encode()) == [
                f"F:1: {key}: expected the name of an attribute, found 'user password'"
            ]

    def test_of_paths_are_absolute(self) -> None:
        for key in ("ldap_tls_cert", "ldap_tls_key", "ldap_tls_cacert_file", "ldap_tls_cacert_dir"):
            assert refused(f"{key}: ca.pem".encode()) == [
                f"F:1: {key}: expected an absolute path, found 'ca.pem'"
            ]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("none", SecurityProperties()),
            ("noplain,minssf=128", SecurityProperties(frozenset({"noplain"}), 128)),
            (
                "NoPlain, noanonymous,NODICT",
                SecurityProperties(frozenset({"noplain", "noanonymous", "nodict"})),
            ),
            (
                "minssf=0,maxssf=0,maxbufsize=65536",
                SecurityProperties(frozenset({"noplain", "noanonymous"}), 0, 0, 65536),
            ),
            (
                "noactive,forwardsec,passcred",
                SecurityProperties(frozenset({"noactive", "forwardsec", "passcred"})),
            ),
            ("noplain,none", SecurityProperties()),
        ],
    )
    def test_of_sasl_properties(self, text: str, value: SecurityProperties) -> None:
        assert read(f"ldap_sasl_secprops: {text}".encode()).sasl_secprops == value

    @pytest.mark.parametrize(
        "word", ["noplains", "minssf", "minssf=", "minssf=x", "noplain=1", "none=1", "", "minssf=-1"]
    )
    def test_of_sasl_properties_that_are_unknown(self, word: str) -> None:
        assert refused(f"ldap_sasl_secprops: noplain, {word},nodict".encode()) == [
            f"F:1: ldap_sasl_secprops: expected none, forwardsec, noactive, noanonymous, nodict, noplain, passcred, minssf=N, maxssf=N or maxbufsize=N, found {word!r}"
        ]


class TestServers:
    @pytest.mark.parametrize(
        ("text", "servers"),
        [
            ("ldap://a", ("ldap://a",)),
            ("ldap://a.example.org:389/", ("ldap://a.example.org:389/",)),
            ("LDAPS://a/ ,\tldap://b/", ("LDAPS://a/", "ldap://b/")),
            ("ldap://a/,ldap://b/,", ("ldap://a/", "ldap://b/")),
            ("ldap:///", ("ldap:///",)),
            ("ldap://[::1]:1389/", ("ldap://[::1]:1389/",)),
            ("ldaps://[fe80::1%25eth0]/", ("ldaps://[fe80::1%25eth0]/",)),
            ("ldap://192.0.2.7:65535", ("ldap://192.0.2.7:65535",)),
            ("ldapi://", ("ldapi://",)),
            ("ldapi://%2Frun%2Fslapd%2fldapi", ("ldapi://%2Frun%2Fslapd%2fldapi",)),
            ("ldap://under_score-1/", ("ldap://under_score-1/",)),
        ],
    )
    def test_are_uris_with_blanks_or_commas_between(self, text: str, servers: tuple[str, ...]) -> None:
        conf = read(f"ldap_servers: {text}\nldap_use_sasl: yes\n".encode())
        assert conf.servers == servers
        assert not [line for line in conf.warnings if "servers" in line]

    @pytest.mark.parametrize(
        "uri",
        [
            "localhost",
            "localhost:389",
            "127.0.0.1",
            "http://a/",
            "cldap://a/",
            "ldap:/a",
            "ldap:a",
            "ldap://a:0/",
            "ldap://a:65536/",
            "ldap://a:port/",
            "ldap://a:",
            "ldap://::1/",
            "ldap://[::1/",
            "ldap://[1.2.3.4]/",
            "ldap://[:::1]/",
            "ldap://user@a/",
            "ldap://a%20b/",
            "ldap://ä/",
            "ldapi://run/",
            "ldapi://%2Frun:3/",
            "ldapi://%2Frun%00/",
            "dc=org",
            "#",
        ],
    )
    def test_are_nothing_else(self, uri: str) -> None:
        assert refused(f"ldap_servers: ldap://first/ {uri}".encode()) == [
            f"F:1: ldap_servers: expected ldap://HOST/, ldaps://HOST/ or ldapi://PATH/, found {uri!r}"
        ]

    def test_have_nothing_behind_the_host(self) -> None:
        conf = read(b"ldap_servers: ldap://a:1/dc=org ldap://b/ ldap://c?x")
        assert conf.servers == ("ldap://a:1/", "ldap://b/", "ldap://c/")
        assert conf.warnings[0] == (
            "F:1: ldap_servers: '/dc=org' in 'ldap://a:1/dc=org' has no effect; '?x' in 'ldap://c?x' has no effect"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "ldap://localhost LDAP://LocalHost:389/ ldap://127.0.0.1/ ldap://[::1]/ ldap:///",
            "ldaps://a/ ldapi:///",
            "ldap://a/\nldap_start_tls: yes",
            "ldap://a/\nldap_use_sasl: yes\nldap_mech: GSSAPI",
        ],
    )
    def test_that_are_here_or_speak_tls_are_no_reason_to_warn(self, text: str) -> None:
        assert not [line for line in told(f"ldap_servers: {text}".encode()) if "in clear" in line]

    @pytest.mark.parametrize("uri", ["ldap://a/", "ldap://127.0.0.1.example.org/", "LDAP://192.0.2.7:389"])
    def test_that_are_far_and_speak_no_tls_are(self, uri: str) -> None:
        text = f"ldap_servers: ldaps://b/ {uri} ldap://c/"
        assert told(text.encode()) == [f"F:1: ldap_servers: {IN_CLEAR.format(uri)}"]


FASTBIND = b"ldap_auth_method: fastbind\n"


class TestContradictions:
    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (
                b"ldap_servers: ldap://a/ LDAPS://b/\nldap_start_tls: yes",
                "F:2: ldap_start_tls: not with the server LDAPS://b/, which speaks TLS from the first byte",
            ),
            (
                b"ldap_group_dn: cn=g\nldap_group_match_method: filter",
                "F:2: ldap_group_match_method: expected ldap_group_filter beside it; without one nobody is in a group",
            ),
            (
                FASTBIND,
                "F: ldap_filter: expected the DN of a user for fastbind, such as uid=%u,ou=people,dc=example,dc=org, found '(uid=%u)'",
            ),
            (
                b"ldap_filter: cn=%%u,dc=x\n" + FASTBIND,
                "F:1: ldap_filter: expected a token such as %u; everybody would bind as the same user",
            ),
            (
                b"ldap_filter: cn=%D%x%0,dc=%",
                None,
            ),
            (
                b"ldap_filter: cn=%D%x%0,dc=%\n" + FASTBIND,
                "F:1: ldap_filter: expected a token such as %u; everybody would bind as the same user",
            ),
        ],
    )
    def test_are_refused(self, data: bytes, error: str | None) -> None:
        if error is None:
            read(data)
        else:
            assert refused(data) == [error]

    def test_are_none_of_a_value_that_is_refused_itself(self) -> None:
        assert refused(b"ldap_servers: a\nldap_start_tls: yes\n" + FASTBIND + b"ldap_use_sasl: ja") == [
            "F:1: ldap_servers: expected ldap://HOST/, ldaps://HOST/ or ldapi://PATH/, found 'a'",
            "F:4: ldap_use_sasl: expected yes or no, found 'ja'",
        ]

    def test_are_told_where_the_last_line_of_a_key_is_good(self) -> None:
        data = b"ldap_use_sasl: ja\nldap_use_sasl: no\nldap_filter: cn=x\n" + FASTBIND
        assert refused(data) == [
            "F:1: ldap_use_sasl: expected yes or no, found 'ja'",
            "F:3: ldap_filter: expected a token such as %u; everybody would bind as the same user",
        ]

    def test_are_told_with_all_other_errors(self) -> None:
        assert refused(b"ldap_timeout: abc\nwhat\nldap_scope: all\n" + FASTBIND) == [
            "F:1: ldap_timeout: expected a whole number from 1 to 86400, found 'abc'",
            "F:2: expected KEY: VALUE",
            "F:3: ldap_scope: expected sub or one or base, found 'all'",
            "F: ldap_filter: expected the DN of a user for fastbind, such as uid=%u,ou=people,dc=example,dc=org, found '(uid=%u)'",
        ]


class TestRemarks:
    @pytest.mark.parametrize(
        ("data", "warnings"),
        [
            (
                b"ldap_password: x",
                ["F:1: ldap_password: has no effect without ldap_bind_dn: the bind is anonymous"],
            ),
            (
                b"ldap_bind_dn: cn=x",
                ["F:1: ldap_bind_dn: has no effect without ldap_password: the bind is anonymous"],
            ),
            (FASTBIND + b"ldap_filter: cn=x\nldap_use_sasl: yes", []),
            (b"ldap_use_sasl: yes\nldap_auth_method: custom\nldap_id: x\nldap_password: x", []),
            (b"ldap_mech: EXTERNAL", ["F:1: ldap_mech: has no effect without ldap_use_sasl"]),
            (
                FASTBIND + b"ldap_filter: uid=%u\nldap_bind_dn: cn=x\nldap_password: x",
                [
                    "F:3: ldap_bind_dn: has no effect with fastbind, which binds as the user alone",
                    "F:4: ldap_password: has no effect with fastbind, which binds as the user alone",
                ],
            ),
            (
                b"ldap_use_sasl: yes",
                [
                    "F:1: ldap_use_sasl: turns method bind into fastbind: users bind by SASL, and none is searched"
                ],
            ),
            (
                b"ldap_password_attr: x",
                ["F:1: ldap_password_attr: has no effect without ldap_auth_method: custom"],
            ),
            (
                FASTBIND + b"ldap_filter: cn=%r%s,dc=x",
                [
                    "F:2: ldap_filter: has neither %u nor %U: users whose other tokens are alike bind as the same user"
                ],
            ),
            (
                b"ldap_filter: (uid=root)",
                ["F:1: ldap_filter: has no token such as %u: every login finds the same user"],
            ),
            (
                b"ldap_group_attr: member\nldap_group_match_method: filter",
                [
                    f"F:{line}: {key}: has no effect without ldap_group_dn or ldap_group_filter: no group is asked for"
                    for line, key in [(1, "ldap_group_attr"), (2, "ldap_group_match_method")]
                ],
            ),
            (
                b"ldap_group_dn: cn=g\nldap_group_filter: (a=%u)",
                ["F:2: ldap_group_filter: has no effect without ldap_group_match_method: filter"],
            ),
            (
                b"ldap_group_filter: (a=%u)",
                [
                    "F:1: ldap_group_filter: is used, as there is no ldap_group_dn; saslauthd lets nobody in then"
                ],
            ),
            (b"ldap_group_dn: cn=g\nldap_group_filter: (a=%u)\nldap_group_match_method: filter", []),
            (
                b"ldap_tls_check_peer: no",
                [
                    "F:1: ldap_tls_check_peer: has no effect without ldap_start_tls or an ldaps:// server: TLS is not used"
                ],
            ),
            (
                b"ldap_tls_check_peer: no\nldap_start_tls: on",
                [
                    "F:1: ldap_tls_check_peer: servers are not verified: who is on the way to them can read every password"
                ],
            ),
            (b"ldap_start_tls: on\nldap_tls_check_peer: yes\nldap_tls_cert: /c\nldap_tls_key: /k", []),
            (
                b"ldap_start_tls: on\nldap_tls_cert: /c",
                ["F:2: ldap_tls_cert: has no effect without ldap_tls_key: no client certificate is shown"],
            ),
            (
                b"ldap_servers: ldaps://a/\nldap_tls_key: /k",
                ["F:2: ldap_tls_key: has no effect without ldap_tls_cert: no client certificate is shown"],
            ),
            (b"ldap_debug: -1", ["F:1: ldap_debug: has no effect here"]),
            (b"ldap_version: 2", []),
            (
                b"ldap_version: 2\nldap_start_tls: on",
                ["F:1: ldap_version: 3 is used: StartTLS and SASL came with it"],
            ),
        ],
    )
    def test_say_what_is_done(self, data: bytes, warnings: list[str]) -> None:
        assert told(data) == warnings


class TestWhatFollows:
    @pytest.mark.parametrize(
        ("data", "method"),
        [
            (b"", "bind"),
            (b"ldap_use_sasl: yes", "fastbind"),
            (b"ldap_use_sasl: yes\nldap_auth_method: custom", "custom"),
            (b"ldap_auth_method: fastbind\nldap_filter: uid=%u", "fastbind"),
        ],
    )
    def test_method(self, data: bytes, method: str) -> None:
        assert read(data).effective_method == method

    @pytest.mark.parametrize(
        ("data", "method"),
        [
            (b"ldap_group_match_method: filter", None),
            (b"ldap_group_dn: cn=g", "attr"),
            (b"ldap_group_dn: cn=g\nldap_group_filter: a=b", "attr"),
            (b"ldap_group_filter: a=b", "filter"),
            (b"ldap_group_dn: cn=g\nldap_group_filter: a=b\nldap_group_match_method: filter", "filter"),
        ],
    )
    def test_group_method(self, data: bytes, method: str | None) -> None:
        assert read(data).effective_group_method == method

    def test_group_search_base(self) -> None:
        assert read(b"ldap_search_base: dc=x").effective_group_search_base == "dc=x"
        assert (
            read(b"ldap_search_base: dc=x\nldap_group_search_base: dc=y").effective_group_search_base
            == "dc=y"
        )

    @pytest.mark.parametrize(
        ("data", "version"), [(b"", 2), (b"\nldap_start_tls: on", 3), (b"\nldap_use_sasl: on", 3)]
    )
    def test_version(self, data: bytes, version: int) -> None:
        assert read(b"ldap_version: 2" + data).effective_version == version

    @pytest.mark.parametrize(
        ("data", "uses_tls"),
        [(b"", False), (b"ldap_start_tls: on", True), (b"ldap_servers: ldap://a/ LDAPS://b/", True)],
    )
    def test_use_of_tls(self, data: bytes, uses_tls: bool) -> None:  # noqa: FBT001
        assert read(data).uses_tls is uses_tls

    def test_nested_files(self) -> None:
        data = b"ldap_tls_key: /k\nldap_tls_cert: /c\nldap_tls_cacert_file: /f\nldap_tls_cacert_dir: /d"
        assert read(data).nested_files == {
            "ldap_tls_cacert_file": Path("/f"),
            "ldap_tls_cert": Path("/c"),
            "ldap_tls_key": Path("/k"),
        }


class TestBounds:
    def test_of_the_file(self) -> None:
        assert read(b"#" * LARGEST_FILE).warnings == ()
        assert refused(b"#" * (LARGEST_FILE + 1)) == [
            "F: 1048577 bytes; expected a configuration of at most 1048576"
        ]

    def test_of_the_messages_on_a_file_of_another_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def hint(word: str, _: object) -> str:
            asked.append(word)
            return ""

        monkeypatch.setattr(ldap_conf, "did_you_mean", hint)
        warnings = told(b"ldap_scop: x\n" * (LARGEST_FILE // 13))
        assert len(warnings) == MOST_MESSAGES + 1
        assert warnings[-1] == f"F: {LARGEST_FILE // 13 - MOST_MESSAGES} more warnings"
        assert len(asked) == MOST_MESSAGES
        errors = refused(b"\xff" + b"x\n" * (LARGEST_FILE // 2 - 1))
        assert len(errors) == MOST_MESSAGES + 1
        assert errors[-1] == f"F: {LARGEST_FILE // 2 - 1 - MOST_MESSAGES} more errors"

    @pytest.mark.parametrize("line", [b"%s: x", b"ldap_referrals: yes%s", b"ldap_timeout: 5%s", b"ldap_%s:"])
    def test_of_each_message(self, line: bytes) -> None:
        try:
            messages = told(line % (b"x" * 1_000_000))
        except LdapConfError as error:
            messages = [str(error)]
        assert 0 < len("".join(messages)) < 1000


LINES = st.builds(
    lambda key, colon, value, end: key + colon + value + end,
    st.sampled_from([key.encode() for key in KEYS]) | st.binary(max_size=8),
    st.sampled_from([b": ", b":", b" : ", b"=", b" "]),
    st.binary(max_size=20)
    | st.sampled_from(
        [b"yes", b"No", b"5", b"ldap://a/", b"custom", b"fastbind", b"uid=%u", b"filter", b'"x" ', b"/p"]
    ),
    st.sampled_from([b"\n", b"\r\n", b" \n", b""]),
)


class TestAnyBytes:
    @given(st.binary(max_size=300) | st.lists(LINES, max_size=8).map(b"".join))
    def test_are_a_configuration_or_an_error(self, data: bytes) -> None:
        try:
            conf = read(data)
        except LdapConfError as error:
            assert str(error)  # noqa: PT017  (either outcome is right)
        else:
            assert all(isinstance(warning, str) for warning in conf.warnings)
            assert conf.effective_method in {"bind", "custom", "fastbind"}

    @given(
        st.sampled_from(["bind_dn", "search_base", "filter", "group_dn", "tls_ciphers"]),
        st.binary(min_size=1),
    )
    def test_of_a_value_come_out_as_they_went_in(self, name: str, value: bytes) -> None:
        value = value.translate(None, b'\0\n\r\t\v\f "')
        if value:
            conf = read(f"ldap_{name}: ".encode() + value)
            assert octets(getattr(conf, name)) == value

    @given(st.binary(max_size=300))
    def test_are_a_client_file(self, data: bytes) -> None:
        assert isinstance(read_client_defaults(data), ClientDefaults)


class TestClientFile:
    def test_of_debian(self) -> None:
        assert read_client_defaults(
            b"#\n# LDAP Defaults\n#\n\n# See ldap.conf(5) for details\n\n"
            b"#BASE\tdc=example,dc=com\n#URI\tldap://ldap.example.com\n\n#SIZELIMIT\t12\n\n"
            b"# TLS certificates (needed for GnuTLS)\nTLS_CACERT\t/etc/ssl/certs/ca-certificates.crt\n\n"
        ) == ClientDefaults(tls_cacert=Path("/etc/ssl/certs/ca-certificates.crt"))

    def test_of_red_hat(self) -> None:
        assert read_client_defaults(
            b"TLS_CACERTDIR /etc/openldap/certs\r\n\ntls_reqcert  Demand  \nSASL_NOCANON\ton\n"
            b"  SASL_MECH gssapi\nSASL_REALM EXAMPLE ORG\nSASL_REALM EXAMPLE.ORG\nURI\n"
        ) == ClientDefaults(None, Path("/etc/openldap/certs"), "demand", "GSSAPI", "EXAMPLE.ORG")

    @pytest.mark.parametrize(
        "line",
        [
            b"TLS_CACERT relative",
            b"TLS_CACERT",
            b"TLS_REQCERT maybe",
            b"TLS_CACERT: /x",
            b"TLS_CACERT /x\0",
            b"#TLS_CACERT /x",
        ],
    )
    def test_has_lines_that_mean_nothing(self, line: bytes) -> None:
        assert read_client_defaults(line) == ClientDefaults()

    @pytest.mark.parametrize("word", ["never", "allow", "try", "demand", "hard"])
    def test_knows_five_ways_to_verify(self, word: str) -> None:
        assert read_client_defaults(f"TLS_REQCERT {word.upper()}".encode()).tls_reqcert == word


def test_a_configuration_cannot_be_changed() -> None:
    conf: Any = read(b"")
    with pytest.raises(AttributeError):
        conf.filter = "(uid=*)"

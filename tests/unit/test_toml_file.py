"""The configuration file: what it may say, and what is said of one that cannot be."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config.complaints import MOST_MESSAGES
from pysaslauthd.config.declared import DECLARED
from pysaslauthd.config.given import Found, combined
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.statements import LARGEST_FILE
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.config.written import written
from pysaslauthd.core.identity import RealmPolicy

EVERYTHING = """\
mechanism = ["pam", "LDAP"]
mechanism_option = "/etc/ldap-of-mail.conf"
run_path = '/run/x'
processes = 0x10
cache = true
cache_size = "4 MiB"
cache_timeout = "30m"
verbose = true
user = "mail"
shadow_file = "/x"
service = "smtp"
proxy_socket = "/run//old/mux"
proxy_connections = 9
proxy_client_address = true
compare = "/run/other/mux"
compare_rejected = true
realm_policy = "Login@realm unless it has one"
realms = ["a.org", "b.org"]
unavailable = "no"
reply_reason = false
syslog_socket = ""
control_socket = "admin"
log_format = "JSON"
log_to = ["journal", "stderr"]
journal_socket = "/x/journal"
log_successes = true
field_limit = "300"
password_limit = 1000
read_timeout = 2.5
login_timeout = "1 m"
queue_timeout = 7
queue_length = 10
next_on = ["unknown"]
name_places = 3
known_names = 100
stranger_niceness = 5
failures_per_second = 20
connections = 100
cache_rejected = "500ms"
cache_stale = 0
uncached_services = [
  "otp",  # one-time
  "pop3",
]
most_workers = 7
worker_growth = "1 GiB"
worker_share = 5
metrics_file = "/var/lib/metrics/saslauthd.prom"
metrics_port = 9797
"""
"""A value for each setting that is not its default."""

MEANT = {
    "mechanism": (MECHANISMS["pam"], MECHANISMS["ldap"]),
    "mechanism_option": "/etc/ldap-of-mail.conf",
    "run_path": Path("/run/x"),
    "processes": 16,
    "cache": True,
    "cache_size": 4 << 20,
    "cache_timeout": 1800.0,
    "verbose": True,
    "user": "mail",
    "shadow_file": Path("/x"),
    "service": "smtp",
    "proxy_socket": Path("/run/old/mux"),
    "proxy_connections": 9,
    "proxy_client_address": True,
    "compare": Path("/run/other/mux"),
    "compare_rejected": True,
    "realm_policy": RealmPolicy.APPEND_MISSING,
    "realms": frozenset({"a.org", "b.org"}),
    "unavailable": "no",
    "reply_reason": False,
    "syslog_socket": None,
    "control_socket": Path("admin"),
    "log_format": "json",
    "log_to": frozenset({"journal", "stderr"}),
    "journal_socket": Path("/x/journal"),
    "log_successes": True,
    "field_limit": 300,
    "password_limit": 1000,
    "read_timeout": 2.5,
    "login_timeout": 60.0,
    "queue_timeout": 7.0,
    "queue_length": 10,
    "next_on": frozenset({"unknown"}),
    "name_places": 3,
    "known_names": 100,
    "stranger_niceness": 5,
    "failures_per_second": 20,
    "connections": 100,
    "cache_rejected": 0.5,
    "cache_stale": 0.0,
    "uncached_services": frozenset({"otp", "pop3"}),
    "most_workers": 7,
    "worker_growth": 1 << 30,
    "worker_share": 5,
    "metrics_file": Path("/var/lib/metrics/saslauthd.prom"),
    "metrics_port": 9797,
}


def errors(text: str | bytes) -> list[str]:
    return list(read_toml(text if isinstance(text, bytes) else text.encode(), "F").errors)


class TestAFile:
    def test_may_give_every_setting(self) -> None:
        effective = combined([read_toml(EVERYTHING.encode(), "F")])
        assert {each.name: value for each, value, _ in effective.values()} == MEANT
        keys = [line.split(" =")[0] for line in EVERYTHING.splitlines()]
        lines = {name: keys.index(name) + 1 for name in MEANT}
        assert effective.origins == {name: f"F:{line}" for name, line in lines.items()}
        assert list(MEANT) == list(DECLARED)

    def test_may_be_empty_and_begin_with_a_byte_order_mark(self) -> None:
        for data in (b"", b"# nothing\r\n", b"\xef\xbb\xbf"):
            assert read_toml(data, "F") == Found()
        assert [each.value for each in read_toml(b"\xef\xbb\xbfprocesses = 3\r\n", "F").given] == [3]

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('cache_timeout = "never"', math.inf),
            ("cache_timeout = inf", math.inf),
            ("cache_timeout = 1e2", 100.0),
            ("cache_timeout = 90", 90.0),
            ("cache_size = 2_048", 2048),
            ('cache = "no"', False),
            ('uncached_services = "a, b"', frozenset({"a", "b"})),
            ("uncached_services = []", frozenset()),
            ('service = "a\\u002Db"', "a-b"),
            ('run_path = "/tmp/ä \\"b\\""', Path('/tmp/ä "b"')),
        ],
    )
    def test_may_say_it_in_several_ways(self, text: str, value: object) -> None:
        (given,) = read_toml(text.encode(), "F").given
        assert given.value == value

    def test_that_is_written_is_read_back(self) -> None:
        first = combined([read_toml(EVERYTHING.encode(), "F")])
        text = "\n".join(written(first.values()))
        second = combined([read_toml(text.encode(), "F")])
        assert second.options == first.options
        assert [line.partition("  # ")[2] for line in text.splitlines()] == list(first.origins.values())

    def test_with_defaults_alone_is_read_back(self) -> None:
        first = combined([read_toml(b'mechanism = "pam"\n', "F")])
        text = "\n".join(written(first.values()))
        assert combined([read_toml(text.encode(), "G")]).options == first.options
        assert set(first.origins.values()) == {"F:1", "default"}


COUNT = "expected a whole number from 1 to 1000000"
TIME = "expected a time above zero, such as 10s, 500ms or 2m"
SIZE = "expected a size above zero, such as 512KiB or 64MiB"
CACHE_SIZE = "expected a size of at least 1 KiB, such as 963KiB or 4MiB"
LIFETIME = "expected a time above zero, such as 8h or 30m, or never"
NO_SUCH = "no such setting"

BROKEN: dict[str, list[str]] = {
    # Not TOML.
    "mechanism = pam": ["1: expected a value: a text in quotes, a number, true or false, or a list"],
    "mechanism: pam": ["1: expected NAME = VALUE"],
    "mechanism": ["1: expected NAME = VALUE"],
    'mechanism = "pam': ["1: expected a quote at the end of the text"],
    'mechanism = "pam" "ldap"': ["1: expected the end of the line behind the value; a text needs quotes"],
    "run_path = /run": ["1: expected a value: a text in quotes, a number, true or false, or a list"],
    'run_path = "C:\\x"': ["1: not TOML: unescaped '\\' in a string"],
    "cache = yes": ["1: expected a value: a text in quotes, a number, true or false, or a list"],
    "login_timeout = 10s": ["1: expected the end of the line behind the value; a text needs quotes"],
    "\nuncached_services = [\n'a',\n": [
        "2: expected the end of the list, or of the text in three quotes, that begins here, within 500 lines"
    ],
    "[cache\nverbose = 1.5": [
        "1: not TOML: expected ']' at the end of a table declaration",
        "2: verbose: expected true or false, found 1.5",
    ],
    # No such setting.
    "chache = true": [f"1: chache: {NO_SUCH}; did you mean cache?"],
    "run-path = '/x'": [f"1: run-path: {NO_SUCH}; did you mean run_path?"],
    "Cache = true": [f"1: Cache: {NO_SUCH}; did you mean cache?"],
    "xyzzy = 1": [f"1: xyzzy: {NO_SUCH}"],
    "'x\ty' = 1": [f"1: 'x\\ty': {NO_SUCH}"],
    "[cache]\nsize = '1MiB'\n": [f"2: cache.size: {NO_SUCH}; did you mean cache_size?"],
    "[limits]\nconnections = 5\n": [
        f"2: limits.connections: {NO_SUCH}; did you mean connections, in no table?"
    ],
    "cache.timeout = 5": [f"1: cache.timeout: {NO_SUCH}; did you mean cache_timeout?"],
    "foreground = true": [
        "1: foreground: expected on the command line alone: it is for who starts the daemon"
    ],
    "debug = true": ["1: debug: expected on the command line alone: it is for who starts the daemon"],
    # No such value.
    "mechanism = 'shadwo'": [
        "1: mechanism: expected one of ldap, pam, proxy, shadow, found 'shadwo'; did you mean shadow?"
    ],
    "mechanism = ['pam', 'pam']": ["1: mechanism: expected each mechanism once, found ['pam', 'pam']"],
    "mechanism = true": ["1: mechanism: expected one of ldap, pam, proxy, shadow, found true"],
    "run_path = 'run'": ["1: run_path: expected an absolute path, found 'run'"],
    "run_path = '/x'\nrun_path = '/y'": ["2: run_path: given before, in line 1"],
    'run_path = "/x\\u0000"': ["1: run_path: expected text without control characters, found '/x\\x00'"],
    "run_path = '/x'\nrun_path.x = 1": [
        "2: not TOML: cannot overwrite a value",
        f"2: run_path.x: {NO_SUCH}; did you mean run_path?",
    ],
    "processes = -1": ["1: processes: expected a whole number from 0 to 10000, found -1"],
    "processes = 2.0": ["1: processes: expected a whole number from 0 to 10000, found 2.0"],
    "processes = true": ["1: processes: expected a whole number from 0 to 10000, found true"],
    "cache = 2": ["1: cache: expected true or false, found 2"],
    "cache = 1": ["1: cache: expected true or false, found 1"],
    "cache_size = 963": [f"1: cache_size: {CACHE_SIZE}, found 963"],
    "cache_size = '4 MB'": [f"1: cache_size: {CACHE_SIZE}, found '4 MB'"],
    "cache_timeout = 0": [f"1: cache_timeout: {LIFETIME}, found 0"],
    "cache_timeout = -1": [f"1: cache_timeout: {LIFETIME}, found -1"],
    "cache_timeout = nan": [f"1: cache_timeout: {LIFETIME}, found nan"],
    "cache_rejected = '1h'": ["1: cache_rejected: expected a time up to 120 s, or 0, found '1h'"],
    "user = ' '": ["1: user: expected the name of a user, found ' '"],
    "service = 5": ["1: service: expected text in quotes, found 5"],
    "service = 1979-05-27": ["1: service: expected text in quotes, found 1979-05-27"],
    "service = '../x'": [
        "1: service: expected a name without '/', a dot in front or control characters, found '../x'"
    ],
    "unavailable = 'maybe'": ["1: unavailable: expected close or no, found 'maybe'"],
    "read_timeout = '10 parsecs'": [f"1: read_timeout: {TIME}, found '10 parsecs'"],
    "read_timeout = inf": [f"1: read_timeout: {TIME}, found inf"],
    "read_timeout = true": [f"1: read_timeout: {TIME}, found true"],
    "password_limit = 65536": ["1: password_limit: expected a whole number from 1 to 65535, found 65536"],
    "connections = {}": [f"1: connections: {COUNT}, found a table"],
    "connections = []": [f"1: connections: {COUNT}, found []"],
    f"queue_length = '{'9' * 100}'": [f"1: queue_length: {COUNT}, found '{'9' * 80}...'"],
    "uncached_services = [1]": [
        '1: uncached_services: expected a list of names, such as ["imap", "smtp"], found [1]'
    ],
    "uncached_services = ['a,b']": [
        '1: uncached_services: expected a list of names, such as ["imap", "smtp"], found [\'a,b\']'
    ],
    "uncached_services = true": [
        '1: uncached_services: expected a list of names, such as ["imap", "smtp"], found true'
    ],
    "cache = 'maybe'": ["1: cache: expected yes or no, found 'maybe'"],
    "worker_growth = 0": [f"1: worker_growth: {SIZE}, found 0"],
    f"processes = {'9' * 5000}": ["1: expected a number of fewer digits"],
    f"processes = 0x{'f' * 5000}": [
        "1: processes: expected a whole number from 0 to 10000, found a number of very many digits"
    ],
    f"service = [0x{'f' * 5000}]": [
        "1: service: expected text in quotes, found a number of very many digits"
    ],
    # Several.
    "cahce = true\nrun_path = 5\nmechanism = pam\nconnections = 0\n[log]\nverbose = 3\n": [
        f"1: cahce: {NO_SUCH}; did you mean cache?",
        "2: run_path: expected an absolute path, found 5",
        "3: expected a value: a text in quotes, a number, true or false, or a list",
        f"4: connections: {COUNT}, found 0",
        f"6: log.verbose: {NO_SUCH}; did you mean verbose, in no table?",
    ],
}


VALUES = st.sampled_from(
    [
        *(line.partition(" = ")[2] for line in EVERYTHING.splitlines() if " = " in line),
        *map(str, range(-2, 3)),
    ]
) | st.from_regex(r"[-+0-9a-zA-Z_.:'\"\[\]{}#=, ]{1,12}", fullmatch=True)


class TestAnyFile:
    @given(st.binary(max_size=80))
    def test_is_settings_and_errors_and_never_an_exception(self, data: bytes) -> None:
        read_toml(data, "F")

    @given(st.lists(st.tuples(st.sampled_from([*DECLARED, "x", "[x]\n", "cache."]), VALUES), max_size=4))
    def test_gives_each_setting_a_value_that_is_its_kind(self, pairs: list[tuple[str, str]]) -> None:
        found = read_toml("\n".join(f"{name} = {value}" for name, value in pairs).encode(), "F")
        assert len(found.given) + len(found.errors) >= len({name for name, _ in pairs if name in DECLARED})
        for each in found.given:
            declared = DECLARED[each.name]
            assert each.value is None or declared.in_toml(each.value)


class TestABrokenFile:
    @pytest.mark.parametrize(("text", "expected"), BROKEN.items(), ids=range(len(BROKEN)))
    def test_is_refused_with_all_that_is_wrong(self, text: str, expected: list[str]) -> None:
        assert errors(text) == [f"F:{line}" for line in expected]

    @pytest.mark.parametrize("text", [text for text in BROKEN if "[" not in text])
    def test_is_understood_where_it_is_right(self, text: str) -> None:
        found = read_toml(f"queue_timeout = 3\n{text}\nmost_workers = 9\n".encode(), "F")
        assert {"queue_timeout", "most_workers"} <= {each.name for each in found.given}
        assert len(found.errors) == len(BROKEN[text])

    def test_of_another_encoding_is_refused_with_the_line(self) -> None:
        assert errors("user = 'x'\n# für\n".encode("latin-1")) == ["F:2: expected text in UTF-8"]

    def test_of_another_kind_does_not_fill_the_log(self) -> None:
        told = errors("key: value\n" * 1000)
        assert len(told) == MOST_MESSAGES + 1
        assert told[-1] == f"F: {1000 - MOST_MESSAGES} more errors"
        assert errors(b"#" * (LARGEST_FILE + 1)) == [
            f"F: {LARGEST_FILE + 1} bytes; expected at most {LARGEST_FILE}"
        ]
        assert len(max(errors(f"{'x' * 5000} = 1"), key=len)) < 600

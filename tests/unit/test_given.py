"""Who is heard of those that give a setting, what a reload may change, and what is weak."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from pysaslauthd.config.command_line import read_command_line
from pysaslauthd.config.declared import DECLARED
from pysaslauthd.config.given import Effective, Found, combined
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import OptionError, Options
from pysaslauthd.config.settings import SettingError, Settings
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.config.weak import weaknesses
from pysaslauthd.config.written import written
from pysaslauthd.core.identity import RealmPolicy


def from_file(text: str) -> Found:
    return read_toml(text.encode(), "F")


def from_flags(*words: str) -> Found:
    return read_command_line(words).found


def effective(text: str, *words: str) -> Effective:
    return combined([from_file(text), from_flags(*words)])


class TestTheLater:
    def test_is_heard(self) -> None:
        found = effective("mechanism = 'pam'\nprocesses = 3\nverbose = true\n", "-a", "shadow", "-n", "4")
        assert (found.options.row.name, found.options.processes) == ("shadow", 4)
        origins = {name: origin for name, origin in found.origins.items() if origin != "default"}
        assert origins == {"mechanism": "-a", "processes": "-n", "verbose": "F:3"}

    def test_does_not_hide_what_is_wrong_in_the_one_before(self) -> None:
        with pytest.raises(OptionError) as caught:
            effective("processes = -1\nx = 1\n", "-n", "4", "-m", "x")
        assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == ["F:1:", "F:2:", "-m"]

    def test_is_named_when_it_has_no_effect(self) -> None:
        text = "mechanism = 'pam'\nmechanism_option = '/x'\n"
        no_effect = "has no effect: mechanism pam takes no option"
        assert effective(text).options.warnings == (f"F:2: mechanism_option {no_effect}",)
        assert effective(text, "-O", "y").options.warnings == (f"-O {no_effect}",)


BEFORE = Options((MECHANISMS["pam"],))


class TestAReload:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("mechanism = 'ldap'", "mechanism"),
            ("run_path = '/x'", "run_path"),
            ("verbose = true", "verbose"),
            ("syslog_socket = '/x'", "syslog_socket"),
        ],
    )
    def test_keeps_what_needs_a_restart_and_says_so(self, text: str, kept: str) -> None:
        options, warnings = effective(text, *(() if kept == "mechanism" else ("-a", "pam"))).keeping(BEFORE)
        assert options == BEFORE
        assert warnings == [f"{kept} (F:1) needs a restart; what was in force stays so"]
        assert DECLARED[kept].needs_restart

    def test_changes_the_rest_and_says_nothing(self) -> None:
        text = "processes = 3\nuser = 'x'\ncache = true\nread_timeout = 1\nshadow_file = '/x'\n"
        found = effective(text, "-a", "pam")
        options, warnings = found.keeping(BEFORE)
        assert warnings == []
        assert options == found.options


class TestTheSocketOfAnotherDaemon:
    @pytest.mark.parametrize(
        ("text", "words", "origin"),
        [
            ("proxy_socket = '/x/mux'\n", ("-a", "proxy"), "F:1"),
            ("proxy_socket = '/x/mux'\n", ("-a", "proxy,ldap", "-O", "/etc/ldap.conf"), "F:1"),
            ("", ("-a", "proxy", "-O", "/x//mux"), "-O"),
            ("", ("-a", "shadow,proxy", "-O", "/x/mux"), "-O"),
            (
                "mechanism_option = '/x/mux'\n[[chain]]\nservices = 'a'\nmechanism = 'proxy'\n",
                ("-a", "pam"),
                "F:1",
            ),
        ],
    )
    def test_is_named_by_its_setting_or_by_the_option(
        self, text: str, words: tuple[str, ...], origin: str
    ) -> None:
        found = effective(text, *words)
        (asking,) = [each for each in found.options.split() if each.row.asks]
        assert asking.asked_socket == Path("/x/mux")
        assert found.origins["proxy_socket"] == origin
        assert found.options.warnings == ()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("proxy",), "mechanism proxy: expected proxy_socket, the path of the socket that it asks"),
            (
                ("proxy,ldap", "-O", "/x"),
                "mechanism proxy: expected proxy_socket, the path of the socket that it asks; -O is for ldap",
            ),
            (("proxy", "-O", "mux"), "-O: expected an absolute path of at most 107 bytes, found 'mux'"),
            (
                ("proxy", "-O", "/" + "x" * 107),
                f"-O: expected an absolute path of at most 107 bytes, found '/{'x' * 107}'",
            ),
        ],
    )
    def test_has_to_be_named(self, words: tuple[str, ...], message: str) -> None:
        with pytest.raises(OptionError) as caught:
            effective("", "-a", *words)
        assert str(caught.value) == message

    def test_is_asked_by_workers_of_their_own_where_it_is_for_comparing(self) -> None:
        options = effective("compare = '/x/mux'\nproxy_connections = 7\n", "-a", "proxy", "-O", "/y").options
        assert [(each.row.name, each.asked_socket) for each in options.pools()] == [
            ("proxy", Path("/y")),
            ("compare", Path("/x/mux")),
        ]
        assert [(each.workers, each.concurrency) for each in options.pools()] == [(1, 7), (1, 7)]
        fresh = dataclasses.replace(options, processes=0)
        assert [(each.workers, each.concurrency, each.share) for each in fresh.pools()] == [(5, 1, 1)] * 2


LDAP, SHADOW = (MECHANISMS["ldap"],), (MECHANISMS["shadow"],)
PROXY = (MECHANISMS["proxy"],)


class TestWeak:
    @pytest.mark.parametrize(
        ("options", "settings", "name"),
        [
            ({"cache": True, "cache_timeout": math.inf}, {}, "cache_timeout"),
            ({"mechanism": LDAP, "cache": True}, {}, "cache_timeout"),
            ({"cache": True}, {"cache_stale": 100_000.0}, "cache_stale"),
            ({}, {"unavailable": "no"}, "unavailable"),
            ({}, {"reply_reason": True}, "reply_reason"),
            ({}, {"read_timeout": 121.0}, "read_timeout"),
            ({}, {"login_timeout": 301.0}, "login_timeout"),
            ({}, {"queue_timeout": 301.0}, "queue_timeout"),
            ({}, {"queue_length": 100_001}, "queue_length"),
            ({}, {"connections": 100_001}, "connections"),
            ({}, {"worker_share": 10_001}, "worker_share"),
            ({}, {"syslog_socket": None}, "syslog_socket"),
            ({"mechanism": PROXY}, {"realm_policy": RealmPolicy.APPEND}, "realm_policy"),
            ({"mechanism": PROXY, "cache": True}, {}, "cache_timeout"),
            ({}, {"compare_rejected": True}, "compare_rejected"),
            ({}, {"compare": Path("/x"), "compare_rejected": True}, "compare_rejected"),
            ({}, {"log_to": frozenset({"stderr"})}, "log_to"),
        ],
    )
    def test_is_named(self, options: dict[str, Any], settings: dict[str, Any], name: str) -> None:
        weak = dataclasses.replace(BEFORE, settings=Settings(**settings), **options)
        assert [each for each, _ in weaknesses(weak)] == [name]

    @pytest.mark.parametrize(
        ("options", "settings"),
        [
            ({}, {}),
            ({"cache": True}, {}),
            ({"cache_timeout": math.inf}, {"cache_stale": 100_000.0}),
            ({"mechanism": LDAP, "cache": True, "cache_timeout": 3600.0}, {}),
            ({"mechanism": SHADOW, "cache": True}, {"worker_share": 1_000_000}),
            ({"foreground": True}, {"syslog_socket": None}),
            ({"mechanism": PROXY}, {"compare": Path("/x")}),
            ({}, {"realm_policy": RealmPolicy.APPEND}),
            ({"foreground": True}, {"log_to": frozenset({"stderr"})}),
            ({}, {"syslog_socket": None, "log_to": frozenset({"journal"})}),
        ],
    )
    def test_is_not_what_is_usual(self, options: dict[str, Any], settings: dict[str, Any]) -> None:
        assert list(weaknesses(dataclasses.replace(BEFORE, settings=Settings(**settings), **options))) == []


class TestWritten:
    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("cache_timeout", math.inf, '"never"'),
            ("cache_timeout", 28_800.0, '"8h"'),
            ("cache_timeout", 90.0, '"90s"'),
            ("cache_timeout", 120.0, '"2m"'),
            ("read_timeout", 0.5, '"500ms"'),
            ("read_timeout", 2.5, '"2500ms"'),
            ("read_timeout", 0.0001, '"0.000100s"'),
            ("cache_stale", 0.0, '"0s"'),
            ("cache_size", 102_400, '"100 KiB"'),
            ("worker_growth", 64 << 20, '"64 MiB"'),
            ("worker_growth", 1025, "1025"),
            ("connections", 4096, "4096"),
            ("cache", True, "true"),
            ("mechanism", SHADOW, '"shadow"'),
            ("user", 'a"b\\c\x7fä', '"a\\"b\\\\c\\u007fä"'),
            ("run_path", Path("/x y"), '"/x y"'),
            ("uncached_services", frozenset({"b", "a"}), '["a", "b"]'),
            ("run_path", Path("/\udcff"), ""),
            ("uncached_services", frozenset({"\udcff"}), ""),
        ],
    )
    def test_is_the_shortest_that_means_the_same(self, name: str, value: object, text: str) -> None:
        declared = DECLARED[name]
        assert declared.in_toml(value) == text
        if text and name != "user":
            ((_, read, *_),) = from_file(f"{name} = {text}").given
            assert read == value

    def test_of_what_cannot_be_said_is_a_comment(self) -> None:
        each = DECLARED["run_path"]
        (line,) = written([(each, Path("/\udcff"), "-m")])
        assert line.split("  ")[0] == "# run_path is not UTF-8, as TOML has to be"

    @pytest.mark.parametrize(
        "name", [name for name in DECLARED if DECLARED[name].default not in {None, dataclasses.MISSING}]
    )
    def test_are_the_kinds_that_every_setting_has(self, name: str) -> None:
        """A new kind of setting has to be known to what reads and what writes them."""
        declared = DECLARED[name]
        ((_, read, *_),) = from_file(f"{name} = {declared.in_toml(declared.default)}").given
        assert read == declared.default

    @pytest.mark.parametrize("name", [name for name in DECLARED if DECLARED[name].flag is None])
    def test_every_setting_refuses_a_table(self, name: str) -> None:
        with pytest.raises(SettingError):
            DECLARED[name].read_native({})

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from pysaslauthd import __version__
from pysaslauthd.config.command_line import Action, read_command_line
from pysaslauthd.config.declared import DECLARED, OURS, explanations
from pysaslauthd.config.given import Effective, NoMechanismError, combined
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import OptionError, Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.identity import RealmPolicy

SHADOW = (MECHANISMS["shadow"],)
APPENDING = Settings(realm_policy=RealmPolicy.APPEND)


def effective(arguments: Sequence[str]) -> Effective:
    line = read_command_line(arguments)
    return combined([line.found], foreground=line.foreground)


def read_options(arguments: Sequence[str]) -> Options:
    return effective(arguments).options


def options(*arguments: str) -> Options:
    return read_options(["-a", "shadow", *arguments])


class TestDefaults:
    def test_are_the_originals(self) -> None:
        assert options() == Options(mechanism=SHADOW)
        assert options().processes == 5
        assert options().cache_timeout == 28_800
        assert not options().foreground


class TestFlags:
    @pytest.mark.parametrize(
        ("arguments", "changes"),
        [
            ("-m /x", {"run_path": Path("/x")}),
            ("--run-path /x", {"run_path": Path("/x")}),
            ("--run-path=/x", {"run_path": Path("/x")}),
            ("-m /a -m /b", {"run_path": Path("/b")}),
            ("-n 0", {"processes": 0}),
            ("-n7", {"processes": 7}),
            ("-r", {"settings": APPENDING}),
            ("-V", {"verbose": True}),
            ("-d", {"verbose": True, "foreground": True}),
            ("-f", {"foreground": True}),
            ("-dV", {"verbose": True, "foreground": True}),
            ("-rm /x", {"settings": APPENDING, "run_path": Path("/x")}),
            ("-Vrm/x", {"settings": APPENDING, "verbose": True, "run_path": Path("/x")}),
            ("-l", {}),
            ("-s 100", {"cache_size": 102_400}),
            ("-t 60", {"cache_timeout": 60.0}),
            ("-t -1", {"cache_timeout": math.inf}),
            ("-o cache_size=100KiB", {"cache_size": 102_400}),
            ("-o cache_timeout=1m", {"cache_timeout": 60.0}),
            ("-o cache_timeout=never", {"cache_timeout": math.inf}),
            ("-o processes=7 -n 8", {"processes": 8}),
            ("-n 8 -o processes=7", {"processes": 7}),
            ("-c -o cache=no", {"cache": False}),
            ("-o mechanism=pam", {"mechanism": (MECHANISMS["pam"],)}),
            ("-u mail", {"user": "mail"}),
            ("ignored words", {}),
            ("-- -x", {}),
            ("-n 0 -r", {"processes": 0, "settings": APPENDING}),
        ],
    )
    def test_mean_what_they_meant(self, arguments: str, changes: dict[str, object]) -> None:
        assert options(*arguments.split()) == dataclasses.replace(Options(SHADOW), **changes)  # type: ignore[arg-type]

    def test_know_a_mechanism_in_any_case(self) -> None:
        assert read_options(["-a", "SHADOW"]).mechanism == SHADOW

    @pytest.mark.parametrize(
        ("arguments", "warning"),
        [
            ("-T", "-T has no effect"),
            ("-H x", "-H is an old name of -O"),
            ("-O x", "-O has no effect: mechanism shadow takes no option"),
        ],
    )
    def test_that_do_nothing_warn(self, arguments: str, warning: str) -> None:
        assert any(warning in line for line in options(*arguments.split()).warnings)

    def test_take_an_argument_that_begins_with_a_dash(self) -> None:
        assert options("-O", "-x").mechanism_option == "-x"

    def test_of_processes_say_how_many_workers_serve_how_long(self) -> None:
        assert (options("-n", "3").workers, options("-n", "3").share) == (3, SHADOW[0].share)
        assert (options("-n", "0").workers, options("-n", "0").share) == (5, 1)
        assert options("-o", "worker_share=7").share == 7

    def test_h_is_an_option_of_the_mechanism(self) -> None:
        assert options("-H", "x").mechanism_option == "x"
        assert options("-H", "x", "-O", "y").mechanism_option == "y"
        assert options("-O", "y", "-H", "x").mechanism_option == "y"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ("-m x", "-m requires an absolute pathname"),
            ("-n -1", "invalid number of worker processes defined"),
            ("-n abc", "invalid number of worker processes defined"),
            ("-s 0", "cache size must be positive and non zero"),
            ("-s -1", "cache size must be positive and non zero"),
            ("-s x", "cache size must be positive and non zero"),
            ("-t 0", "cache timeout must be positive"),
            ("-t x", "cache timeout must be positive"),
            ("--user=", "-u requires the name of a user"),
            ("-o nothing", "-o nothing: expected NAME=VALUE"),
            (
                "-o cache_size=100",
                "-o cache_size=100: expected a size of at least 1 KiB, such as 963KiB or 4MiB",
            ),
            ("-o run_path=x", "-o run_path=x: expected an absolute path"),
        ],
    )
    def test_are_told_in_the_originals_words(self, arguments: str, text: str) -> None:
        with pytest.raises(OptionError, match=f"^{text}$"):
            options(*arguments.split())

    def test_are_all_told_at_once(self) -> None:
        with pytest.raises(OptionError) as caught:
            read_options(["-m", "x", "-n", "x", "-s", "x", "-t", "x", "-o", "x"])
        assert str(caught.value).splitlines() == [
            "-m requires an absolute pathname",
            "invalid number of worker processes defined",
            "cache size must be positive and non zero",
            "cache timeout must be positive",
            "-o x: expected NAME=VALUE",
        ]

    def test_of_a_missing_mechanism_are_told_when_there_is_no_other(self) -> None:
        with pytest.raises(NoMechanismError, match=r"^no authentication mechanism specified$"):
            read_options(["-n", "3"])
        with pytest.raises(OptionError, match=r"^-m requires an absolute pathname$"):
            read_options(["-m", "x"])

    def test_of_a_mechanism_say_which_there_are(self) -> None:
        with pytest.raises(OptionError) as caught:
            read_options(["-a", "shadwo"])
        assert str(caught.value) == (
            "unknown authentication mechanism: shadwo; did you mean shadow?\nthis version has: ldap pam proxy shadow; saslauthd's others by asking it: -a proxy"
        )

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (
                ["-a", "shadow", "--check", "--show-config"],
                "only one of --check and --show-config can be used",
            ),
            (["--status", "--stop"], "only one of --status and --stop can be used"),
            (["--import"], "option --import requires argument"),
            (["-a", "shadow", "-x"], "option -x not recognized"),
            (["-a", "shadow", "-m"], "option -m requires argument"),
            (["-a", "shadow", "-a", "pam"], "only one mechanism can be used"),
            (["-a", "shadow", "--nosuch"], "option --nosuch not recognized"),
        ],
    )
    def test_of_usage_exit_64_with_the_usage_text(
        self, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            read_options(arguments)
        assert caught.value.code == 64
        out, err = capsys.readouterr()
        assert out == ""
        assert complaint in err.splitlines()[0]
        assert "usage: pysaslauthd [options]" in err


class TestTexts:
    def test_of_the_version_have_the_originals_shape(self, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (["-v"], ["--version"], ["-a", "x", "-v", "-h"]):
            with pytest.raises(SystemExit) as caught:
                read_options(arguments)
            assert caught.value.code == 0
            assert capsys.readouterr().err == (
                f"pysaslauthd {__version__}\nauthentication mechanisms: ldap pam proxy shadow\n\n"
            )

    def test_of_the_usage_name_every_option_and_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            read_options(["-h"])
        assert caught.value.code == 0
        text = capsys.readouterr().err
        for letter in "acdfrOlmnstuovVhHT":
            assert f"  -{letter}, --" in text
        for flag in ("config <file>", "defaults <file>", "check", "show-config", "import <file>"):
            assert f"      --{flag} " in text
        for name, explanation in explanations().items():
            assert explanation in text
            assert f"  {name} " in text or f"--{name.replace('_', '-')} " in text

    def test_explain_every_field(self) -> None:
        fields = [*dataclasses.fields(Options), *dataclasses.fields(Settings)]
        assert list(explanations()) == [
            field.name
            for field in fields
            if field.name not in {"foreground", "settings", "sockets", "chains", "warnings"}
        ]


class TestFilesAndActions:
    def test_are_kept_with_absolute_paths(self) -> None:
        line = read_command_line(["--config", "a", "--config", "b", "--defaults=/c", "--check"])
        assert (line.config, line.defaults) == (Path.cwd() / "b", Path("/c"))
        assert line.action is Action.CHECK

    def test_are_none_by_default(self) -> None:
        line = read_command_line([])
        assert (line.config, line.defaults, line.imported) == (None, None, None)
        assert line.action is Action.RUN


class TestOrigins:
    def test_are_the_flags_and_the_default(self) -> None:
        found = effective(["-a", "shadow", "-dn3", "-o", "read_timeout=1s"])
        given = {"mechanism": "-a", "verbose": "-d", "processes": "-n", "read_timeout": "-o"}
        assert found.origins == {name: given.get(name, "default") for name in DECLARED}

    def test_come_with_every_value(self) -> None:
        values = {declared.name: value for declared, value, _ in effective(["-a", "shadow"]).values()}
        assert values.keys() == DECLARED.keys()
        assert {name: values[name] for name in OURS} == {
            field.name: field.default for field in dataclasses.fields(Settings)
        }


def read_settings(assignments: Sequence[str]) -> Settings:
    return options(*(word for each in assignments for word in ("-o", each))).settings


class TestSettings:
    def test_are_read_with_their_units(self) -> None:
        settings = read_settings(
            [
                "shadow_file=/x",
                "unavailable=NO",
                "reply_reason=Yes",
                "read_timeout=500ms",
                "login_timeout=2m",
                "queue_timeout=3",
                "syslog_socket=",
                "worker_share=10",
                "password_limit=65535",
                "worker_share=11",
                "cache_rejected=0s",
                "uncached_services=a, b",
            ]
        )
        assert settings == Settings(
            shadow_file=Path("/x"),
            unavailable="no",
            reply_reason=True,
            read_timeout=0.5,
            login_timeout=120.0,
            queue_timeout=3.0,
            syslog_socket=None,
            worker_share=11,
            password_limit=65535,
            uncached_services=frozenset({"a", "b"}),
        )

    def test_that_are_wrong_are_told_all_at_once(self) -> None:
        with pytest.raises(OptionError) as caught:
            read_settings(
                [
                    "shadow_fle=/x",
                    "shadow_file=x",
                    "unavailable=maybe",
                    "reply_reason=2",
                    "read_timeout=0",
                    "password_limit=65536",
                    "queue_length=0",
                    "login_timeout=10 parsecs",
                    "queue_length=1e3",
                ]
            )
        assert str(caught.value).splitlines() == [
            "-o shadow_fle: no such setting; did you mean shadow_file?",
            "-o shadow_file=x: expected an absolute path",
            "-o unavailable=maybe: expected close or no",
            "-o reply_reason=2: expected yes or no",
            "-o read_timeout=0: expected a time above zero, such as 10s, 500ms or 2m",
            "-o password_limit=65536: expected a whole number from 1 to 65535",
            "-o queue_length=0: expected a whole number from 1 to 1000000",
            "-o login_timeout=10 parsecs: expected a time above zero, such as 10s, 500ms or 2m",
            "-o queue_length=1e3: expected a whole number from 1 to 1000000",
        ]

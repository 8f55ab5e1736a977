"""The manual pages say what the code does: every option, key, default, limit, signal, variable and exit status, and no other."""

import argparse
import dataclasses
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pysaslauthd
from pysaslauthd.commands import check, control, top
from pysaslauthd.commands.doctor import programs
from pysaslauthd.commands.doctor.findings import Level
from pysaslauthd.config.command_line import DEFAULT_FILE, FLAGS
from pysaslauthd.config.declared import DECLARED, Declared
from pysaslauthd.config.ldap_conf import read_ldap_conf
from pysaslauthd.config.ldap_keys import KEYS as LDAP_KEYS
from pysaslauthd.config.ldap_keys import PREFIX, LdapConf
from pysaslauthd.config.options import (
    DEFAULT_CACHE_TIMEOUT,
    DEFAULT_PROCESSES,
    DEFAULT_RUN_PATH,
    DEFAULT_USER,
    EXIT_ALREADY_RUNNING,
    EXIT_FAILURE,
    EXIT_USAGE,
)
from pysaslauthd.config.settings import SettingError
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.metrics import METRICS
from pysaslauthd.master.activation import inherited_sockets
from pysaslauthd.master.notify import ServiceManager
from pysaslauthd.master.supervisor import hold_signals

PACKAGE = Path(pysaslauthd.__file__).parent
PAGES = Path(__file__).parents[2] / "packaging/man"
DAEMON = (PAGES / "pysaslauthd.8").read_text()
SETTINGS = (PAGES / "pysaslauthd.toml.5").read_text()
LDAP = (PAGES / "pysaslauthd-ldap.5").read_text()
CONTROL = (PAGES / "pysaslauthctl.8").read_text()
CHECK = (PAGES / "testpysaslauthd.8").read_text()

DEFAULT = re.compile(r"^Default: (\[.*?\]|.*?)(?:[;,](?: .*)?|\.)$", re.MULTILINE)
RANGE = re.compile(r"from\s+(-?[0-9]+)\s+to\s+([0-9]+)")


class Item(NamedTuple):
    """A paragraph of a list: what stands behind ``.It``, and its text."""

    head: str
    text: str

    @property
    def default(self) -> str | None:
        found = DEFAULT.findall(self.text)
        assert len(found) <= 1, f"{self.head}: several defaults"
        return found[0] if found else None


def section(page: str, title: str) -> str:
    """What stands under a title, to the next."""
    match = re.search(rf"^\.S[hs] {title}\n(.*?)(?=^\.Sh |^\.Ss [A-Z]|\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"no {title}"
    return match[1]


def chapter(page: str, title: str) -> str:
    """What stands under a title, with all that has a title of its own in it."""
    match = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"no {title}"
    return match[1]


def items(text: str) -> list[Item]:
    text = text.replace(r"\(dq", '"')
    return [
        Item(head, body)
        for head, body in re.findall(r"^\.It ([^\n]+)\n(.*?)(?=^\.It |^\.El)", text, re.MULTILINE | re.DOTALL)
    ]


def example(page: str) -> str:
    match = re.search(r"^\.Bd -literal.*?\n(.*?)^\.Ed", chapter(page, "EXAMPLES"), re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def as_item(letter: str, name: str, argument: str) -> str:
    """How an option stands at the head of its paragraph."""
    written = " Ns Li = Ns ".join(f"Ar {word}" for word in argument.split("=")) if argument else ""
    forms = [f"Fl {each} {written}".strip() for each in (letter, name and f"-{name}") if each]
    return " , ".join(forms)


class TestPysaslauthd:
    OPTIONS = items(section(DAEMON, "Options"))

    def test_has_every_option_and_no_other(self) -> None:
        # The usage text has the original's argument names too, so one word names one thing everywhere.
        expected = {as_item(flag.letter, flag.name, flag.argument) for flag in FLAGS}
        assert {item.head for item in self.OPTIONS} == expected
        assert len(self.OPTIONS) == len(FLAGS)

    def test_has_every_option_in_its_synopsis(self) -> None:
        found: set[str] = set()
        for word in re.findall(r"Fl (\S+)", chapter(DAEMON, "SYNOPSIS")):
            found |= {word} if word.startswith("-") else set(word)
        assert found == {flag.letter or f"-{flag.name}" for flag in FLAGS}

    def test_states_the_defaults_of_the_code(self) -> None:
        stated = {item.head.split()[-3 if " Ar " in item.head else -1]: item.default for item in self.OPTIONS}
        assert {name: default for name, default in stated.items() if default is not None} == {
            "-run-path": str(DEFAULT_RUN_PATH),
            "-processes": str(DEFAULT_PROCESSES),
            "-cache-timeout": f"{DEFAULT_CACHE_TIMEOUT:.0f}",
            "-user": DEFAULT_USER,
            "-config": str(DEFAULT_FILE),
        }

    def test_has_every_exit_status(self) -> None:
        stated = [int(item.head) for item in items(chapter(DAEMON, "EXIT STATUS"))]
        assert stated == [0, EXIT_FAILURE, EXIT_ALREADY_RUNNING, EXIT_USAGE]

    def test_has_every_signal(self) -> None:
        heads = " , ".join(item.head for item in items(chapter(DAEMON, "SIGNALS")))
        named = {signal.Signals[f"SIG{name}"] for name in re.findall(r"[A-Z]+[0-9]*\b", heads)}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        hold_signals()
        awaited = signal.pthread_sigmask(signal.SIG_SETMASK, before) - before
        assert named == awaited - {signal.SIGCHLD}

    def test_has_every_variable_that_is_asked_for(self) -> None:
        class Asked(dict[str, str]):
            def pop(self, name: str, default: object = None, /) -> Any:
                names.add(name)
                return super().pop(name, default)

        names: set[str] = set()
        environment = Asked()
        ServiceManager(environment)
        inherited_sockets(environment)
        heads = " ".join(item.head for item in items(chapter(DAEMON, "ENVIRONMENT")))
        assert set(re.findall(r"[A-Z]+_[A-Z]+", heads)) == names


class TestPysaslauthdToml:
    KEYS = items(chapter(SETTINGS, "SETTINGS"))

    def test_has_every_key_once_with_its_option(self) -> None:
        pattern = re.compile(r"Ic (\w+) = Ar \w+(?: Pq Fl (\w))?")
        matches = [pattern.fullmatch(item.head) for item in self.KEYS]
        stated = [(match[1], match[2]) for match in matches if match]
        assert len(stated) == len(self.KEYS)
        expected = [(each.name, each.flag.letter if each.flag else None) for each in DECLARED.values()]
        assert sorted(stated, key=str) == sorted(expected, key=str)

    @pytest.mark.parametrize("item", KEYS, ids=lambda item: item.head.split()[1])
    def test_says_of_a_key_what_the_code_says(self, item: Item) -> None:
        declared = DECLARED[item.head.split()[1]]
        assert item.default == shown_default(declared)
        assert ("Needs a restart." in item.text) == declared.needs_restart
        if "Ar number" in item.head:
            assert_range(item, declared.read)

    def test_has_examples_that_are_right(self) -> None:
        found = read_toml(example(SETTINGS).encode(), "example")
        assert len(found.given) > 3
        assert found.errors == found.warnings == ()


def assert_range(item: Item, read: Callable[[str], object]) -> None:
    match = RANGE.search(item.text)
    assert match, "from where to where?"
    least, most = int(match[1]), int(match[2])
    assert (read(str(least)), read(str(most))) == (least, most)
    for beyond in (least - 1, most + 1):
        with pytest.raises(SettingError):
            read(str(beyond))


def shown_default(declared: Declared) -> str:
    if declared.default is None or declared.default is dataclasses.MISSING:
        return "not set"
    return declared.in_toml(declared.default)


class TestPysaslauthdLdap:
    HEAD = re.compile(r"Ic (\w+) : Ar \w+(?: , Ic (\w+) : Ar \w+)?")
    ITEMS = items(chapter(LDAP, "KEYS"))

    def test_has_every_key_once_with_its_other_name(self) -> None:
        matches = [self.HEAD.fullmatch(item.head) for item in self.ITEMS]
        stated = [(match[1], match[2]) for match in matches if match]
        assert len(stated) == len(self.ITEMS)
        # The page can say one other name; so far there is no key with two.
        expected = [
            (PREFIX + field.name, *([PREFIX + name for name in field.metadata["aliases"]] or [None]))
            for name, field in LDAP_KEYS.items()
            if name == PREFIX + field.name
        ]
        assert sorted(stated) == sorted(expected)

    @pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.head.split()[1])
    def test_says_of_a_key_what_the_code_says(self, item: Item) -> None:
        field = LDAP_KEYS[item.head.split()[1]]
        assert item.default == shown_in_ldap_conf(getattr(LdapConf(), field.name))
        assert ("Not in saslauthd." in item.text) == ("(not in saslauthd)" in field.metadata["explanation"])
        if "Ar number" in item.head:
            assert_range(item, field.metadata["read"])

    def test_has_examples_that_are_right(self) -> None:
        conf = read_ldap_conf(example(LDAP).encode(), "example")
        assert len(conf.lines) > 3
        assert conf.warnings == ()


def shown_in_ldap_conf(default: object) -> str:
    match default:
        case bool():
            return "yes" if default else "no"
        case tuple():
            return " ".join(default)
        case None | "" | Secret():
            return "not set"
        case _:
            return str(default)


class TestTestpysaslauthd:
    OPTIONS = items(chapter(CHECK, "DESCRIPTION"))

    def test_has_every_option(self) -> None:
        letters = {letter: bool(colon) for letter, colon in re.findall(r"(\w)(:?)", check.LETTERS)}
        words = {f"-{word.rstrip('=')}": word.endswith("=") for word in check.WORDS}
        stated = {item.head.split()[1]: " Ar " in item.head for item in self.OPTIONS}
        assert stated == letters | words
        synopsis = chapter(CHECK, "SYNOPSIS")
        assert set(re.findall(r"Fl (\S+)", synopsis)) == set(stated)

    def test_states_the_defaults_of_the_code(self) -> None:
        stated = {f"-{item.head.split()[1]}": item.default for item in self.OPTIONS if item.default}
        assert stated == {name: default or "none" for name, default in check.DEFAULTS.items()}

    def test_has_every_exit_status(self) -> None:
        stated = [int(item.head) for item in items(chapter(CHECK, "EXIT STATUS"))]
        assert stated == [0, check.EXIT_USAGE, check.EXIT_NOT_OK]


def option_forms(parser: argparse.ArgumentParser) -> list[list[str]]:
    """The options of a parser, each with its forms."""
    actions = parser._actions  # noqa: SLF001  (argparse has no other way to ask)
    return [list(action.option_strings) for action in actions if action.option_strings]


def own_parser(subcommand: control.Subcommand) -> argparse.ArgumentParser:
    """What stands behind a subcommand."""
    parser = argparse.ArgumentParser(add_help=False)
    subcommand.arguments(parser)
    return parser


def option_heads(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser as they stand at the heads of their paragraphs."""
    return {
        " , ".join(
            f"Fl {each[1:]}{'' if action.nargs == 0 else f' Ar {action.metavar}'}"
            for each in action.option_strings
        )
        for action in parser._actions  # noqa: SLF001  (argparse has no other way to ask)
        if action.option_strings
    }


class TestPysaslauthctl:
    OPTIONS = items(chapter(CONTROL, "DESCRIPTION"))
    COMMANDS = items(chapter(CONTROL, "COMMANDS"))

    def test_has_every_option(self) -> None:
        assert {item.head for item in self.OPTIONS} == option_heads(control.parser())
        assert set(re.findall(r"Fl (\S+)", chapter(CONTROL, "SYNOPSIS"))) == {"m", "-socket"}

    def test_states_the_defaults_of_the_code(self) -> None:
        assert [item.default for item in self.OPTIONS if item.default] == [str(DEFAULT_RUN_PATH)]

    def test_has_every_command_with_its_options(self) -> None:
        commands = {item.head.split()[1]: item.head for item in self.COMMANDS}
        assert list(commands) == [each.name for each in control.SUBCOMMANDS]
        for each in control.SUBCOMMANDS:
            stated = re.findall(r"Fl (\S+)", commands[each.name])
            expected = option_forms(own_parser(each))
            assert len(stated) == len(expected)
            assert all({option[1:] for option in forms} & set(stated) for forms in expected)

    def test_has_every_metric_with_its_labels_and_what_it_is(self) -> None:
        stated = [(item.head, " ".join(item.text.split())) for item in items(chapter(CONTROL, "METRICS"))]
        for (head, text), metric in zip(stated, METRICS, strict=True):
            labels = f" Pq Li {' , '.join(metric.labels)}" if metric.labels else ""
            assert head == f"Ic {metric.exposed}{labels}"
            assert text.startswith(f"{metric.kind.capitalize()}. {metric.help}")

    def test_states_the_limits_of_top(self) -> None:
        (item,) = (item for item in self.COMMANDS if item.head.startswith("Ic top"))
        limits = f"from {top.SHORTEST_INTERVAL:g} to {top.LONGEST_INTERVAL:.0f}, or {top.DEFAULT_INTERVAL:g}."
        assert limits in " ".join(item.text.split())

    def test_has_every_exit_status(self) -> None:
        stated = [int(item.head) for item in items(chapter(CONTROL, "EXIT STATUS"))]
        assert stated == [
            control.EXIT_DONE,
            control.EXIT_FAILED,
            control.EXIT_USAGE,
            control.EXIT_NO_DAEMON,
        ]


class TestDoctor:
    OPTIONS = items(chapter(CONTROL, "DOCTOR"))

    def test_has_every_option_and_no_other(self) -> None:
        (command,) = (each for each in control.SUBCOMMANDS if each.name == "doctor")
        heads = {item.head for item in self.OPTIONS}
        assert heads == option_heads(own_parser(command)) | {"Li -- Ar option ..."}

    def test_names_every_program_and_level(self) -> None:
        text = chapter(CONTROL, "DOCTOR").lower().replace("\n", " ")
        assert all(name in text for name in (*programs.NAMES, Level.PROBLEM, Level.WARNING))


@pytest.mark.parametrize(
    "page", [DAEMON, CHECK, CONTROL], ids=["pysaslauthd", "testpysaslauthd", "pysaslauthctl"]
)
def test_the_lines_that_are_explained_are_those_of_the_code(page: str) -> None:
    sources = "".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    sources = re.sub(r"\{'s' if [^}]*\}", "s", sources)
    lines = [item.head for item in items(chapter(page, "DIAGNOSTICS"))]
    assert len(lines) > 3
    for line in lines:
        # What is in capital letters stands for something, and so do the brackets of fields.
        for words in re.split(r"\b[A-Z]+\b|\[.*?\]|: ", line.removeprefix("Li ").strip('"')):
            assert words.strip(" .:") in sources


@pytest.mark.parametrize("path", sorted(PAGES.iterdir()), ids=lambda path: path.name)
class TestEachPage:
    def test_is_called_as_its_title_says(self, path: Path) -> None:
        name, _, number = path.name.rpartition(".")
        assert f"\n.Dt {name.upper()} {number}\n" in path.read_text()

    def test_names_pages_of_ours_that_there_are(self, path: Path) -> None:
        named = {
            f"{name}.{number}" for name, number in re.findall(r"\.Xr (\S*pysasl\S*) (\d)", path.read_text())
        }
        assert named <= {each.name for each in PAGES.iterdir()}

    def test_names_no_option_that_nobody_has(self, path: Path) -> None:
        if path.name.startswith("pysaslauthctl"):
            parsers = [control.parser(), *map(own_parser, control.SUBCOMMANDS)]
            known = {each[1:] for parser in parsers for forms in option_forms(parser) for each in forms}
        elif path.name.startswith("test"):
            known = {*check.LETTERS, *(f"-{word.rstrip('=')}" for word in check.WORDS)}
        else:
            known = {name for flag in FLAGS for name in (flag.letter, f"-{flag.name}")}
        text = path.read_text().partition(".Sh DESCRIPTION\n")[2]
        assert set(re.findall(r"\bFl (\S+)", text)) <= known

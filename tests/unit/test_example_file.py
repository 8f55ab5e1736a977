"""The configuration file that packages bring: it says nothing by itself, and shows what is so."""

import re
from pathlib import Path

from pysaslauthd.config.declared import DECLARED
from pysaslauthd.config.toml_file import read_toml

EXAMPLE = (Path(__file__).parents[2] / "packaging/pysaslauthd.toml").read_text()
SHOWN = re.sub(r"^# (?=\w+ = |\[\[)", "", EXAMPLE, flags=re.MULTILINE)


def test_it_sets_nothing() -> None:
    found = read_toml(EXAMPLE.encode(), "example")
    assert (found.given, found.errors, found.sockets) == ((), (), ())


def test_what_it_shows_could_be_said_and_is_the_default() -> None:
    found = read_toml(SHOWN.encode(), "example")
    assert found.errors == ()
    assert len(found.sockets) == 1
    assert len(found.given) > 4
    assert {each.name: each.value for each in found.given} == {
        each.name: DECLARED[each.name].default for each in found.given
    }

"""The README's table of settings is the code's."""

import dataclasses
import re
from pathlib import Path

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| ", re.MULTILINE)


def test_the_settings_and_their_defaults_are_those_of_the_code() -> None:
    rows = dict(ROW.findall(README))
    expected = {field.name: shown(field.default) for field in dataclasses.fields(Settings)}
    expected["shadow_file"] = "the system's accounts"
    expected["uncached_services"] = "none"
    expected["realms"] = "all"
    expected["metrics_file"] = "none"
    expected["next_on"] = "`reject`, `unknown`, `unavailable`"
    expected["name_places"] = "5, or `-n` if that is more"
    expected["worker_growth"] = "64MiB"
    expected["worker_share"] = shown(MECHANISMS["shadow"].share)
    assert rows == expected


def shown(default: object) -> str:
    match default:
        case bool():
            return "`yes`" if default else "`no`"
        case float():
            return f"{default:g}s"
        case int():
            return str(default)
        case _:
            return f"`{default}`"

"""The README's table of settings is the code's, and no command in its guides is one that no test runs."""

import dataclasses
import re
from pathlib import Path

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.settings import Settings
from support.guides import Claim
from support.program_machines import KINDS
from support.sasl_programs import PROGRAMS

README = (Path(__file__).parents[2] / "README.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| ", re.MULTILINE)


def test_the_settings_and_their_defaults_are_those_of_the_code() -> None:
    rows = dict(ROW.findall(README))
    expected = {field.name: shown(field.default) for field in dataclasses.fields(Settings)}
    expected["shadow_file"] = "the system's accounts"
    expected |= dict.fromkeys(("uncached_services", "proxy_socket", "compare"), "none")
    expected["log_to"] = "`syslog`, and `stderr` in the foreground"
    expected["realms"] = "all"
    expected["metrics_file"] = "none"
    expected["next_on"] = "`reject`, `unknown`, `unavailable`"
    expected["name_places"] = "5, or `-n` if that is more"
    expected["worker_growth"] = "64MiB"
    expected["worker_share"] = shown(MECHANISMS["shadow"].share)
    assert rows == expected


def test_every_block_of_the_guides_belongs_to_one_that_is_followed() -> None:
    (section,) = re.findall(r"^## Guides$.*?(?=^## )", README, re.MULTILINE | re.DOTALL)
    fences = [line for line in section.splitlines() if line.lstrip().startswith("```")]
    followed = "|".join(guide for kind in KINDS.values() for guide in kind.guides)
    opening = re.compile(rf"```(sh guide=({followed})( step=install)?|text guide=({followed})( from=log)?)")
    assert len(fences) > 40
    assert all(opening.fullmatch(fence) for fence in fences[::2])
    assert set(fences[1::2]) == {"```"}


def test_what_a_guide_says_is_seen_has_to_be_there_in_this_order_on_one_line() -> None:
    seen = "250-AUTH PLAIN LOGIN\n250 2.0.0 xyz Message accepted\n"
    for line, is_true in {
        "250-AUTH PLAIN": True,
        "250 2.0.0 ... Message": True,
        "AUTH ... Message": False,
        "Message ... 250": False,
        "250-AUTH.PLAIN": False,
    }.items():
        assert Claim(line, seen).is_true is is_true


def test_what_the_owner_of_a_mailbox_sees_is_what_the_servers_were_seen_to_say() -> None:
    rows = dict(re.findall(r"^\| (Postfix|Exim|sendmail) \| (535 \| \d+)", README, re.MULTILINE))
    servers = {"Postfix": "postfix-chrooted", "Exim": "exim", "sendmail": "sendmail"}
    programs = {program.name: f"{program.refused} | {program.unavailable}" for program in PROGRAMS}
    assert rows == {name: programs[program] for name, program in servers.items()}


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

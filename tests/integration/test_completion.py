"""Completion in bash says what the programs know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.settings import Settings
from support.packages import need_program

SCRIPT = Path(__file__).parents[2] / "packaging/completion/pysaslauthd.bash"
PROGRAMS = Path(sys.executable).parent

_ASK = 'source "$1"; _pysaslauthd "$2" "$3" "$4"; printf "%s\\n" "${COMPREPLY[@]}"'


def completed(program: str, current: str, previous: str = "") -> set[str]:
    bash = need_program("bash", "bash")
    words = (bash, "-c", _ASK, "bash", SCRIPT, program, current, previous or program)
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    done = subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("program", "current", "previous", "expected"),
    [
        ("pysaslauthd", "--mech", "", {"--mechanism", "--mechanism-option"}),
        ("pysaslauthd", "-", "", {"-a", "-V", "--check", "--show-config"}),
        ("pysaslauthd", "", "-a", set(MECHANISMS)),
        ("pysaslauthd", "p", "--mechanism", {"pam"}),
        ("pysaslauthd", "realm", "-o", {"realm_policy=", "realms="}),
        ("pysaslauthd", "", "-o", {f"{name}=" for name in Settings.__dataclass_fields__}),
        ("pysaslauthd", "/us", "-m", {"/usr"}),
        ("pysaslauthd", "roo", "-u", {"root"}),
        ("testpysaslauthd", "--", "", {"--timeout", "--json"}),
        ("testpysaslauthd", "/etc/passw", "-f", {"/etc/passwd"}),
    ],
)
def test_what_is_completed(program: str, current: str, previous: str, expected: set[str]) -> None:
    found = completed(program, current, previous)
    assert expected <= found
    assert all(word.startswith(current) for word in found)


def test_a_run_path_is_a_directory() -> None:
    assert completed("pysaslauthd", "/etc/passw", "-m") == set()

"""What a file of shell assignments holds, beside a shell, and what is not understood."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysaslauthd.config.complaints import Complaints
from pysaslauthd.config.shell_file import read_shell


def read(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    errors, warnings = Complaints("F", "errors"), Complaints("F", "warnings")
    variables = read_shell(text, errors, warnings)
    return {name: each.value for name, each in variables.items()}, errors.all(), warnings.all()


def by_a_shell(text: str, names: list[str]) -> dict[str, str]:
    """What ``sh`` makes of the file; the names that it sets."""
    show = "".join(f"printf '%s=%s\\0' {name} \"${{{name}-unset}}\"\n" for name in names)
    result = subprocess.run(
        ["sh", "-c", f"{text}\n{show}"], capture_output=True, text=True, check=True, timeout=60, env={}
    )
    pairs = (each.partition("=") for each in result.stdout.split("\0") if each)
    return {name: value for name, _, value in pairs if value != "unset"}


UNDERSTOOD = [
    "A=1",
    "\n# A=2\n  A=1 # B=2\n\tB=x#y\n",
    "A='1 2'  B=\"3 4\"; C=5;D=6",
    "A=\nB=''\nC=\"\"\n",
    "A='$B`x`\\'\nB=2",
    'A="a\\"b\\\\c\\$d\\`e\\f\'g"',
    "A=a\\ b\\#\\$c\\\\",
    "A='one\ntwo'\nB=\"three\nfour\"\n",
    'A="one \\\ntwo"\nB=on\\\ne\nC=1 \\\n D=2\n',
    "A=1\nB=\"-m $A/${A}x$A\"\nC='$A'\nD=$A$B\n",
    "A=1\nA=2$A\nB=$A\n",
    "export A=1\nexport A B\nexport B=2 C=3\n",
    "A=a\"b c\"'d e'f\n",
    "A=-c B=/x/y.z:1,2+3@%4=5^_\n",
    "A=x!y#z\n",
]


class TestUnderstood:
    @pytest.mark.parametrize("text", UNDERSTOOD)
    def test_is_what_a_shell_makes_of_it(self, text: str) -> None:
        values, errors, warnings = read(text)
        assert (errors, warnings) == ([], [])
        assert values == by_a_shell(text, ["A", "B", "C", "D"])
        assert values

    @settings(max_examples=150)
    @given(st.text(st.sampled_from("AB=12 '\"\\$#{}\n"), max_size=20))
    def test_is_never_something_else_than_a_shell_makes_of_it(self, rest: str) -> None:
        text = f"A={rest}"
        values, errors, warnings = read(text)
        if not errors and not warnings:
            assert values == by_a_shell(text, sorted(values))

    def test_is_the_line_of_each_and_whether_another_uses_it(self) -> None:
        errors, warnings = Complaints("F", ""), Complaints("F", "")
        variables = read_shell("\nA='1\n2'\nB=$A C=3\n", errors, warnings)
        assert {name: (each.line, each.is_used) for name, each in variables.items()} == {
            "A": (2, True),
            "B": (4, False),
            "C": (4, False),
        }

    def test_is_a_carriage_return_at_the_end_of_a_line(self) -> None:
        assert read('A=1\r\nB="x"\r\n') == ({"A": "1", "B": "x"}, [], [])

    @pytest.mark.parametrize(
        ("text", "value"), [("A=-O x -r\nB=1", "-O x -r"), ("A=-c  -m /x  # more\nB=1", "-c -m /x")]
    )
    def test_is_a_value_with_blanks_as_systemd_takes_it(self, text: str, value: str) -> None:
        warning = "F:1: A: taken up to the end of the line, as systemd does; a shell needs quotes"
        assert read(text) == ({"A": value, "B": "1"}, [], [warning])


NO_COMMAND = "expected no command: nothing of this file is run"
NO_MORE = "expected $NAME or ${NAME}; no more of the shell is understood"


class TestNotUnderstood:
    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("A=\\", "expected something behind the backslash"),
            ("A='x", "expected a closing '"),
            ('A="x\nB=1', 'expected a closing "'),
            ("A=$(id)", NO_COMMAND),
            ('A="$(id)"', NO_COMMAND),
            ('A="`id`"', NO_COMMAND),
            ("A=`id`", "expected quotes around '`'"),
            ("A=${B:-x}", NO_MORE),
            ('A="${#B}"', NO_MORE),
            ("A=$1", NO_MORE),
            ("A=$", NO_MORE),
            ("A=$'x'", NO_MORE),
            ("A=$HOME", "expected HOME to be assigned above"),
            ("A=x&", "expected quotes around '&'"),
            ("A=x | id", "expected quotes around '|'"),
            ("A=x > /x", "expected quotes around '>'"),
            ("A=(1 2)", "expected quotes around '('"),
            ("A=*", "expected quotes around '*'"),
            ("A=~/x", "expected quotes around '~'"),
            ("A='x' id", "A: expected nothing behind the value, found 'id'"),
            ("A+=x", "expected NAME=VALUE or a comment"),
            ("A =x", "expected NAME=VALUE or a comment"),
            ("A: x", "expected NAME=VALUE or a comment"),
            ("1A=x", "expected NAME=VALUE or a comment"),
            ("id", "expected NAME=VALUE or a comment"),
            ("export -n A", "expected NAME=VALUE or a comment"),
            ("[ -f /x ] && A=1", "expected NAME=VALUE or a comment"),
            ("if true; then A=1; fi", "expected NAME=VALUE or a comment"),
            (". /etc/default/x", "expected NAME=VALUE or a comment"),
        ],
    )
    def test_is_told_with_its_line(self, text: str, error: str) -> None:
        _, errors, _ = read(f"C=1\n{text}")
        assert errors == [f"F:2: {error}"]

    def test_is_told_all_at_once_and_the_rest_understood(self) -> None:
        values, errors, _ = read("A=1\nB=$X\nC=2\nif\nD=`x`\nE=3\n")
        assert values == {"A": "1", "C": "2", "E": "3"}
        assert [error.split(":")[1] for error in errors] == ["2", "4", "5"]

    def test_is_never_run(self) -> None:
        text = "A=$(touch /nonexistent/x)\nB=`id`\nC=${A:=x}\n"
        values, errors, _ = read(text)
        assert values == {}
        assert len(errors) == 3

    @given(st.text(max_size=60))
    def test_is_an_error_whatever_it_is(self, text: str) -> None:
        read(text)  # comes to an end, and with no exception

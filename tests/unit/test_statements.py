"""What a TOML file assigns, and in which lines."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config.complaints import Complaints
from pysaslauthd.config.statements import Assigned, assignments


def read(text: str) -> tuple[list[Assigned], list[str]]:
    complaints = Complaints("F", "errors")
    return assignments(text, complaints).values, complaints.all()


def lines_of(text: str) -> dict[str, int]:
    """Of each path, written as a tuple of its keys."""
    assigned, errors = read(text)
    assert errors == []
    return {repr(each.path): each.line for each in assigned}


class TestTheLine:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a = 1", {("a",): 1}),
            ("\n\n  a = 1  # b = 2\nb = 3\n", {("a",): 3, ("b",): 4}),
            ("a.b = 1\na.c = 2\n", {("a", "b"): 1, ("a", "c"): 2}),
            ("a . 'b.c' = 1\n", {("a", "b.c"): 1}),
            ('"a" = 1\n\'b\' = 2\n"c = 3" = 4\n', {("a",): 1, ("b",): 2, ("c = 3",): 3}),
            ('"\\u0061" = 1\n', {("a",): 1}),
            ('"" = 1\n', {("",): 1}),
            ("[t]\na = 1\n\n[u.v]\na = 2\n", {("t", "a"): 2, ("u", "v", "a"): 5}),
            ('[ t . "u v" ] # [x]\na = 1\n', {("t", "u v", "a"): 2}),
            ("a = {b = 1, c.d = 2}\n", {("a", "b"): 1, ("a", "c", "d"): 1}),
            ("a = {}\nb = []\n", {("a",): 1, ("b",): 2}),
            ("[[s]]\na = 1\n[[s]]\na = 2\n", {("s", "0", "a"): 2, ("s", "1", "a"): 4}),
            (
                "[[s]]\n[s.t]\na = 1\n[[s]]\n[s.t]\na = 2\n",
                {("s", "0", "t", "a"): 3, ("s", "1", "t", "a"): 6},
            ),
            ('a = """\nb = 1\n[c]\n"""\nd = 2\n', {("a",): 1, ("d",): 5}),
            ("a = '''\nb = \"\"\"\n'''\nd = 2\n", {("a",): 1, ("d",): 4}),
            ('a = """x \\\n  # y\n """ # z\nd = 2\n', {("a",): 1, ("d",): 4}),
            ('a = """x"""\nd = "\'\'\'"\n', {("a",): 1, ("d",): 2}),
            ("a = [\n  1, # ]\n  # b = 1\n\n  2,\n]\nd = 2\n", {("a",): 1, ("d",): 7}),
            ('a = [[1],\n["]", """\n]\nb = 1"""],\n]\nd = 2\n', {("a",): 1, ("d",): 6}),
            ("a = {b = [\n1,\n]}\nd = 2\n", {("a", "b"): 1, ("d",): 4}),
            ("a = 1\r\nb = [\r\n2]\r\nc = 3\r\n", {("a",): 1, ("b",): 2, ("c",): 4}),
            ("", {}),
            ("# nothing", {}),
        ],
    )
    def test_is_the_one_where_the_statement_begins(
        self, text: str, expected: dict[tuple[str, ...], int]
    ) -> None:
        assert lines_of(text) == {repr(path): line for path, line in expected.items()}


KEYS = st.sampled_from(["a", "b", '"c d"', "'e'", "f-1"])
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
TEXTS = st.sampled_from(
    ['"x"', "'[y'", '"""\nz = 1\n[t]\n"""', "'''\n]\n'''", '"\\" = # "', '""""quoted""""', '"""\n\n"""']
)
SIMPLE = st.sampled_from(["1", "-0x0", "true", "1.5e3", "inf", "1979-05-27T07:32:00Z"]) | TEXTS
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3).map(
        lambda each: "[ # ]\n" + ",\n # x = 1\n".join(each) + "\n]"
    ),
    max_leaves=5,
)
STATEMENTS = (
    st.builds("{} = {}  # = ]".format, PATHS, VALUES)
    | st.builds("[{}]".format, PATHS)
    | st.builds("[[{}]]".format, PATHS)
    | st.sampled_from(["", "# [x]", "  "])
)


class TestAnyFile:
    @given(st.lists(STATEMENTS, max_size=8))
    def test_is_understood_as_by_tomllib_with_the_lines_that_were_written(
        self, statements: list[str]
    ) -> None:
        text = "\n".join(statements)
        assigned, errors = read(text)
        try:
            whole = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            assert errors
            return
        assert errors == []
        lines, line = [], 1
        for statement in statements:
            if statement.strip() and not statement.lstrip().startswith(("#", "[")):
                lines.append(line)
            line += statement.count("\n") + 1
        assert [each.line for each in assigned] == lines
        for each in assigned:
            assert repr(found(whole, each.path)) == repr(each.value)

    @given(st.text(st.sampled_from("ab.=[]{}\"'#\\\n, 1"), max_size=40))
    def test_that_tomllib_refuses_has_an_error_in_one_of_its_lines(self, text: str) -> None:
        _, errors = read(text)
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            assert errors
        else:
            assert errors == []
        for error in errors:
            assert 1 <= int(error.split(":")[1]) <= text.count("\n") + 1


def found(table: Any, path: tuple[str, ...]) -> object:
    for key in path:
        table = table[int(key)] if isinstance(table, list) else table[key]
    return table


VALUE = "expected a value: a text in quotes, a number, true or false, or a list"


NESTED = "expected fewer lists or tables in each other"
ENDLESS = "expected the end of the list, or of the text in three quotes, that begins here, within 500 lines"


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "errors", "understood"),
        [
            ("a = pam\nb = 1\n", [f"F:1: {VALUE}"], [2]),
            (
                "a\nb = 1\n= 3\n",
                ["F:1: expected NAME = VALUE", "F:3: expected NAME = VALUE or a comment"],
                [2],
            ),
            ('a = "x\nb = 1\n', ["F:1: expected a quote at the end of the text"], [2]),
            (
                "a = 1 2\nb = 1\n",
                ["F:1: expected the end of the line behind the value; a text needs quotes"],
                [2],
            ),
            (
                "a = [1,\n2\nb = 1\nc = 2\n",
                ["F:3: not TOML: unclosed array, in what began in line 1"],
                [3, 4],
            ),
            (
                "a = [\n1,\n2 3,\n4,\n]\nc = 2\n",
                ["F:3: not TOML: unclosed array, in what began in line 1"],
                [6],
            ),
            (
                'a = 1\nb = """\nc = 2\n',
                [f"F:2: {ENDLESS}"],
                [1, 3],
            ),
            ("a = [1\n", [f"F:1: {ENDLESS}"], []),
            ("a = {b = 1\nc = 2\n", ["F:1: not TOML: unclosed inline table"], [2]),
            ("[a\nb = 1\n", ["F:1: not TOML: expected ']' at the end of a table declaration"], [2]),
            ('a = "\\x"\nb = 1\n', ["F:1: not TOML: unescaped '\\' in a string"], [2]),
            ("a = 1\na = 2\n", ["F:2: a: given before, in line 1"], [1]),
            ("a = 1\n[t]\na = 1\n[t]\n", ["F:4: [t]: given before, in line 2"], [1, 3]),
            ("a = 1\na.b = 1\n", ["F:2: not TOML: cannot overwrite a value"], [1, 2]),
            ("a = {b = 1, b = 2}\n", ["F:1: not TOML: duplicate inline table key 'b'"], []),
            ('"x\\ny" = 1\n"x\\ny" = 1\n', ["F:2: 'x\\ny': given before, in line 1"], [1]),
            ("a = " + "[" * 5000 + "\nb = 1\n", [f"F:1: {NESTED}"], [2]),
            ("a." * 5000 + "a = 1\nb = 1\n", [f"F:1: {NESTED}"], [2]),
            ("a = [\n" + "[1],\n" * 600 + "]\nb = 1\n", [f"F:1: {ENDLESS}"], [603]),
        ],
    )
    def test_are_told_with_their_lines_and_what_is_right_is_understood(
        self, text: str, errors: list[str], understood: list[int]
    ) -> None:
        assigned, told = read(text)
        assert told == errors
        assert [each.line for each in assigned] == understood

"""The tables ``[[socket]]``: what they may say, and what is said of those that cannot be."""

from pathlib import Path

import pytest

from pysaslauthd.config.declared import SOCKET_KEYS
from pysaslauthd.config.given import combined
from pysaslauthd.config.options import OptionError
from pysaslauthd.config.socket_tables import SocketTable
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.config.written import written_socket

EVERYTHING = """\
mechanism = "pam"
[[socket]]
[[socket]]
path = "/run//x/../mux"
owner = "postfix"
group = 105
mode = "660"
allow_users = ["root", 1000]
allow_groups = "sasl, 7"
"""

MEANT = (
    SocketTable(),
    SocketTable(
        Path("/run/mux"), "postfix", "105", 0o660, frozenset({"root", "1000"}), frozenset({"sasl", "7"})
    ),
)
DEFAULT = Path("/run/saslauthd/mux")


def errors(text: str) -> list[str]:
    return list(read_toml(text.encode(), "F").errors)


def refusal(text: str) -> str:
    with pytest.raises(OptionError) as caught:
        combined([read_toml(f'mechanism = "pam"\n{text}'.encode(), "F")])
    return str(caught.value)


class TestTables:
    def test_may_give_every_key(self) -> None:
        options = combined([read_toml(EVERYTHING.encode(), "F")]).options
        assert options.sockets == MEANT
        assert options.sockets[0].origins == {"": "F:2"}
        lines = dict(zip(SOCKET_KEYS, ("F:4", "F:5", "F:6", "F:7", "F:8", "F:9"), strict=True))
        assert options.sockets[1].origins == {"": "F:3", **lines}

    def test_that_are_written_are_read_back(self) -> None:
        text = "\n".join(line for each in MEANT for line in written_socket(each, DEFAULT))
        assert read_toml(text.encode(), "F").sockets == MEANT

    def test_stand_below_the_settings(self) -> None:
        told = "F:2: socket.run_path: no such key of a socket; run_path is a setting of all and stands above the tables"
        assert errors("[[socket]]\nrun_path = '/x'\n") == [told]


ID = "a name or a number"
IDS = 'a list of names or numbers, such as ["postfix", 1000]'
PATH = "an absolute path of at most 107 bytes"
MODE = 'a mode in quotes, such as "0660"'

BROKEN = {
    "path = 'mux'": f"path: expected {PATH}, found 'mux'",
    "path = '/'": f"path: expected {PATH}, found '/'",
    f"path = '/{'x' * 107}'": f"path: expected {PATH}, found '/{'x' * 79}...'",
    "path = 5": f"path: expected {PATH}, found 5",
    "owner = ''": f"owner: expected {ID}, found ''",
    "owner = 'a b'": f"owner: expected {ID}, found 'a b'",
    "owner = -1": f"owner: expected {ID}, found -1",
    "owner = 4294967295": f"owner: expected {ID}, found 4294967295",
    "owner = true": "owner: expected text in quotes, found true",
    "group = 'a:b'": f"group: expected {ID}, found 'a:b'",
    "group = ['a']": "group: expected text in quotes, found ['a']",
    # The decimal 660 is 0o1224, so no number is taken.
    "mode = 660": "mode: expected text in quotes, found 660",
    "mode = 0o660": "mode: expected text in quotes, found 432",
    "mode = '4755'": f"mode: expected {MODE}, found '4755'",
    "mode = '0888'": f"mode: expected {MODE}, found '0888'",
    "mode = 'rw-rw----'": f"mode: expected {MODE}, found 'rw-rw----'",
    "allow_users = []": f"allow_users: expected {IDS}, found []",
    "allow_users = ['']": f"allow_users: expected {IDS}, found ['']",
    "allow_users = [true]": f"allow_users: expected {IDS}, found [True]",
    "allow_users = [1.5]": f"allow_users: expected {IDS}, found [1.5]",
    "allow_users = ['a,b']": f"allow_users: expected {IDS}, found ['a,b']",
    "allow_users = true": f"allow_users: expected {IDS}, found true",
    "allow_groups = 'sasl,'": f"allow_groups: expected {IDS}, found 'sasl,'",
    "alow_users = 5": "alow_users: no such key of a socket; did you mean allow_users?",
    "name = 'x'": "name: no such key of a socket",
    "xyzzy = 5": "xyzzy: no such key of a socket",
    "mode.x = 5": "mode.x: no such key of a socket; did you mean mode?",
}


class TestABrokenTable:
    @pytest.mark.parametrize(("text", "expected"), BROKEN.items(), ids=range(len(BROKEN)))
    def test_is_told_by_line_and_key(self, text: str, expected: str) -> None:
        assert errors(f"[[socket]]\n[[socket]]\n{text}\n") == [f"F:3: socket.{expected}"]

    def test_is_told_with_all_others(self) -> None:
        text = (
            "cahce = 1\n[[socket]]\nmode = 5\n[[socket]]\nowner = ''\n[[sockets]]\npath = '/x'\n[[xyzzy]]\n"
        )
        assert [each.split(": ")[0] for each in errors(text)] == ["F:1", "F:3", "F:5", "F:6", "F:7", "F:8"]

    def test_more_than_can_be_is_told_once(self) -> None:
        assert errors("[[socket]]\n" * 16) == []
        assert errors("[[socket]]\n" * 20) == ["F:17: [[socket]]: expected at most 16 of them"]

    def test_of_another_name_is_told(self) -> None:
        assert errors("[[sockets]]\n") == ["F:1: [[sockets]]: no such table; did you mean socket?"]
        assert errors("[[xyzzy]]\n") == ["F:1: [[xyzzy]]: no such table"]

    @pytest.mark.parametrize("text", ["[socket]\npath = '/x'", "socket.path = '/x'", "socket = ['/x']"])
    def test_that_is_the_only_one_still_has_two_brackets(self, text: str) -> None:
        (told,) = errors(text)
        assert told.endswith("expected a table [[socket]], as there may be several")


class TestAPath:
    @pytest.mark.parametrize("twice", ["path = '/a/b'\n[[socket]]\npath = '/a//./b'\n", "[[socket]]\n"])
    def test_is_of_one_table(self, twice: str) -> None:
        told = refusal(f"[[socket]]\n{twice}")
        assert told.startswith(("F:5: socket.path: /a/b is the one of F:3", "F:3: socket.path: /run"))

    def test_may_not_be_the_one_of_a_table_without(self) -> None:
        text = "run_path = '/r'\n[[socket]]\n[[socket]]\npath = '/r/mux'\n"
        assert refusal(text) == "F:5: socket.path: /r/mux is the one of F:3 already"

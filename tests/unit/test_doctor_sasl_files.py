"""Files of libsasl: how they are read, and which of them."""

from pathlib import Path

import pytest

from pysaslauthd.commands.doctor import sasl_files
from pysaslauthd.commands.doctor.accounts import accounts_of
from pysaslauthd.commands.doctor.check_sasl import check_sasl
from pysaslauthd.commands.doctor.cures import Cures
from pysaslauthd.commands.doctor.programs import Client
from pysaslauthd.commands.doctor.sasl_files import parsed
from pysaslauthd.commands.doctor.tree import Tree

FILE = Path("/etc/sasl2/app.conf")


class TestAFile:
    def test_has_the_first_value_of_a_key_in_any_case(self) -> None:
        file = parsed(
            FILE, "# one\nPWCheck_Method:saslauthd  \n\n pwcheck_method: auxprop\nmech_list:  PLAIN\tLOGIN\n"
        )
        assert file.values == {"pwcheck_method": "saslauthd", "mech_list": "PLAIN\tLOGIN"}
        assert file.lines == {"pwcheck_method": 2, "mech_list": 5}
        assert not file.broken

    @pytest.mark.parametrize(
        "line", ["pwcheck_method : saslauthd", "pwcheck_method saslauthd", "a.b: c", "key:"]
    )
    def test_that_libsasl_does_not_understand_is_broken(self, line: str) -> None:
        assert parsed(FILE, f"mech_list: PLAIN\n{line}\n").broken == 2

    def test_of_the_program_itself_has_keys_with_a_prefix(self) -> None:
        file = parsed(FILE, "configdirectory: /var\nsasl_mech_list: PLAIN\nodd line\n", "sasl_")
        assert (file.values, file.broken) == ({"mech_list": "PLAIN"}, 0)

    def test_has_its_lines_counted_as_an_editor_counts_them(self) -> None:
        assert parsed(FILE, "# a\x0cb\x85c\u2028d\nmech_list: PLAIN\n").lines == {"mech_list": 2}

    @pytest.mark.timeout(20)
    def test_of_blanks_is_read_at_once(self) -> None:
        text = f"mech_list: x{' ' * 200_000}y"
        assert parsed(FILE, text).values == {"mech_list": text.partition(": ")[2]}


class TestASearch:
    def put(self, root: Path, directory: str, text: str) -> None:
        (root / directory).mkdir(parents=True, exist_ok=True)
        (root / directory / "app.conf").write_text(text)

    def test_takes_the_first_file_alone(self, tmp_path: Path) -> None:
        self.put(tmp_path, "b", "mech_list: LOGIN\n")
        self.put(tmp_path, "c", "mech_list: PLAIN\n")
        found = sasl_files.search(Tree(tmp_path), "app", map(Path, ("/a", "/b", "/c")))
        assert found.read is not None
        assert found.read.path == Path("/b/app.conf")
        assert [each.path for each in found.unread] == [Path("/c/app.conf")]

    def test_finds_what_nobody_reads(self, tmp_path: Path) -> None:
        self.put(tmp_path, "etc/sasl2", "mech_list: LOGIN\n")
        found = sasl_files.search(Tree(tmp_path), "app", [Path("/etc/postfix/sasl")])
        assert found.read is None
        assert [each.path for each in found.unread] == [FILE]

    def test_does_not_take_a_link_for_a_second_file(self, tmp_path: Path) -> None:
        self.put(tmp_path, "etc/mail", "mech_list: LOGIN\n")
        (tmp_path / "usr/lib/sasl2").mkdir(parents=True)
        (tmp_path / "etc/sasl2").mkdir()
        for directory in ("usr/lib/sasl2", "etc/sasl2"):
            (tmp_path / directory / "app.conf").symlink_to("/etc/mail/app.conf")
        found = sasl_files.search(Tree(tmp_path), "app", [Path("/usr/lib/sasl2")])
        assert found.read is not None
        assert found.unread == ()


class TestALibrary:
    def make(self, root: Path, content: bytes, *plugins: str) -> Tree:
        directory = root / "usr/lib/x86_64-linux-gnu"
        (directory / "sasl2").mkdir(parents=True)
        (directory / "libsasl2.so.2").write_bytes(content)
        for name in plugins:
            (directory / "sasl2" / name).touch()
        return Tree(root)

    def test_says_itself_where_it_looks(self, tmp_path: Path) -> None:
        tree = self.make(tmp_path, b"\x7fELF\0%s:%d/x\0/usr/lib64/sasl2:/etc/sasl2\0/usr/lib64/sasl2\0")
        assert sasl_files.built_in_path(tree) == (Path("/usr/lib64/sasl2"), Path("/etc/sasl2"))

    def test_that_says_nothing_looks_where_most_do(self, tmp_path: Path) -> None:
        assert sasl_files.built_in_path(self.make(tmp_path, b"\x7fELF")) == sasl_files.DEFAULT_PATH

    def test_has_its_mechanisms_beside_it(self, tmp_path: Path) -> None:
        tree = self.make(tmp_path, b"", "libplain.so", "libplain.so.2", "libscram.so", "README")
        assert sasl_files.mechanisms(tree) == {"plain", "scram"}


class TestWhatIsSaid:
    def ids(self, tmp_path: Path, text: str, *plugins: str) -> list[str]:
        (tmp_path / "etc/sasl2").mkdir(parents=True)
        (tmp_path / "etc/sasl2/app.conf").write_text(text)
        tree = Tree(tmp_path)
        found = sasl_files.search(tree, "app", [FILE.parent])
        client = Client("app", "app", (), "app", "", Path("/run/saslauthd/mux"), search=found)
        tools = Cures(tree, accounts_of(tree))
        return [each.id for each in check_sasl(client, frozenset(plugins), tools)]

    @pytest.mark.parametrize(
        ("text", "plugins", "expected"),
        [
            ("pwcheck_method: saslauthd\nmech_list: plain login\n", ("plain",), ["sasl-file"]),
            ("pwcheck_method: saslauthd\n", ("plain", "login"), ["sasl-file"]),
            ("pwcheck_method: saslauthd\n", ("plain", "ntlm"), ["sasl-file", "mech-list"]),
            ("pwcheck_method: saslauthd\nmech_list: EXTERNAL\n", ("plain",), ["sasl-file", "mech-list"]),
            ("pwcheck_method: saslauthd\nmech_list: PLAIN\n", ("login",), ["sasl-file", "no-plain-plugin"]),
            ("pwcheck_method: auxprop saslauthd\nmech_list: PLAIN\n", (), ["not-only-saslauthd"]),
            ("pwcheck_method: saslauth\nmech_list: PLAIN\n", (), ["not-saslauthd"]),
        ],
    )
    def test_of_a_file(
        self, tmp_path: Path, text: str, plugins: tuple[str, ...], expected: list[str]
    ) -> None:
        assert self.ids(tmp_path, text, *plugins) == expected

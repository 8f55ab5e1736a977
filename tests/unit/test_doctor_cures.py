"""Cures as a shell takes them, whatever the names are that end in them."""

import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from pysaslauthd.commands.doctor import cures
from pysaslauthd.commands.doctor.accounts import Person, accounts_of
from pysaslauthd.commands.doctor.check_sockets import check_sockets
from pysaslauthd.commands.doctor.listeners import Listener
from pysaslauthd.commands.doctor.own import Own, own_of
from pysaslauthd.commands.doctor.programs import clients_of
from pysaslauthd.commands.doctor.scene import scene_of
from pysaslauthd.commands.doctor.tree import Tree

HOSTILE = "a\ntouch planted\n'; touch planted; $(touch planted) \"\\ \x1b[31m"
"""What would leave a file behind if a shell took any of it for a command."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with a user whom nobody lets in, and no group for those who ask."""
    tmp_path.chmod(0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("igor:x:1000:1000::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("igor:x:1000:\n")
    return tmp_path


def daemon(root: Path) -> Own:
    tree = Tree(root)
    return own_of(tree, accounts_of(tree), ("-a", "pam"))[0]


def carried_out(lines: Iterable[str], place: Path) -> str:
    """What the lines of a cure print, each of which is to be a comment or one command."""
    done = subprocess.run(
        ["sh", "-c", "\n".join(lines)], cwd=place, capture_output=True, text=True, timeout=60, check=False
    )
    assert not (place / "planted").exists()
    return done.stdout


def test_a_comment_is_one_line_that_no_terminal_obeys(tmp_path: Path) -> None:
    line = cures.comment(HOSTILE)
    assert line.isprintable()
    assert carried_out([line], tmp_path) == ""


def test_a_directory_on_the_way_is_no_command(root: Path) -> None:
    (root / HOSTILE / "run").mkdir(parents=True)
    (root / HOSTILE).chmod(0o700)
    (root / "run").mkdir()
    (root / "run/saslauthd").symlink_to(Path("/", HOSTILE, "run"))
    tree = Tree(root)
    accounts = accounts_of(tree)
    person = accounts.person("igor")
    assert person is not None
    found = list(check_sockets(scene_of(tree, daemon(root), accounts, clients_of(tree), [person])))
    shut = [each for each in found if each.id == "directory-shut"]
    assert [each.cure[0].startswith("# a run path that does not lead through ") for each in shut] == [True]
    carried_out(shut[0].cure, root)


def test_a_socket_is_added_by_its_name(root: Path) -> None:
    file = root / "pysaslauthd.toml"
    path = Path("/", HOSTILE, "mux")
    carried_out(daemon(root)._replace(file=file).add_socket(path), root)
    assert tomllib.loads(file.read_text()) == {"socket": [{}, {"path": str(path)}]}


def test_a_name_that_is_not_utf8_spoils_no_file(root: Path) -> None:
    (line,) = daemon(root).add_socket(Path("/run/\udcff/mux"))
    assert line.startswith("# ")


def test_a_list_is_written_anew_with_any_names(root: Path) -> None:
    file = root / "pysaslauthd.toml"
    text = '# a form feed \x0c ends no line\nallow_users = ["one"]\n'
    file.write_text(text)
    own = daemon(root)._replace(file=file, text=text)
    carried_out(own.extend_list(f"{file}:2", "allow_users", ("one", HOSTILE)), root)
    assert tomllib.loads(file.read_text().partition("\n")[2]) == {"allow_users": ["one", HOSTILE]}


def test_a_group_that_is_missing_is_made_first(root: Path) -> None:
    tree = Tree(root)
    tools = cures.Cures(tree, accounts_of(tree))
    for lines in (
        tools.give_to_group(Path("/run/saslauthd"), "sasl"),
        tools.make_directory(Path("/run/saslauthd"), "sasl"),
        tools.join(Person("igor", 1000, 1000, frozenset({1000})), "sasl"),
    ):
        assert lines[0] == "groupadd -f -r sasl"
    assert "groupadd" not in tools.give_to_group(Path("/run/saslauthd"), "igor")[0]


def test_the_first_process_is_never_killed(root: Path) -> None:
    """With ``pysaslauthd.socket`` running and another run path (``-m``), systemd listens where clients ask."""
    (root / "run/systemd/system").mkdir(parents=True)
    (root / "usr/lib/systemd/system").mkdir(parents=True)
    (root / "usr/lib/systemd/system/pysaslauthd.service").touch()
    (root / "etc/imapd.conf").write_text("sasl_pwcheck_method: saslauthd\n")
    tree = Tree(root)
    accounts = accounts_of(tree)
    own, _ = own_of(tree, accounts, ("-a", "pam", "-m", "/run/another"))
    scene = scene_of(tree, own._replace(is_machine=True), accounts, clients_of(tree), ())
    (asked,) = scene.asked
    systemd = Listener(1, 0, "systemd", is_ours=False)
    held = asked._replace(spot=asked.spot._replace(listener=systemd))
    found = {each.id: each.cure for each in check_sockets(scene._replace(asked=(held,)))}
    assert found["held-elsewhere"] == (
        "systemctl disable --now pysaslauthd.socket",
        "systemctl restart pysaslauthd",
    )
    assert found["another-daemon"][0] == "systemctl disable --now pysaslauthd.socket"
    assert "systemctl restart pysaslauthd" in found["another-daemon"]

    strange = held._replace(spot=held.spot._replace(listener=systemd._replace(program="/sbin/tini")))
    for each in check_sockets(scene._replace(asked=(strange,))):
        assert not any(line.startswith("kill") for line in each.cure)

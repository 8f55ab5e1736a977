"""Sockets that the configuration file asks for: where they are, whose, and who may ask by them."""

import contextlib
import os
import select
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux
from support.configured import NOT_RELOADED, Configured
from support.crowd import Crowd, Heard
from support.daemon import COMMAND, LOGIN, PASSWORD, WRONG, Daemon
from support.packages import need_root
from support.service_manager import Listening, Manager, handing_over
from support.shadow import write
from support.visitor import Visitor
from support.waiting import wait_until

NOBODY_HERE = 54_321
"""A number that no user and no group of this machine has, as those after it."""

USER, GROUP, OTHER_GROUP = NOBODY_HERE, NOBODY_HERE + 1, NOBODY_HERE + 2
STRANGER = Visitor(NOBODY_HERE + 3, NOBODY_HERE + 4)
AT_A_TIME = 100
RELOADS = 4

MORE_THAN_AT_ONCE = 40
"""Clients that a front does not accept without looking what else there is to do."""


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        yield configured


def start(there: Configured, tables: str, *arguments: str) -> None:
    there.write(there.basis + tables)
    there.start("--config", str(there.file), "-d", *arguments)


def table(path: Path, keys: str = "") -> str:
    return f'[[socket]]\npath = "{path}"\n{keys}\n'


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestTwoSockets:
    def test_both_answer_and_are_gone_at_the_end(self, there: Configured) -> None:
        other = there.directory / "other"
        start(there, "[[socket]]\n" + table(other, 'mode = "0751"'))
        umask = os.umask(0)
        os.umask(umask)
        for path in (there.mux, other):
            assert mux.ask(path, LOGIN, PASSWORD) == "OK"
            assert mux.ask(path, LOGIN, WRONG) == "NO"
            assert f"listening on socket: {path}\n" in there.log
        assert (bits(there.mux), bits(other)) == (0o777, 0o751)
        there.__exit__()
        assert not there.directory.exists()

    def test_are_exactly_those_of_the_file(self, there: Configured) -> None:
        default, there.mux = there.mux, there.directory / "other"
        start(there, table(there.mux))
        assert there.ask() == "OK"
        assert not default.exists()

    def test_share_the_seats(self, there: Configured) -> None:
        """Who sits by one socket takes the place of who comes by the other, as he has asked nothing yet."""
        other = there.directory / "other"
        # A user has three of four seats.
        start(there, "connections = 4\n[[socket]]\n" + table(other))
        with contextlib.ExitStack() as stack:
            first, *_ = [stack.enter_context(mux.connect(there.mux)) for _ in range(3)]
            assert mux.ask(other, LOGIN, PASSWORD) == "OK"
            assert first.recv(1) == b""


class TestAReload:
    def test_adds_changes_and_removes_while_others_lose_nobody(self, there: Configured) -> None:
        steady, changing = there.directory / "steady", there.directory / "changing"
        there.mux = steady
        users = {f"user{number}": f"secret-{number}".encode() for number in range(AT_A_TIME // 2)}
        write(there.shadow_file, {LOGIN.decode(): PASSWORD, **users})
        there.basis += 'queue_timeout = "10m"\n'
        start(there, table(steady) + table(changing))
        inode = changing.stat().st_ino
        with Crowd(steady, users, AT_A_TIME) as first, Crowd(changing, users, AT_A_TIME) as second:
            for number in range(RELOADS):
                before, now = (there.directory / f"extra-{each}" for each in (number - 1, number))
                mode = 0o700 + number
                text = table(steady) + table(changing, f'mode = "0{mode:o}"') + table(now)
                there.write(there.basis + text)
                assert f"listening on socket: {now}\n" in there.reload()
                assert mux.ask(now, LOGIN, PASSWORD) == "OK"
                assert bits(changing) == mode
                assert not before.exists()
                assert number == 0 or f"no longer listening on socket: {before}\n" in there.log
                for crowd in (first, second):
                    crowd.wait_answered(AT_A_TIME)
            first.end()
            second.end()
        assert set(first.heard) | set(second.heard) == {Heard(True, "OK"), Heard(False, "NO")}
        assert changing.stat().st_ino == inode

    def test_that_cannot_have_all_leaves_what_was(self, there: Configured) -> None:
        fresh, nowhere = there.directory / "fresh", there.directory / "none" / "x"
        start(there, "")
        for text, told in (
            (table(fresh) + table(nowhere), f"could not bind to socket: {nowhere}\n"),
            (
                table(fresh, 'owner = "no-such-user"'),
                f"{there.file}:7: socket.owner: no user no-such-user here",
            ),
            (table(fresh, 'group = "no-such"'), f"{there.file}:7: socket.group: no group no-such here"),
            (table(fresh) + table(fresh), f"{there.file}:9: socket.path: {fresh} is the one of"),
        ):
            there.write(there.basis + text)
            assert told in there.reload(NOT_RELOADED)
            assert not fresh.exists()
            assert there.ask() == "OK"
            assert there.mux.exists()

    def test_does_not_steal_a_socket(self, there: Configured) -> None:
        fresh = there.directory / "fresh"
        start(there, "")
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(str(there.directory / "live"))
            live.listen()
            there.write(there.basis + table(fresh) + table(there.directory / "live"))
            assert "another program listens on" in there.reload(NOT_RELOADED)
        assert not fresh.exists()
        assert there.ask() == "OK"


class TestHandedOver:
    def test_sockets_are_all_used_and_have_the_list_of_the_table_with_their_path(
        self, there: Configured
    ) -> None:
        paths = [there.directory / name for name in ("a", "b")]
        own = there.directory / "own"
        with contextlib.ExitStack() as stack:
            given = [stack.enter_context(Listening(str(path))) for path in paths]
            paths[1].chmod(0o750)
            not_ours = f'allow_users = [{os.geteuid() + 1}]\nmode = "0711"'
            file = there.write(table(paths[1], not_ours) + table(own))
            numbers = [each.descriptor for each in given]
            daemon = Daemon(
                "--config", str(file), command=handing_over(COMMAND, numbers), descriptors=numbers
            )
            daemon.mux = paths[0]
            with daemon:
                assert mux.ask(own, LOGIN, PASSWORD) == mux.ask(paths[0], LOGIN, PASSWORD) == "OK"
                assert _ask_or_closed(paths[1]) == "-"
                assert f"owner, group and mode of {paths[1]} have no effect" in daemon.log
                assert bits(paths[1]) == 0o750
                assert not (daemon.run_path / "mux").exists()
            assert all(path.exists() for path in paths)
            assert not own.exists()

    def test_a_stop_leaves_who_waits_there_and_answers_who_waits_at_ours(self, there: Configured) -> None:
        own, path = there.directory / "own", there.directory / "given"
        file = there.write(table(own))
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(Listening(str(path)))
            manager = stack.enter_context(Manager(there.directory))
            numbers = [listening.descriptor]
            command = handing_over(manager.command(COMMAND), numbers)
            # Of one name, only so many may wait.
            users = {f"user{number}": PASSWORD for number in range(MORE_THAN_AT_ONCE)}
            daemon = Daemon("--config", str(file), command=command, descriptors=numbers, users=users)
            daemon.mux = own
            stack.enter_context(daemon)
            front = daemon.front().pid
            os.kill(front, signal.SIGSTOP)
            ours = [stack.enter_context(mux.connect(own)) for _ in users]
            for each, login in zip(ours, users, strict=True):
                each.sendall(mux.request(login.encode(), PASSWORD))
            os.kill(daemon.pid, signal.SIGTERM)
            manager.wait_status("stopping")
            theirs = stack.enter_context(mux.connect(path))
            theirs.sendall(mux.request(LOGIN, PASSWORD))
            os.kill(front, signal.SIGCONT)
            assert {mux.read_to_end(each) for each in ours} == {b"\0\2OK"}
            daemon.stop()
            assert not own.exists()
            assert not select.select([theirs], [], [], 0)[0]


def _ask_or_closed(path: Path) -> str:
    try:
        return mux.ask(path, LOGIN, PASSWORD)
    except (BrokenPipeError, ConnectionResetError):
        return "-"


class TestWhoMayConnect:
    def test_is_said_by_owner_group_and_mode(self, there: Configured) -> None:
        need_root()
        theirs, groups, all_ = (there.directory / name for name in ("theirs", "groups", "all"))
        start(
            there,
            "[[socket]]\n"
            + table(theirs, f'owner = {USER}\nmode = "0600"')
            + table(groups, f'group = {GROUP}\nmode = "0660"')
            + table(all_, 'mode = "0666"'),
        )
        status = theirs.stat(), groups.stat()
        assert [(each.st_uid, each.st_gid) for each in status] == [(USER, 0), (0, GROUP)]
        owner, member = Visitor(USER, USER), Visitor(STRANGER.user, STRANGER.group, [GROUP])
        answers = [[each.ask(path) for path in (theirs, groups, all_)] for each in (owner, member, STRANGER)]
        assert answers == [
            ["OK", "PermissionError", "OK"],
            ["PermissionError", "OK", "OK"],
            ["PermissionError", "PermissionError", "OK"],
        ]

    def test_changes_with_a_reload_on_the_same_socket(self, there: Configured) -> None:
        need_root()
        path = there.directory / "theirs"
        start(there, "[[socket]]\n" + table(path, f'owner = {USER}\ngroup = {GROUP}\nmode = "0600"'))
        member = Visitor(STRANGER.user, GROUP)
        assert member.ask(path) == "PermissionError"
        there.write(there.basis + "[[socket]]\n" + table(path, f'group = {GROUP}\nmode = "0060"'))
        there.reload()
        assert (path.stat().st_uid, path.stat().st_gid, bits(path)) == (0, GROUP, 0o060)
        assert (member.ask(path), Visitor(USER, USER).ask(path)) == ("OK", "PermissionError")


class TestWhoMayAsk:
    def test_is_said_by_user_and_by_any_group(self, there: Configured) -> None:
        need_root()
        users, groups, both = (there.directory / name for name in ("users", "groups", "both"))
        start(
            there,
            "[[socket]]\n"
            + table(users, f"allow_users = [{USER}]")
            + table(groups, f"allow_groups = [{GROUP}, {OTHER_GROUP}]")
            + table(both, f'allow_users = ["root", {USER}]\nallow_groups = {GROUP}'),
        )
        many = range(60_000, 60_300)  # more than Python asks the kernel for
        expected = {
            Visitor(USER, STRANGER.group): ["OK", "OK", "-", "OK"],
            Visitor(STRANGER.user, GROUP): ["OK", "-", "OK", "OK"],
            Visitor(STRANGER.user, STRANGER.group, (1, OTHER_GROUP)): ["OK", "-", "OK", "-"],
            Visitor(STRANGER.user, STRANGER.group, (*many, GROUP)): ["OK", "-", "OK", "OK"],
            Visitor(STRANGER.user, STRANGER.group, tuple(many)): ["OK", "-", "-", "-"],
            STRANGER: ["OK", "-", "-", "-"],
            # A number of a user is none of a group, nor the other way round.
            Visitor(GROUP, USER): ["OK", "-", "-", "-"],
            Visitor(0, 0): ["OK", "-", "-", "OK"],
        }
        paths = (there.mux, users, groups, both)
        assert {each: [each.ask(path) for path in paths] for each in expected} == expected

    def test_is_logged_by_the_second_and_counted(self, there: Configured) -> None:
        need_root()
        path = there.directory / "users"
        start(there, "[[socket]]\n" + table(path, f"allow_users = [{USER}]"))
        told = f"of the user with id 0 not allowed on socket {path}\n"
        for _ in range(300):
            assert _ask_or_closed(path) == "-"
        wait_until(lambda: there.log.count(told) >= 2, "the rest is told")
        # One line for the first, then one a second: as many lines as attempts would be 300.
        assert there.log.count(told) < 100
        os.kill(there.pid, signal.SIGUSR1)
        wait_until(lambda: "[not_allowed=300]" in there.log, "they are counted")
        assert "[rejected=0]" in there.log

    def test_changes_with_a_reload(self, there: Configured) -> None:
        need_root()
        path = there.directory / "users"
        visitor = Visitor(USER, GROUP)
        for text, verdict in (
            (f"allow_users = [{USER}]", "OK"),
            (f"allow_users = [{USER + 1}]", "-"),
            ("", "OK"),
            (f"allow_groups = [{GROUP}]", "OK"),
        ):
            tables = "[[socket]]\n" + table(path, text)
            if there.mux.exists():
                there.write(there.basis + tables)
                there.reload()
            else:
                start(there, tables)
            assert visitor.ask(path) == verdict


class TestATrap:
    """Somebody has put something where the daemon, as root, will put its own."""

    def run(self, there: Configured, text: str) -> str:
        there.write(there.basis + text)
        result = there.command("--config", str(there.file), "-d")
        assert result.returncode == 1
        return result.stderr

    def test_at_a_socket_is_neither_followed_nor_removed(self, there: Configured) -> None:
        there.run_path.mkdir(0o755)
        victim = there.write("precious", "victim")
        for trap in (there.mux, there.directory / "other"):
            text = table(trap)
            trap.symlink_to(victim)
            assert f"could not bind to socket: {trap}\n" in self.run(there, text)
            assert trap.is_symlink()
            trap.unlink()
            trap.hardlink_to(victim)
            assert "what is there is no socket" in self.run(there, text)
            assert trap.exists()
            trap.unlink()
        assert victim.read_text() == "precious"

    def test_at_a_socket_that_leads_to_a_live_one_is_not_taken_for_it(self, there: Configured) -> None:
        there.run_path.mkdir(0o755)
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(str(there.directory / "live"))
            live.listen()
            there.mux.symlink_to(there.directory / "live")
            assert "what is there is no socket" in self.run(there, "")

    @pytest.mark.parametrize("kind", ["link", "second name", "pipe"])
    def test_at_the_pid_file_or_its_lock_is_not_written(self, there: Configured, kind: str) -> None:
        there.run_path.mkdir(0o755)
        victim = there.write("precious", "victim")
        for name in ("saslauthd.pid", "saslauthd.pid.lock"):
            trap = there.run_path / name
            if kind == "link":
                trap.symlink_to(victim)
            elif kind == "second name":
                trap.hardlink_to(victim)
            else:
                os.mkfifo(trap)
            there.write(there.basis)
            result = there.command("--config", str(there.file))
            assert result.returncode == 1
            assert str(trap) in result.stderr
            assert victim.read_text() == "precious"
            assert {entry.name for entry in there.run_path.iterdir()} == {name}
            trap.unlink()

    def test_at_the_run_directory_is_refused(self, there: Configured) -> None:
        need_root()
        (there.directory / "elsewhere").mkdir(0o755)
        there.run_path.symlink_to(there.directory / "elsewhere")
        os.chown(there.run_path, USER, GROUP, follow_symlinks=False)
        told = f"run path is not safe: {there.run_path}\n"
        error = self.run(there, "")
        assert told in error
        assert f"{there.run_path} is a link of the user with id {USER}" in error
        assert list((there.directory / "elsewhere").iterdir()) == []
        # Root's own link is no trap, but the place of a chroot.
        os.chown(there.run_path, 0, 0, follow_symlinks=False)
        start(there, "")
        assert there.ask() == "OK"


class TestADirectoryThatOthersCanWrite:
    @pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
    def test_is_no_run_path_and_no_place_for_a_socket(self, there: Configured, mode: int) -> None:
        elsewhere = there.directory / "place" / "mux"
        for place, path in ((there.run_path, there.directory / "x"), (elsewhere.parent, elsewhere)):
            place.mkdir()
            place.chmod(mode)
            there.write(there.basis + table(path))
            for words in ((), ("--check",)):
                result = there.command("--config", str(there.file), "-d", *words)
                assert result.returncode == 1
                assert f"{place} has mode {mode:04o}: others" in result.stderr
            assert list(place.iterdir()) == []
            place.rmdir()

    def test_may_be_above_the_run_path_where_names_are_their_makers(self, there: Configured) -> None:
        there.directory.chmod(0o1777)
        assert there.command("-a", "shadow", "-m", str(there.run_path), "--check").returncode == 0
        there.directory.chmod(0o777)
        result = there.command("-a", "shadow", "-m", str(there.run_path), "--check")
        assert f"error: run_path (-m): {there.directory} has mode 0777" in result.stderr

    def test_of_somebody_else_is_none_either(self, there: Configured) -> None:
        need_root()
        there.run_path.mkdir(0o755)
        os.chown(there.run_path, USER, 0)
        there.write(there.basis)
        result = there.command("--config", str(there.file), "-d")
        assert f"{there.run_path} belongs to the user with id {USER}" in result.stderr
        assert list(there.run_path.iterdir()) == []

    def test_may_be_one_that_a_group_enters(self, there: Configured) -> None:
        """Debian's, and the one in Postfix's chroot: root:sasl 0710."""
        need_root()
        chroot = there.directory / "var" / "run" / "saslauthd"
        for place in (there.run_path, chroot):
            place.mkdir(parents=True)
            place.chmod(0o710)
            os.chown(place, 0, GROUP)
        start(there, "[[socket]]\n" + table(chroot / "mux"))
        postfix = Visitor(USER, USER, [GROUP])
        for path in (there.mux, chroot / "mux"):
            assert (postfix.ask(path), STRANGER.ask(path)) == ("OK", "PermissionError")


def test_the_commands_know_the_tables(there: Configured) -> None:
    broken = '[[socket]]\nmod = "0600"\n[[socket]]\nowner = "no-such-user"\npath = "/nonexistent/x"\n'
    write(there.directory / "shadow", {LOGIN.decode(): PASSWORD})
    there.write(there.basis + broken)
    result = there.command("--config", str(there.file), "--check")
    assert f"error: {there.file}:6: socket.mod: no such key of a socket; did you mean mode?" in result.stderr
    there.write(there.basis + broken.replace("mod =", "mode ="))
    result = there.command("--config", str(there.file), "--check")
    assert f"error: {there.file}:8: socket.owner: no user no-such-user here" in result.stderr
    there.write(there.basis + table(Path("/nonexistent/x"), "allow_users = [5, 'root']") + "[[socket]]\n")
    result = there.command("--config", str(there.file), "--check")
    assert f"error: {there.file}:6: socket.path: /nonexistent: No such file" in result.stderr
    shown = there.command("--config", str(there.file), "--show-config").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert f"[[socket]] # {there.file}:5" in lines
    assert f'path = "/nonexistent/x" # {there.file}:6' in lines
    assert f'allow_users = ["5", "root"] # {there.file}:7' in lines
    assert f"# path is {there.mux} # default" in lines
    again = there.write(shown, "again.toml")
    shown_again = there.command("--config", str(again), "--show-config").stdout
    assert _settings(shown_again) == _settings(shown)


def _settings(shown: str) -> list[str]:
    return [line.split("  # ")[0] for line in shown.splitlines()]

"""``pysaslauthctl`` and the control socket, with a running daemon."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pysaslauthd
from pysaslauthd.commands import control, control_client
from pysaslauthd.commands.control import EXIT_DONE, EXIT_FAILED, EXIT_NO_DAEMON, EXIT_USAGE
from pysaslauthd.front.control import MOST_CONVERSATIONS
from support import mux
from support.configured import RELOADED, Configured
from support.controlled import connect, ctl, here, order, raw
from support.daemon import FRONT, LOGIN, PASSWORD, WORKER, WRONG, Daemon, asked
from support.exchanges import unread
from support.packages import need_root
from support.visitor import Visitor
from support.waiting import wait_until

STRANGER = Visitor(54_321, 54_322)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon("-c", "-n", "2") as started:
        started.directory.chmod(0o755)
        wait_until(lambda: counts(started) == (2, 0, 0, 0), "both workers are ready")
        yield started


@pytest.fixture
def configured() -> Iterator[Configured]:
    with Configured() as there:
        there.write(there.basis)
        there.start("--config", str(there.file), "-f")
        yield there


def status(daemon: Daemon) -> dict[str, Any]:
    line, _ = raw(daemon.run_path / "control", order(do="status"))
    return line


def counts(daemon: Daemon) -> tuple[int, int, int, int]:
    """Workers that are idle and busy, logins that they have, and those that wait."""
    (shadow,) = status(daemon)["mechanisms"]
    workers = shadow["workers"]
    return workers["idle"], workers["busy"], shadow["logins"], shadow["waiting"]


@pytest.fixture
def path(daemon: Daemon) -> Path:
    return daemon.run_path / "control"


class TestStatus:
    def test_says_how_the_daemon_is(self, daemon: Daemon) -> None:
        assert daemon.ask() == "OK"
        told = ctl(daemon.run_path, "status")
        assert (told.status, told.error) == (EXIT_DONE, "")
        rows = dict(line.split(None, 1) for line in told.out.splitlines())
        assert rows["version:"] == pysaslauthd.__version__
        assert rows["master:"] == f"process {daemon.pid}"
        assert rows["front:"].startswith(f"process {daemon.front().pid}, since ")
        assert rows["shadow:"] == "workers: 2 idle; logins: 0 in hand, 0 waiting"
        assert rows["clients:"] == "0"
        assert rows["cache:"] == "1 entries"
        assert rows["sockets:"] == str(daemon.mux)
        assert rows["reload:"] == "none since the start"

    def test_says_which_workers_are_busy_and_what_waits(self, daemon: Daemon) -> None:
        for worker in daemon.children("pysasl-shadow"):
            worker.send(signal.SIGSTOP)
        with contextlib.ExitStack() as clients:
            for login in (b"a", b"b", b"c"):
                clients.enter_context(connect(daemon.mux, mux.request(login, WRONG)))
            wait_until(lambda: counts(daemon) == (0, 2, 2, 1), "two logins are in hand and one waits")
            for worker in daemon.children("pysasl-shadow"):
                worker.send(signal.SIGCONT)

    def test_counts_the_fronts_that_were_lost_and_outlives_them(self, daemon: Daemon, path: Path) -> None:
        (first, _) = raw(path, order(do="status"))
        before = daemon.front()
        before.send(signal.SIGKILL)
        wait_until(lambda: daemon.children(FRONT) not in ([], [before]), "there is a new front")
        told = ctl(daemon.run_path, "status")
        assert told.status == EXIT_DONE
        assert "; 1 before it were lost\n" in told.out
        (second, _) = raw(path, order(do="status"))
        assert second["since"] == first["since"]
        assert second["front_since"] > first["front_since"]

    def test_says_what_became_of_a_reload(self, daemon: Daemon) -> None:
        os.kill(daemon.pid, signal.SIGHUP)
        # The front before answers administrators until it hears of the new one.
        wait_until(lambda: "reload:      done " in ctl(daemon.run_path, "status").out, "the status says so")
        assert RELOADED in daemon.log


class TestFlush:
    def test_of_all_has_each_asked_anew(self, daemon: Daemon) -> None:
        def ask_twice() -> None:
            assert [daemon.ask(), daemon.ask(service=b"smtp")] == ["OK", "OK"]

        ask_twice()
        assert asked(daemon, ask_twice) == 0
        assert ctl(daemon.run_path, "flush") == (EXIT_DONE, "2 forgotten\n", "")
        assert asked(daemon, ask_twice) == 2

    def test_of_one_login_leaves_the_others(self) -> None:
        users = dict.fromkeys(("alice", "bob", "alice@ex.org", "ex.org"), PASSWORD)
        with Daemon("-c", users=users) as daemon:

            def ask(*alike: tuple[bytes, bytes, bytes]) -> None:
                for login, realm, service in alike:
                    assert daemon.ask(login, realm=realm, service=service) == "OK"

            hers = [
                (b"alice", b"", b"imap"),
                (b"alice", b"", b"smtp"),
                (b"alice", b"ex.org", b"imap"),
                (b"alice@ex.org", b"ex.org", b"imap"),
            ]
            others = [(b"bob", b"", b"imap"), (b"bob", b"alice", b"imap"), (b"ex.org", b"", b"imap")]
            ask(*hers, *others)
            assert asked(daemon, lambda: ask(*hers, *others)) == 0
            assert ctl(daemon.run_path, "flush", "nobody").out == "0 forgotten\n"
            assert ctl(daemon.run_path, "flush", "alice").out == "4 forgotten\n"
            assert asked(daemon, lambda: ask(*others)) == 0
            assert asked(daemon, lambda: ask(*hers)) == 4
            assert ctl(daemon.run_path, "flush", "alice@ex.org").out == "2 forgotten\n"
            assert asked(daemon, lambda: ask(*hers[:2], *others)) == 0
            assert asked(daemon, lambda: ask(*hers[2:])) == 2

    @pytest.mark.parametrize("words", [("flush",), ("flush", LOGIN.decode())])
    def test_reaches_what_is_on_its_way(self, daemon: Daemon, words: tuple[str, ...]) -> None:
        for worker in daemon.children(WORKER):
            worker.send(signal.SIGSTOP)
        with connect(daemon.mux, mux.request(LOGIN, PASSWORD)) as client:
            wait_until(lambda: status(daemon)["mechanisms"][0]["logins"] == 1, "a worker has it")
            assert ctl(daemon.run_path, *words).out == "0 forgotten\n"
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGCONT)
            assert client.recv(100)[2:] == b"OK"
        assert status(daemon)["cache"] == 0
        assert asked(daemon, daemon.ask) == 1

    def test_without_a_cache_says_so(self) -> None:
        with Daemon() as daemon:
            told = ctl(daemon.run_path, "flush")
        assert told.status == EXIT_FAILED
        assert told.error == "pysaslauthctl: there is no cache: the daemon was started without -c\n"


class TestReload:
    def test_says_when_it_is_done(self, configured: Configured) -> None:
        configured.write(configured.basis + "cache = true\n")
        assert ctl(configured.run_path, "reload") == (EXIT_DONE, "reloaded\n", "")
        assert "cache:       0 entries\n" in ctl(configured.run_path, "status").out

    def test_of_a_broken_file_says_why(self, configured: Configured) -> None:
        before = configured.children(FRONT)
        configured.write(configured.basis + "cache = 7\n")
        told = ctl(configured.run_path, "reload")
        line = configured.basis.count("\n") + 1
        why = f"not reloaded: {configured.file}:{line}: cache: expected true or false, found 7"
        assert told == (EXIT_FAILED, "", f"pysaslauthctl: {why}\n")
        assert why.partition(": ")[2] in ctl(configured.run_path, "status").out
        assert configured.children(FRONT) == before
        configured.write(configured.basis)
        assert ctl(configured.run_path, "reload").status == EXIT_DONE

    def test_that_many_ask_for_is_done_for_all_and_not_for_each(self, configured: Configured) -> None:
        with contextlib.ExitStack() as clients:
            for _ in range(3):
                wait_until(lambda: len(configured.children(FRONT)) == 1, "the front before has left")
                (front,) = configured.children(FRONT)
                front.send(signal.SIGSTOP)  # so that they are there together
                crowd = [
                    clients.enter_context(connect(configured.run_path / "control", order(do="reload")))
                    for _ in range(6)
                ]
                front.send(signal.SIGCONT)
                for each in crowd:
                    assert each.makefile("rb").read().splitlines() == [
                        b'{"reloaded": true}',
                        b'{"end": true}',
                    ]
        assert 3 <= configured.log.count(RELOADED) <= 6

    def test_that_comes_while_another_is_under_way_waits_for_its_own(self, configured: Configured) -> None:
        configured.write(configured.basis + "cache = true\n")
        os.kill(configured.pid, signal.SIGHUP)
        assert ctl(configured.run_path, "reload").status == EXIT_DONE
        configured.write(configured.basis + "cache = 7\n")
        with connect(configured.run_path / "control", order(do="reload")) as one:
            assert ctl(configured.run_path, "reload").status == EXIT_FAILED
            assert b"not reloaded: " in one.recv(1000)

    def test_is_answered_when_the_daemon_stops(self, configured: Configured) -> None:
        path = configured.run_path / "control"
        assert ctl(configured.run_path, "reload").status == EXIT_DONE
        with connect(path, order(do="reload")) as client:  # which waits, as the last has just been
            wait_until(lambda: unread(client) == 0, "the front knows what is wanted")
            os.kill(configured.pid, signal.SIGTERM)
            heard = client.recv(1000)
        assert b"the daemon is stopping" in heard or b"reloaded" in heard


class TestLogLevel:
    def test_changes_what_is_logged_and_outlives_fronts_and_reloads(self, daemon: Daemon) -> None:
        def lines() -> tuple[bool, bool]:
            """Whether a success and a failure are logged."""
            start = len(daemon.log)
            assert (daemon.ask(), daemon.ask(password=WRONG)) == ("OK", "NO")
            return "auth success" in daemon.log[start:], "auth failure" in daemon.log[start:]

        def level(name: str) -> str:
            told = ctl(daemon.run_path, "log-level", name)
            assert (told.status, told.error) == (EXIT_DONE, "")
            return told.out

        assert lines() == (True, True)  # as the daemon of a test is started with -d
        assert level("info") == "info, debug before\n"
        assert lines() == (False, True)
        assert level("warning") == "warning, info before\n"
        assert level("warning") == "warning, warning before\n"
        assert lines() == (False, False)
        daemon.kill_front()
        wait_until(lambda: status(daemon)["log_level"] == "warning", "it knows the level")
        assert lines() == (False, False)
        assert ctl(daemon.run_path, "reload").status == EXIT_DONE
        assert RELOADED not in daemon.log  # the master's own lines, too
        assert lines() == (False, False)
        assert level("debug") == "debug, warning before\n"
        assert lines() == (True, True)

    def test_is_changed_for_each_of_several_who_come_together(self, path: Path) -> None:
        levels = ("info", "warning", "debug", "warning")
        with contextlib.ExitStack() as stack:
            # At once, so that they are there together.
            asking = [stack.enter_context(connect(path)) for _ in levels]
            for each, level in zip(asking, levels, strict=True):
                each.sendall(order(do="log-level", level=level))
            told = [json.loads(mux.read_to_end(each).splitlines()[0]) for each in asking]
        assert [each["level"] for each in told] == list(levels)

    def test_that_nobody_knows_is_a_usage_error(self, daemon: Daemon, path: Path) -> None:
        assert ctl(daemon.run_path, "log-level", "chatty").status == EXIT_USAGE
        for level in ("chatty", "", None, 7):
            (line,) = raw(path, order(do="log-level", level=level))
            assert "level: expected" in line["error"]


class TestWhoMayNotAsk:
    COMMANDS = (("status",), ("flush",), ("reload",), ("log-level", "warning"), ("explain", "alice"))

    def said(self, daemon: Daemon) -> list[str]:
        """What the command says to a stranger, for each thing that it can be told to do."""
        assert {words[0] for words in self.COMMANDS} <= {each.name for each in control.SUBCOMMANDS}
        return [
            STRANGER.do(lambda words=words: "|".join(map(str, here(daemon.run_path, *words))))  # type: ignore[misc]
            for words in self.COMMANDS
        ]

    def test_hears_that_the_socket_is_shut(self, daemon: Daemon, path: Path) -> None:
        need_root()
        assert path.stat().st_mode & 0o7777 == 0o600
        expected = "permission denied; run it as root, or as the user that started the daemon"
        assert set(self.said(daemon)) == {f"{EXIT_FAILED}||pysaslauthctl: {path}: {expected}\n"}

    def test_is_closed_even_where_the_socket_is_open(self, daemon: Daemon, path: Path) -> None:
        need_root()
        path.chmod(0o666)
        before = status(daemon)
        for said in self.said(daemon):
            assert said.startswith(f"{EXIT_FAILED}||pysaslauthctl: {path}: the daemon closed the connection")
        assert status(daemon) == before
        refusal = f":1 client of the user with id {STRANGER.user} not allowed on socket {path}\n"
        wait_until(lambda: refusal in daemon.log, "the log says so")
        assert ctl(daemon.run_path, "status").status == EXIT_DONE

    def test_hears_that_there_is_no_daemon(self, daemon: Daemon, path: Path) -> None:
        daemon.stop()
        told = ctl(daemon.run_path, "status")
        assert told.status == EXIT_NO_DAEMON
        expected = "no such socket; is the daemon running, with this run path?"
        assert told.error == f"pysaslauthctl: {path}: {expected}\n"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        assert "nobody listens" in ctl(daemon.run_path, "status").error
        assert ctl(daemon.run_path, "status").status == EXIT_NO_DAEMON

    @pytest.mark.parametrize("words", [(), ("statu",), ("status", "now"), ("--socket", "/x", "status")])
    def test_is_told_how_it_is_used(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        told = ctl(tmp_path, *words)
        assert told.status == EXIT_USAGE
        assert "usage: pysaslauthctl" in told.error

    def test_hears_when_the_daemon_does_not_answer(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        front = daemon.front()
        front.send(signal.SIGSTOP)
        monkeypatch.setattr(control_client, "DEFAULT_TIMEOUT", 0.1)
        told = here(daemon.run_path, "status")
        front.send(signal.SIGCONT)
        assert told.status == EXIT_FAILED
        assert "the daemon does not answer within" in told.error


class TestTheSocket:
    def test_is_where_the_settings_say(self, tmp_path: Path) -> None:
        place = tmp_path / "elsewhere"
        with Daemon(settings={"control_socket": str(place)}):
            assert raw(place, order(do="status"))[-1] == {"end": True}
        assert not place.exists()

    def test_can_be_none(self) -> None:
        with Daemon(settings={"control_socket": ""}) as daemon:
            assert {each.name for each in daemon.run_path.iterdir()} == {"mux", "saslauthd.pid.lock"}

    def test_that_cannot_be_made_stops_no_login(self) -> None:
        with Daemon(settings={"control_socket": "mux"}) as daemon:
            assert f":no control socket: another program listens on {daemon.mux}\n" in daemon.log
        with Daemon(settings={"control_socket": "/proc/none"}) as daemon:
            assert ":no control socket: could not bind to socket: /proc/none" in daemon.log
        with Daemon(settings={"control_socket": "x" * 100}) as daemon:
            assert "has more than 107 bytes\n" in daemon.log

    def test_takes_the_place_of_a_stale_one(self, daemon: Daemon, path: Path) -> None:
        daemon.kill()
        assert path.is_socket()
        daemon.start()
        assert ctl(daemon.run_path, "status").status == EXIT_DONE


class TestAHostileClient:
    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (b"\n", "expected an object in JSON, in one line"),
            (b"\xff\0garbage\n", "expected an object in JSON, in one line"),
            (b"[1]\n", "expected an object in JSON, in one line"),
            (b"[" * 60_000 + b"\n", "expected an object in JSON, in one line"),
            (b"9" * 60_000 + b"\n", "expected an object in JSON, in one line"),
            (b"{}\n", "expected one of these to do: status, stats, flush, reload, log-level, explain"),
            (
                order(do="reboot"),
                "expected one of these to do: status, stats, flush, reload, log-level, explain",
            ),
            (order(do=["status"]), "do: expected a text"),
            (b'{"do": "status"}', "expected a line of at most 65536 bytes"),
            (b"x" * 65_537, "expected a line of at most 65536 bytes"),
            (b"x" * 300_000, "expected a line of at most 65536 bytes"),
        ],
    )
    def test_is_told_what_was_expected(self, path: Path, data: bytes, error: str) -> None:
        with connect(path) as client:
            with contextlib.suppress(BrokenPipeError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
            heard = client.makefile("rb").readline()
        assert error in heard.decode()
        assert raw(path, order(do="status"))[-1] == {"end": True}

    def test_that_is_silent_holds_up_no_login(self) -> None:
        with Daemon(settings={"read_timeout": "10m"}) as daemon:
            path = daemon.run_path / "control"
            with contextlib.ExitStack() as clients:
                for _ in range(MOST_CONVERSATIONS):
                    clients.enter_context(connect(path, b"{"))
                with connect(path) as another:
                    assert b"8 others are asking already" in another.recv(1000)
                assert "8 others are asking already" in ctl(daemon.run_path, "status").error
                assert daemon.ask() == "OK"
            assert ctl(daemon.run_path, "status").status == EXIT_DONE

    def test_that_is_silent_is_closed(self) -> None:
        with Daemon(settings={"read_timeout": "1s"}) as daemon, contextlib.ExitStack() as clients:
            path = daemon.run_path / "control"
            for each in [clients.enter_context(connect(path, b"{")) for _ in range(MOST_CONVERSATIONS)]:
                assert b"expected a line within 1 s" in each.recv(1000)
                assert each.recv(1000) == b""
            assert ctl(daemon.run_path, "status").status == EXIT_DONE

    def test_that_leaves_at_once_is_no_matter(self, daemon: Daemon, path: Path) -> None:
        front = daemon.front()
        for data in (b"", b"{", order(do="status")):
            for _ in range(200):
                with contextlib.suppress(BrokenPipeError):
                    connect(path, data).close()
        wait_until(lambda: ctl(daemon.run_path, "status").status == EXIT_DONE, "it answers")
        assert daemon.front() == front
        assert daemon.ask(LOGIN, WRONG) == "NO"

    def test_does_not_hold_up_a_stop(self, daemon: Daemon, path: Path) -> None:
        with connect(path, b"{"):
            daemon.stop()
            assert "cannot be killed" not in daemon.log

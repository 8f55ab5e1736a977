import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pysaslauthd import logs
from pysaslauthd.logs.datagrams import SyslogSink
from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.formats import render_as_original
from pysaslauthd.logs.streams import StreamSink
from support.devlog import log_socket


def news(text: str) -> Entry:
    return Entry("info", text)


@pytest.fixture
def devlog() -> Iterator[tuple[Path, socket.socket]]:
    with log_socket() as path_and_server:
        yield path_and_server


class TestEscaping:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (b"alice", "alice"),
            (b"DOMAIN\\user name", "DOMAIN\\user name"),
            ("Jürgen".encode(), "Jürgen"),
            ("Jürgen".encode("latin-1"), "J\\xfcrgen"),
            (b"a\nsaslauthd[1]: b", "a\\x0asaslauthd\\x5b1\\x5d: b"),
            (b"a\r\t\x1b[2J\x7f", "a\\x0d\\x09\\x1b\\x5b2J\\x7f"),
            (b"x] [remote=192.0.2.9] [y=", "x\\x5d \\x5bremote=192.0.2.9\\x5d \\x5by="),
            ("a\u2028b\u202ec\u0085".encode(), "a\\xe2\\x80\\xa8b\\xe2\\x80\\xaec\\xc2\\x85"),
            (7, "7"),
        ],
    )
    def test_leaves_nothing_that_forges_a_line_or_a_field(self, value: object, shown: str) -> None:
        assert logs.escaped(value) == shown

    def test_makes_the_originals_line(self) -> None:
        fields = {
            "user": b"alice",
            "service": b"imap",
            "realm": b"",
            "mech": "shadow",
            "reason": "Incorrect password",
        }
        line = render_as_original(Entry("info", "auth failure", fields, {"request": "1-1"}))
        assert line == (
            "auth failure: [user=alice] [service=imap] [realm=] [mech=shadow] [reason=Incorrect password]"
        )

    def test_cuts_a_value_that_would_hide_the_rest(self) -> None:
        line = render_as_original(Entry("info", "x", {"user": b"\xff" * 4096, "reason": "y"}))
        assert len(line) < 1100
        assert line.endswith("...] [reason=y]")
        whole = render_as_original(Entry("info", "x", {"user": b"\xff" * 256}))
        assert whole == "x: [user=" + "\\xff" * 256 + "]"

    def test_keeps_the_brackets_of_our_own_text(self) -> None:
        assert render_as_original(news("a [b]\n")) == "a [b]\\x0a"


class TestSyslog:
    def test_gets_ident_facility_and_the_originals_prefix(
        self, devlog: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, server = devlog
        monkeypatch.setattr("time.strftime", lambda _: "Nov 22 07:22:50")
        with closing(SyslogSink(path)) as sink:
            sink.write(news("auth failure: [user=alice]"))
        assert server.recv(4096).decode() == (
            f"<38>Nov 22 07:22:50 saslauthd[{os.getpid()}]:                 : auth failure: [user=alice]"
        )

    def test_that_is_full_costs_lines_and_not_time_and_says_how_many(
        self, devlog: tuple[Path, socket.socket]
    ) -> None:
        path, server = devlog
        sink = SyslogSink(path)
        sent = 20_000
        for number in range(sent):
            sink.write(news(f"line {number}"))
        server.setblocking(False)
        taken = 0
        try:
            while server.recv(4096):
                taken += 1
        except BlockingIOError:
            pass
        assert 0 < taken < sent
        sink.write(news("it flows again"))
        notice, line = server.recv(4096).decode(), server.recv(4096).decode()
        assert notice.endswith(f": {sent - taken} log lines were lost, {path} did not take them")
        assert line.endswith(": it flows again")
        sink.close()

    def test_that_was_restarted_loses_no_line(self, devlog: tuple[Path, socket.socket]) -> None:
        path, server = devlog
        with closing(SyslogSink(path)) as sink:
            server.close()
            path.unlink()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as restarted:
                restarted.bind(str(path))
                restarted.settimeout(10)
                sink.write(news("hello again"))
                assert restarted.recv(4096).endswith(b": hello again")

    def test_that_was_away_is_found_again(
        self, devlog: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, server = devlog
        clock = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: clock)
        with closing(SyslogSink(path)) as sink:
            server.close()
            path.unlink()
            sink.write(news("nobody hears this"))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as restarted:
                restarted.bind(str(path))
                restarted.settimeout(10)
                clock += 2
                sink.write(news("hello again"))
                assert b": 1 log lines were lost" in restarted.recv(4096)
                assert restarted.recv(4096).endswith(b": hello again")

    def test_that_is_not_there_is_no_error(self, tmp_path: Path) -> None:
        SyslogSink(tmp_path / "none").write(news("nobody hears this"))


class TestStandardError:
    def test_gets_the_originals_form(self, capfd: pytest.CaptureFixture[str]) -> None:
        StreamSink().write(news("master pid is: 7"))
        assert capfd.readouterr().err == f"saslauthd[{os.getpid()}] :master pid is: 7\n"

    def test_that_is_full_does_not_block_nor_change_the_file_we_were_given(self) -> None:
        read, write = os.pipe()
        sink = StreamSink(write)
        for _ in range(5000):
            sink.write(news("x" * 100))
        assert os.get_blocking(write)
        while len(os.read(read, 65536)) == 65536:
            pass
        sink.write(news("it flows again"))
        text = os.read(read, 65536).decode()
        assert "log lines were lost" in text
        assert text.endswith(":it flows again\n")
        sink.close()
        os.close(write)
        os.close(read)

    def test_that_took_a_part_of_a_line_gets_the_next_on_a_line_of_its_own(self) -> None:
        read, write = os.pipe()
        with closing(StreamSink(write)) as sink:
            page = os.sysconf("SC_PAGESIZE")
            while True:  # to the last byte, then make room for a part of a line
                try:
                    os.write(sink._descriptor, b"x" * page)  # noqa: SLF001  (the test fills what the sink writes to)
                except BlockingIOError:
                    break
            sink._is_torn = True  # noqa: SLF001  (a terminal takes a part; a pipe never does below PIPE_BUF)
            os.read(read, 1 << 20)
            sink.write(news("whole"))
            assert os.read(read, 1 << 20).startswith(b"\nsaslauthd[")
            sink.write(news("y" * 10_000))
            line = os.read(read, 1 << 20)
            assert len(line) == 4096
            assert line.endswith(b"y\n")
        os.close(write)
        os.close(read)

    def test_that_cannot_be_opened_again_is_asked_for_room_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        read, write = os.pipe()
        monkeypatch.setattr("os.open", refused)
        sink = StreamSink(write)
        for _ in range(5000):
            sink.write(news("x" * 100))
        assert os.get_blocking(write)
        assert len(os.read(read, 1 << 20)) > 30_000
        os.close(write)
        os.close(read)

    def test_that_is_a_full_socket_does_not_block(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sink = StreamSink(theirs.fileno())
            for _ in range(5000):
                sink.write(news("x" * 1000))
            assert ours.recv(10)
            sink.close()


def test_debug_lines_come_only_when_verbose(tmp_path: Path) -> None:
    script = (
        "from pysaslauthd import logs; import sys;"
        "logs.configure(verbose=sys.argv[1] == 'yes', syslog=None, stderr=True);"
        "logs.log.debug('a detail'); logs.log.info('news')"
    )
    for verbose, expected in (("yes", True), ("no", False)):
        result = subprocess.run(
            [sys.executable, "-c", script, verbose], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert ("a detail" in result.stderr) is expected
        assert ":news" in result.stderr


def test_the_level_may_change_at_any_time_and_errors_always_come(tmp_path: Path) -> None:
    script = (
        "from pysaslauthd import logs; logs.configure(verbose=False, syslog=None, stderr=True)\n"
        "for level in ('info', 'debug', 'warning', 'info'):\n"
        "    logs.set_level(level)\n"
        "    assert logs.is_debug() is (level == 'debug')\n"
        "    for name in ('debug', 'info', 'warning', 'error'):\n"
        "        getattr(logs.log, name)(f'{level} asked, {name} written')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    written = [line.partition(" :")[2] for line in result.stderr.splitlines()]
    names = ("debug", "info", "warning", "error")
    asked = (("info", 1), ("debug", 0), ("warning", 2), ("info", 1))
    assert written == [f"{level} asked, {name} written" for level, first in asked for name in names[first:]]


class TestDescribing:
    def test_an_exception_names_its_place_and_not_its_value(self) -> None:
        with pytest.raises(ValueError, match="hunter2") as caught:
            int("hunter2")
        text = logs.describe(caught.value)
        assert "hunter2" not in text
        assert text.startswith("ValueError at test_logs.py:")

    def test_an_error_of_the_system_is_spelled_out(self) -> None:
        with pytest.raises(OSError) as caught:
            os.stat("/nonexistent")  # noqa: PTH116  (any system call will do)
        assert logs.describe(caught.value).startswith("FileNotFoundError No such file or directory at ")

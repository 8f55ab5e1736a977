"""What is in a line can be had back from it, and nothing else can be put into it."""

import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.logs.entry import Entry
from pysaslauthd.logs.formats import LONGEST_LINE, format_named
from pysaslauthd.logs.journald import JournalSink
from pysaslauthd.logs.streams import StreamSink
from support.devlog import log_socket
from support.log_readers import as_sent, read_json, read_logfmt, read_native, receive_native

HOSTILE = (
    b'x" user="root',
    b"x user=root level=info",
    b'"},{"user":"root',
    b"\\",
    b'\\"',
    b"\\\\xff",
    b"\\xff\xff",
    b"\\x5cxff",
    b"a\nsaslauthd[1]: auth failure: [user=b]",
    b"x] [remote=192.0.2.9] [y=",
    b"\0\r\n\t\x1b[2J\x7f",
    b"=",
    b"''",
    b"",
    " \u2028\u202e\u0085\xa0".encode(),
    "Jürgen 💌".encode(),
    "Jürgen".encode("latin-1"),
    b"\xed\xa0\x80",
)
SENT = st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="replace"))


def failure(login: bytes, realm: bytes = b"r", **extra: object) -> Entry:
    fields = {"user": login, "realm": realm, "mech": "shadow", "reason": "Incorrect password"}
    return Entry("info", "auth failure", fields, extra or {"request": "9f3c01-1a", "wait": 0.00001, "pid": 7})


def rendered(name: str, entry: Entry, *, in_colors: bool = False) -> str:
    return format_named(name, in_colors=in_colors).render(entry)


class TestWhatWasSent:
    @given(SENT, SENT)
    @pytest.mark.parametrize("name", ["logfmt", "json"])
    def test_is_read_back_to_the_byte(self, name: str, login: bytes, realm: bytes) -> None:
        self.check(name, login, realm)

    @pytest.mark.parametrize("login", HOSTILE)
    @pytest.mark.parametrize("name", ["logfmt", "json"])
    def test_is_read_back_however_it_looks(self, name: str, login: bytes) -> None:
        self.check(name, login, login)

    def check(self, name: str, login: bytes, realm: bytes) -> None:
        line = rendered(name, failure(login, realm))
        assert line.isprintable()
        read = (read_json if name == "json" else read_logfmt)(line)
        assert list(read) == [
            *("time", "level", "event", "procid", "user", "realm", "mech", "reason", "request", "wait", "pid")
        ]
        assert as_sent(str(read["user"])) == login
        assert as_sent(str(read["realm"])) == realm
        assert (read["event"], read["reason"]) == ("auth failure", "Incorrect password")
        assert (str(read["procid"]), str(read["pid"])) == (str(os.getpid()), "7")
        assert float(str(read["wait"])) == 0.00001

    @pytest.mark.parametrize("login", HOSTILE)
    def test_is_one_line_for_a_person_too(self, login: bytes) -> None:
        line = rendered("console", failure(login))
        assert line.isprintable()
        assert re.search(
            r" mech=shadow reason='Incorrect password' request=9f3c01-1a wait=0.000010 pid=7$", line
        )

    def test_reads_in_json_as_it_is_where_it_is_utf8(self) -> None:
        login = "DOMAIN\\jürgen\n\u2028".encode()
        assert json.loads(rendered("json", failure(login)))["user"] == login.decode()

    @pytest.mark.parametrize("character", ["\xff", "\x01", '"', "\\", "x", "💌"])
    @pytest.mark.parametrize("name", ["logfmt", "json", "console"])
    def test_is_cut_before_the_line_is_longer_than_a_pipe_takes_at_once(
        self, name: str, character: str
    ) -> None:
        long = character.encode("latin-1" if character == "\xff" else "utf-8") * 4096
        line = rendered(name, failure(long, long, remote=long, more=long))
        assert len(line.encode()) <= LONGEST_LINE
        assert line.count("...") == 4
        if name != "console":
            assert (read_json if name == "json" else read_logfmt)(line)["mech"] == "shadow"

    def test_is_whole_at_the_default_length_of_a_field(self) -> None:
        for byte in (b"\xff", b"\x01", b'"'):
            read = read_json(rendered("json", failure(byte * 256)))
            assert as_sent(str(read["user"])) == byte * 256


class TestColors:
    def test_are_there_only_when_asked_for(self) -> None:
        assert "\x1b[" in rendered("console", failure(b"alice"), in_colors=True)
        assert "\x1b" not in rendered("console", failure(b"alice"))

    def test_let_no_stranger_bring_his_own(self) -> None:
        line = rendered("console", failure(b"\x1b[2Jalice"), in_colors=True)
        assert "\x1b[2J" not in line
        assert "\\x1b[2Jalice" in line


class TestWhatStandsInFront:
    def test_of_a_line_of_ours_is_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        StreamSink(form=format_named("json")).write(failure(b"alice"))
        assert read_json(capfd.readouterr().err)["user"] == "alice"

    def test_a_notice_of_lost_lines_is_of_the_same_format(self) -> None:
        read, write = os.pipe()
        sink = StreamSink(write, format_named("json"))
        for _ in range(5000):
            sink.write(failure(b"alice"))
        while len(os.read(read, 65536)) == 65536:
            pass
        sink.write(failure(b"bob"))
        notice, line = map(read_json, os.read(read, 65536).decode().splitlines())
        assert re.fullmatch(
            r"\d+ log lines were lost, standard error did not take them", str(notice["event"])
        )
        assert (notice["level"], line["user"]) == ("warning", "bob")
        sink.close()
        os.close(write)
        os.close(read)


@pytest.fixture
def journal() -> Iterator[tuple[Path, socket.socket]]:
    with log_socket() as path_and_server:
        yield path_and_server


class TestTheJournal:
    def test_gets_the_originals_line_and_each_value(self, journal: tuple[Path, socket.socket]) -> None:
        path, server = journal
        with closing(JournalSink(path)) as sink:
            sink.write(failure(b"al\nice\xff"))
        assert read_native(server.recv(65536)) == {
            "MESSAGE": b"auth failure: [user=al\\x0aice\\xff] [realm=r] [mech=shadow] [reason=Incorrect password]",
            "PRIORITY": b"6",
            "SYSLOG_IDENTIFIER": b"saslauthd",
            "SYSLOG_FACILITY": b"4",
            "SYSLOG_PID": b"%d" % os.getpid(),
            "SASLAUTHD_EVENT": b"auth failure",
            "SASLAUTHD_USER": b"al\nice\xff",
            "SASLAUTHD_REALM": b"r",
            "SASLAUTHD_MECH": b"shadow",
            "SASLAUTHD_REASON": b"Incorrect password",
            "SASLAUTHD_REQUEST": b"9f3c01-1a",
            "SASLAUTHD_WAIT": b"1e-05",
            "SASLAUTHD_PID": b"7",
        }

    @pytest.mark.parametrize("login", [*HOSTILE, b"x\nPRIORITY=0\nMESSAGE=forged\n"])
    def test_gets_no_field_from_a_stranger(self, journal: tuple[Path, socket.socket], login: bytes) -> None:
        path, server = journal
        with closing(JournalSink(path, format_named("json"))) as sink:
            sink.write(failure(login))
        fields = read_native(server.recv(65536))
        assert fields["SASLAUTHD_USER"] == login
        assert as_sent(str(read_json(fields["MESSAGE"].decode())["user"])) == login
        assert fields["PRIORITY"] == b"6"

    def test_gets_what_no_datagram_takes_in_sealed_memory(self, journal: tuple[Path, socket.socket]) -> None:
        path, server = journal
        login = os.urandom(300_000)
        with closing(JournalSink(path)) as sink:
            sink.write(failure(login))
            sink.write(failure(b"small"))
        data, (descriptor,), _, _ = socket.recv_fds(server, 1 << 20, 1)
        assert data == b""
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == (
            fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        )
        assert read_native(os.pread(descriptor, 1 << 20, 0))["SASLAUTHD_USER"] == login
        os.close(descriptor)
        assert receive_native(server)["SASLAUTHD_USER"] == b"small"

    def test_that_is_full_costs_lines_and_no_time_and_no_descriptors(
        self, journal: tuple[Path, socket.socket]
    ) -> None:
        path, server = journal
        with closing(JournalSink(path)) as sink:
            before = len(open_descriptors())
            for number in range(2000):
                sink.write(failure(b"x" * (300_000 if number % 2 else 1)))
            assert len(open_descriptors()) == before
            server.setblocking(False)
            taken = 0
            try:
                while receive_native(server):
                    taken += 1
            except BlockingIOError:
                pass
            assert 0 < taken < 2000
            sink.write(failure(b"it flows again"))
            notice = receive_native(server)
            assert (
                notice["MESSAGE"].decode() == f"{2000 - taken} log lines were lost, {path} did not take them"
            )
            assert notice["PRIORITY"] == b"4"
            assert receive_native(server)["SASLAUTHD_USER"] == b"it flows again"

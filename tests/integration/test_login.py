"""A login, seen from the client's side of the socket."""

import contextlib
import re
import signal
import socket
import struct
from collections.abc import Iterator

import pytest

from support import mux, shadow
from support.daemon import LOGIN, PASSWORD, PATIENT, WORKER, WRONG, Daemon
from support.mux import exchange, field, read_to_end, request
from support.processes import Process
from support.waiting import wait_until

OK, NO, NOTHING = b"\0\2OK", b"\0\2NO", b""
RIGHT = request(LOGIN, PASSWORD)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(users={"alice": PASSWORD, "alice@ex.org": WRONG, "long": b"x" * 400}) as running:
        yield running


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        pytest.param(RIGHT, OK, id="right"),
        pytest.param(request(LOGIN, WRONG), NO, id="wrong"),
        pytest.param(request(b"nobody1", PASSWORD), NO, id="unknown user"),
        pytest.param(request(LOGIN, PASSWORD, b"", b"ex.org"), OK, id="no service, and a realm"),
        pytest.param(request(b"", PASSWORD), NO, id="no login"),
        pytest.param(request(LOGIN, b""), NO, id="no password"),
        pytest.param(b"\0" * 8, NO, id="nothing in it"),
        pytest.param(b"\xff\xff", NO, id="login too long"),
        pytest.param(field(LOGIN) + struct.pack("!H", 8193), NO, id="password too long"),
        pytest.param(request(b"long", b"x" * 400), OK, id="a password the original refuses"),
        pytest.param(request(b"alice\0xx", PASSWORD), NO, id="NUL in the login"),
        pytest.param(request(LOGIN, PASSWORD + b"\0junk"), NO, id="NUL in the password"),
        pytest.param(request(LOGIN, PASSWORD, b"imap", b"", b"192.0.2.7;4567"), OK, id="five fields"),
        pytest.param(RIGHT * 2, OK, id="a second request"),
        pytest.param(RIGHT + b"\n", OK, id="a byte too many"),
        pytest.param(RIGHT + b"junk" * 20_000, OK, id="junk behind it"),
        pytest.param(request(LOGIN, WRONG) + b"\0", NO, id="wrong, and a byte too many"),
    ],
)
def test_a_request_has_its_reply_and_then_the_end(daemon: Daemon, data: bytes, reply: bytes) -> None:
    assert exchange(daemon.mux, data) == reply


@pytest.mark.parametrize("length", [0, 1, 5, len(RIGHT) - 1])
def test_a_cut_off_request_has_no_reply(daemon: Daemon, length: int) -> None:
    assert exchange(daemon.mux, RIGHT[:length], half_close=True) == NOTHING


def test_a_client_may_close_its_side_after_the_request(daemon: Daemon) -> None:
    assert exchange(daemon.mux, RIGHT, half_close=True) == OK
    assert exchange(daemon.mux, RIGHT + b"\0\5part", half_close=True) == OK


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_request_may_come_in_pieces(daemon: Daemon, size: int) -> None:
    with mux.connect(daemon.mux) as connection:
        for start in range(0, len(RIGHT), size):
            connection.sendall(RIGHT[start : start + size])
        assert read_to_end(connection) == OK


def test_the_largest_request_is_read_whole_before_it_is_judged(daemon: Daemon) -> None:
    """Its fifth field ends behind the first read."""
    data = request(b"u" * 256, b"p" * 8192, b"s" * 256, b"r" * 256, b"192.0.2.7;4567".ljust(256))
    assert exchange(daemon.mux, data) == NO
    wait_until(lambda: "[remote=192.0.2.7;4567" in daemon.log, "the address of the fifth field is logged")


def test_a_reply_is_one_write(daemon: Daemon) -> None:
    with mux.connect(daemon.mux) as connection:
        connection.sendall(RIGHT)
        assert connection.recv(100) == OK


def test_bytes_after_the_request_do_not_turn_the_end_into_an_error(daemon: Daemon) -> None:
    """More than one read takes: closing over the rest would reset a client that reads to the end."""
    with mux.connect(daemon.mux) as connection:
        connection.sendall(RIGHT + b"junk" * 20_000)
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while chunk := connection.recv(100):
            data += chunk
        assert data == OK


def test_a_client_that_stays_after_its_reply_is_let_go(daemon: Daemon) -> None:
    with mux.connect(daemon.mux) as connection:
        connection.sendall(RIGHT + b"more")
        assert connection.recv(100) == OK
        assert connection.recv(100) == b""
        wait_until(lambda: is_closed(connection), "the daemon closed its side as well")


def test_a_client_that_never_stops_sending_is_let_go(daemon: Daemon) -> None:
    with mux.connect(daemon.mux) as connection:
        connection.sendall(RIGHT)

        def refused() -> bool:
            try:
                connection.sendall(b"x" * 1000)
            except OSError:
                return True
            return False

        wait_until(refused, "the daemon closed the connection")


def test_a_client_that_does_not_wait_for_its_reply_harms_nobody(daemon: Daemon) -> None:
    for _ in range(50):
        with mux.connect(daemon.mux) as connection:
            connection.sendall(RIGHT)
    assert daemon.ask() == "OK"


def test_realm_and_login_stay_apart_unless_joined(daemon: Daemon) -> None:
    assert daemon.ask(LOGIN, PASSWORD, realm=b"ex.org") == "OK"
    with Daemon("-r", users={"alice": PASSWORD, "alice@ex.org": WRONG}) as joining:
        assert joining.ask(LOGIN, PASSWORD, realm=b"ex.org") == "NO"
        assert joining.ask(LOGIN, WRONG, realm=b"ex.org") == "OK"
        assert joining.ask(LOGIN, PASSWORD) == "OK"


def test_a_realm_that_is_not_accepted_is_refused_before_anybody_is_asked() -> None:
    settings = {"realm_policy": "strip", "realms": "ex.org,Two.org"}
    with Daemon("-c", settings=settings) as daemon:
        for realm in (b"ex.org", b"EX.org", b"two.org", b""):
            assert daemon.ask(LOGIN, PASSWORD, realm=realm) == "OK"
        assert daemon.ask(LOGIN + b"@ex.org", PASSWORD) == "OK"
        for login, realm in (
            (LOGIN, b"other.org"),
            (LOGIN + b"@other.org", b""),
            (LOGIN + b"@ex.org", b"other.org"),
        ):
            for _ in range(2):
                assert daemon.ask(login, PASSWORD, realm=realm) == "NO"
        assert daemon.log.count("[reason=realm is not accepted]") == 6


def test_silent_clients_are_closed_and_stop_nobody() -> None:
    with Daemon("-n", "2", settings={"read_timeout": "1s"}) as daemon:
        silent = [mux.connect(daemon.mux) for _ in range(200)]
        for connection in silent[::2]:
            connection.sendall(RIGHT[:1])
        assert daemon.ask() == "OK"
        for connection in silent:
            assert read_to_end(connection) == NOTHING
            connection.close()


def test_at_the_limit_of_clients_the_one_silent_longest_goes() -> None:
    # Of 14 seats one user's clients have ten.
    with Daemon(settings={"connections": "14", "read_timeout": "5m"}) as daemon:
        silent = [mux.connect(daemon.mux) for _ in range(10)]
        wait_until(lambda: daemon.statistics()[1]["clients"] == "10", "all have been accepted")
        assert daemon.ask() == "OK"
        assert read_to_end(silent[0]) == NOTHING
        silent[9].sendall(RIGHT)
        assert read_to_end(silent[9]) == OK
        for connection in silent:
            connection.close()
        wait_until(lambda: daemon.statistics()[1]["clients"] == "0", "none is left")


def test_the_largest_request_that_can_be_allowed_is_answered() -> None:
    limits = {"field_limit": "4096", "password_limit": "65535"}
    with Daemon("-r", "-n", "1", settings=limits) as daemon:
        field_ = b"x" * 4096
        assert exchange(daemon.mux, request(field_, b"x" * 65535, field_, field_, field_)) == NO
        assert daemon.ask() == "OK"


def test_with_few_descriptors_there_is_room_for_few_clients_and_no_worker_is_lost() -> None:
    with Daemon("-n", "2", open_files=64) as daemon:
        assert "the limit of 64 open files leaves room for 28 clients, not 4096" in daemon.log
        silent = [mux.connect(daemon.mux) for _ in range(100)]
        killed = daemon.children(WORKER)
        for worker in killed:
            worker.send(signal.SIGKILL)
        wait_until(
            lambda: len({*daemon.children(WORKER)}.difference(killed)) == 2, "the workers are replaced"
        )
        wait_until(lambda: daemon.ask() == "OK", "and the front knows of it")
        for connection in silent:
            connection.close()


class TestUnavailable:
    def test_is_a_close_without_an_answer(self) -> None:
        with Daemon() as daemon:
            daemon.shadow_file.unlink()
            assert exchange(daemon.mux, RIGHT) == NOTHING
            assert (
                "auth unavailable: [user=alice] [service=imap] [realm=] [mech=shadow] [reason=shadow_file"
                in daemon.log
            )
            assert "auth failure: [user=alice]" not in daemon.log
            shadow.write(daemon.shadow_file, {"alice": PASSWORD})
            assert daemon.ask() == "OK"

    def test_is_a_no_if_asked(self) -> None:
        with Daemon(settings={"unavailable": "no", "reply_reason": "yes"}) as daemon:
            daemon.shadow_file.unlink()
            assert exchange(daemon.mux, RIGHT)[2:].startswith(b"NO shadow_file ")


def test_the_reason_is_the_originals_if_asked() -> None:
    with Daemon(settings={"reply_reason": "yes"}) as daemon:
        assert exchange(daemon.mux, RIGHT) == OK
        assert exchange(daemon.mux, request(LOGIN, WRONG))[2:] == b"NO Incorrect password"
        assert exchange(daemon.mux, request(b"nobody1", WRONG))[2:] == b"NO Invalid username"
        assert exchange(daemon.mux, request(b"", WRONG))[2:] == b"NO NULL login received"
        assert exchange(daemon.mux, request(LOGIN, b""))[2:] == b"NO NULL password received"


def test_a_login_that_waits_too_long_is_unavailable_and_its_worker_replaced() -> None:
    with Daemon("-n", "1", settings={"login_timeout": "300ms"}) as daemon:
        (worker,) = daemon.children(WORKER)
        worker.send(signal.SIGSTOP)
        assert daemon.ask() == "-"
        wait_until(lambda: daemon.ask() == "OK", "another answers")
        assert "outlasted the deadline and is killed" in daemon.log
        assert "[reason=no answer within 0.3 s]" in daemon.log


def test_logins_beyond_the_queue_are_unavailable_at_once() -> None:
    settings = {"queue_length": "3", **PATIENT}
    with (
        Daemon("-n", "1", settings=settings) as daemon,
        asked_of_a_stopped_worker(daemon, 6) as (clients, worker),
    ):
        # One is in the worker, three wait, two are shed.
        wait_until(lambda: turned_away(daemon, "too many logins are waiting") == 2, "two are told")
        worker.send(signal.SIGCONT)
        assert sorted(map(read_to_end, clients)) == [NOTHING] * 2 + [OK] * 4


def test_logins_in_the_queue_give_up_their_place_in_time() -> None:
    settings = {**PATIENT, "queue_timeout": "300ms"}
    with (
        Daemon("-n", "1", settings=settings) as daemon,
        asked_of_a_stopped_worker(daemon, 4) as (clients, worker),
    ):
        # One is in the worker, three wait.
        late = "no worker was free within 0.3 s"
        wait_until(lambda: turned_away(daemon, late) == 3, "three are told")
        worker.send(signal.SIGCONT)
        assert sorted(map(read_to_end, clients)) == [NOTHING] * 3 + [OK]


@contextlib.contextmanager
def asked_of_a_stopped_worker(daemon: Daemon, count: int) -> Iterator[tuple[list[socket.socket], Process]]:
    """So many clients that have asked, and the only worker, which is stopped."""
    (worker,) = daemon.children(WORKER)
    worker.send(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(mux.connect(daemon.mux)) for _ in range(count)]
        for client in clients:
            client.sendall(RIGHT)
        yield clients, worker


def turned_away(daemon: Daemon, reason: str) -> int:
    """How many, by the log: the first at once, the others once a second."""
    return sum(map(int, re.findall(rf"(\d+) logins? turned away: {reason}", daemon.log)))


def is_closed(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
    except OSError:
        return True
    return False

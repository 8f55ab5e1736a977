"""What mechanism proxy makes of another daemon, played on a real socket: its answers, and its silences."""

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.mechanisms import proxy
from pysaslauthd.sealed import SealedFiles
from support import mux
from support.exchanges import unread
from support.fake_daemon import FakeDaemon, Silence, sends
from support.waiting import wait_until

IDENTITY = Identity(b"igor@ex.org", b"smtp", b"ex.org", b"192.0.2.7;4567")
SECRET = Secret(b"correct horse")
NOBODY = 65_534


def options(path: Path, *, sends_address: bool = False) -> Options:
    settings = Settings(proxy_socket=path, proxy_client_address=sends_address)
    return Options((MECHANISMS["proxy"],), settings=settings)


def made(path: Path, *, sends_address: bool = False) -> proxy.Worker:
    worker = proxy.Worker(options(path, sends_address=sends_address), SealedFiles())
    worker.begin()
    return worker


def run(scene: Callable[[], Awaitable[Answer]]) -> Answer:
    """On the loop that a worker has."""

    async def whole() -> Answer:
        return await asyncio.wait_for(scene(), 30)

    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(whole())
    finally:
        loop.close()


def answer(path: Path, password: Secret = SECRET) -> Answer:
    worker = made(path)
    return run(lambda: worker.check(IDENTITY, password))


def reason(path: Path) -> str:
    """Why it cannot say, which it has to."""
    found = answer(path)
    assert (found.verdict, found.cause) == (Verdict.UNAVAILABLE, Cause.BACKEND)
    assert found.reason.startswith(f"cannot ask {path}: ")
    return found.reason.removeprefix(f"cannot ask {path}: ")


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


class TestAnAnswer:
    @pytest.mark.parametrize("reply", [b"OK", b"OK remote authentication successful", b"OK "])
    def test_of_ok_is_believed(self, reply: bytes) -> None:
        with FakeDaemon(reply) as fake:
            assert answer(fake.mux) == ACCEPTED

    @pytest.mark.parametrize(
        ("reply", "told"),
        [
            (b"NO", ""),
            (b"NO ", ""),
            (b"NO Incorrect password", "Incorrect password"),
            (b"NO PAM auth error", "PAM auth error"),
            (b"NO [ALERT] Couldn't contact \xff\n", "[ALERT] Couldn't contact \ufffd\n"),
            (b"NO " + b"x" * (0xFFFF - 3), "x" * (0xFFFF - 3)),
        ],
    )
    def test_of_no_is_a_wrong_password(self, reply: bytes, told: str) -> None:
        with FakeDaemon(reply) as fake:
            assert answer(fake.mux) == rejected(Cause.WRONG_PASSWORD, told)

    @pytest.mark.parametrize(
        "reply", [b"OKAY", b"ok", b"NOPE", b"no", b"OK\0", b"OK\n", b" OK", b"YES", b"\xff" * 300]
    )
    def test_of_anything_else_says_nothing_of_the_password(self, reply: bytes) -> None:
        with FakeDaemon(reply) as fake:
            found = answer(fake.mux)
        assert (found.verdict, found.cause) == (Verdict.UNAVAILABLE, Cause.BACKEND)
        assert found.reason == "the daemon that was asked says neither OK nor NO"

    def test_that_tells_the_password_is_not_told_on(self) -> None:
        with FakeDaemon(b"NO not " + SECRET.reveal() + b"!") as fake:
            assert answer(fake.mux) == rejected(Cause.WRONG_PASSWORD, "")

    @pytest.mark.parametrize(
        ("reply", "verdict"),
        [(b"OK", Verdict.ACCEPT), (b"NO no", Verdict.REJECT), (b"OKAY", Verdict.UNAVAILABLE)],
    )
    def test_may_come_byte_by_byte(self, reply: bytes, verdict: Verdict) -> None:
        def play(connection: socket.socket) -> None:
            for byte in mux.field(reply):
                connection.sendall(bytes([byte]))
                wait_until(lambda: unread(connection) == 0, "it is read")

        with FakeDaemon(play) as fake:
            assert answer(fake.mux).verdict is verdict

    def test_ends_where_it_says(self) -> None:
        with FakeDaemon(sends(mux.field(b"OK") + b"NO" * 100)) as fake:
            assert answer(fake.mux) == ACCEPTED


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"", "it closed without an answer"),
            (b"\0", "it closed inside its answer"),
            (b"\0\2", "it closed inside its answer"),
            (b"\0\2O", "it closed inside its answer"),
            (b"\0\0", "reply of 0 bytes; expected OK or NO"),
            (b"\0\1N", "reply of 1 bytes; expected OK or NO"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it closed inside its answer"),
        ],
    )
    def test_is_what_is_none(self, data: bytes, told: str) -> None:
        with FakeDaemon(sends(data)) as fake:
            assert reason(fake.mux) == told

    def test_comes_of_one_that_closes_with_the_request_unread(self, directory: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(directory / "mux"))
            listening.listen()

            def close_at_once() -> None:
                connection, _ = listening.accept()
                connection.recv(1)
                connection.close()

            thread = threading.Thread(target=close_at_once)
            thread.start()
            assert reason(directory / "mux") == "it broke off: Connection reset by peer"
            thread.join()

    def test_comes_of_nobody(self, directory: Path) -> None:
        path = directory / "mux"
        assert reason(path) == "No such file or directory"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        assert reason(path) == "Connection refused"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(directory / "other"))
            assert reason(directory / "other") == "Protocol wrong type for socket"

    def test_ends_the_connection_when_the_time_is_over(self) -> None:
        with Silence() as silence, FakeDaemon(silence) as fake:
            before = open_descriptors()

            async def scene() -> Answer:
                task = asyncio.ensure_future(made(fake.mux).check(IDENTITY, SECRET))
                await asyncio.to_thread(fake.wait_asked, 1)
                held = len(open_descriptors())
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                # The loop closes what it watched a turn later.
                await asyncio.sleep(0)
                assert len(open_descriptors()) == held - 1
                return ACCEPTED

            run(scene)
            silence.end()
            wait_until(lambda: open_descriptors() == before, "both ends are closed")


class TestARequest:
    def test_has_the_four_fields_as_they_came(self) -> None:
        behind = []

        def play(connection: socket.socket) -> None:
            behind.append(select.select([connection], [], [], 0)[0])
            connection.sendall(mux.field(b"OK"))

        with FakeDaemon(play) as fake:
            answer(fake.mux)
            assert fake.requests == [(b"igor@ex.org", b"correct horse", b"smtp", b"ex.org")]
        assert behind == [[]]

    @pytest.mark.parametrize("address", [b"192.0.2.7;4567", b"", None])
    def test_has_a_fifth_if_that_is_asked_for(self, address: bytes | None) -> None:
        identity = IDENTITY._replace(client_address=address)
        with FakeDaemon(b"OK", fields=5) as fake:
            worker = made(fake.mux, sends_address=True)
            run(lambda: worker.check(identity, SECRET))
            assert fake.requests == [(b"igor@ex.org", b"correct horse", b"smtp", b"ex.org", address or b"")]


class TestAFullBacklog:
    @pytest.fixture
    def listening(self, directory: Path) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(directory / "mux"))
            made.listen(0)
            yield made

    def filled(self, path: Path) -> list[socket.socket]:
        """As many clients as there is room for."""
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            try:
                client.connect(str(path))
            except BlockingIOError:
                return clients

    def test_is_waited_for(self, directory: Path, listening: socket.socket) -> None:
        clients = self.filled(directory / "mux")

        async def scene() -> Answer:
            task = asyncio.ensure_future(made(directory / "mux").check(IDENTITY, SECRET))
            for _ in range(10):
                await asyncio.sleep(proxy.BACKLOG_PAUSE)
            assert not task.done()
            for client in clients:
                client.close()
            for _ in clients[:-1]:
                listening.accept()[0].close()
            listening.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            with connection:
                connection.send(mux.field(b"OK"))
                return await task

        assert run(scene) == ACCEPTED

    def test_is_not_waited_for_long(
        self, directory: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proxy, "CONNECT_LIMIT", 0.1)
        assert listening.fileno() >= 0
        clients = self.filled(directory / "mux")
        assert reason(directory / "mux") == "it accepted nobody for 0.1 s"
        for client in clients:
            client.close()


class TestOneThatIsShut:
    """Root has no rights for the length of such a test."""

    @pytest.fixture
    def shut(self) -> Iterator[FakeDaemon]:
        with FakeDaemon(b"OK") as fake:
            fake.directory.chmod(0o700 if os.geteuid() == 0 else 0)
            if os.geteuid() == 0:
                os.seteuid(NOBODY)
            try:
                yield fake
            finally:
                os.seteuid(os.getuid())
                fake.directory.chmod(0o711)

    def test_has_a_worker_replaced_that_is_not_new(
        self, shut: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for steady_after, is_spent in ((60.0, False), (-1.0, True)):
            monkeypatch.setattr(proxy, "STEADY_AFTER", steady_after)
            worker = made(shut.mux)
            found = run(lambda worker=worker: worker.check(IDENTITY, SECRET))  # type: ignore[misc]
            assert found.reason == f"cannot ask {shut.mux}: Permission denied"
            assert worker.is_spent is is_spent

    def test_is_told_before_anybody_logs_in(self, shut: FakeDaemon) -> None:
        (told,) = proxy.inspect(options(shut.mux), SealedFiles()).warnings
        start = f"cannot ask {shut.mux}: {shut.directory} has mode 0{shut.directory.stat().st_mode & 0o777:03o} and the group "
        assert told.startswith(start)
        assert told.endswith(": a worker needs a group other than root that may enter it")


class TestAnInspection:
    def test_of_one_that_listens_says_nothing(self, directory: Path) -> None:
        with FakeDaemon(b"OK") as fake:
            found = proxy.inspect(options(fake.mux), SealedFiles())
            assert (found.errors, found.warnings) == ((), ())
        found = proxy.inspect(options(directory / "mux"), SealedFiles())
        assert found.errors == ()
        assert found.warnings == (
            f"cannot ask {directory}/mux: No such file or directory; it is tried at each login",
        )

    def test_of_none_is_an_error(self) -> None:
        found = proxy.inspect(Options((MECHANISMS["proxy"],)), SealedFiles())
        assert found.errors == ("mechanism proxy: proxy_socket is not set",)

"""What other Python programs call: the verdict, or an exception that says what went wrong; never False for that."""

import asyncio
import re
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from pysaslauthd import client
from pysaslauthd.client import NoReplyError, NoSocketError
from pysaslauthd.core.secret import Secret
from support.daemon import LOGIN, PASSWORD, WRONG, Daemon
from support.fake_daemon import FakeDaemon
from support.waiting import wait_until

README = Path(__file__).parents[2] / "README.md"

Check = Callable[..., bool]


def by_asyncio(*given: object, **more: object) -> bool:
    return asyncio.run(client.check_async(*given, **more))  # type: ignore[arg-type]


def by_uvloop(*given: object, **more: object) -> bool:
    return uvloop.run(client.check_async(*given, **more))  # type: ignore[arg-type]


@pytest.fixture(params=[client.check, by_asyncio, by_uvloop], ids=["check", "asyncio", "uvloop"])
def check(request: pytest.FixtureRequest) -> Check:
    chosen: Check = request.param
    return chosen


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(users={"alice": PASSWORD, "jürgen": "Größe".encode()}) as running:
        yield running


@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.decode(), Secret(PASSWORD)], ids=type)
def test_the_verdict_is_told_of_bytes_text_and_secrets(
    daemon: Daemon, check: Check, password: object
) -> None:
    assert check(LOGIN, password, path=daemon.mux) is True
    assert check(LOGIN.decode(), password, "smtp", "ex.org", path=str(daemon.mux)) is True
    assert "auth success: [user=alice] [service=smtp] [realm=ex.org]" in daemon.log
    assert check("bob", password, path=daemon.mux) is False
    assert check(LOGIN, WRONG, path=daemon.mux) is False


def test_text_is_sent_as_utf_8(daemon: Daemon, check: Check) -> None:
    assert check("jürgen", "Größe", path=daemon.mux)


def hang_up(listener: socket.socket) -> None:
    """On the next client, once it has said something."""
    with listener.accept()[0] as client:
        client.recv(1, socket.MSG_PEEK)


class TestNobodyWhoCanTell:
    """Is an exception."""

    def test_no_socket(self, daemon: Daemon, check: Check) -> None:
        with pytest.raises(NoSocketError, match="No such file"):
            check("x", "x", path=daemon.directory / "none")

    def test_closed_without_an_answer(self, check: Check) -> None:
        with FakeDaemon(b"") as fake, pytest.raises(NoReplyError, match="closed without an answer"):
            check("x", "x", path=fake.mux)

    def test_closed_with_the_request_unread_which_resets_the_connection(
        self, daemon: Daemon, check: Check
    ) -> None:
        path = daemon.directory / "rude"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=hang_up, args=(listener,))
            thread.start()
            with pytest.raises(NoReplyError, match="closed without an answer"):
                check("x", "x", path=path)
            thread.join()
        path.unlink()

    @pytest.mark.parametrize(
        ("reply", "what"),
        [(b"O", "reply of 1 bytes; expected OK or NO"), (b"error: no backend", "neither OK nor NO")],
    )
    def test_an_answer_that_is_none(self, check: Check, reply: bytes, what: str) -> None:
        with FakeDaemon(reply) as fake, pytest.raises(NoReplyError, match=what):
            check("x", "x", path=fake.mux)

    def test_no_answer_in_time(self, check: Check) -> None:
        with FakeDaemon(b"OK") as fake, socket.socket(socket.AF_UNIX) as silent:
            path = fake.directory / "silent"
            silent.bind(str(path))
            silent.listen()
            with pytest.raises(TimeoutError, match="no answer"):
                check("x", "x", path=path, timeout=0.1)


def test_a_field_that_no_request_can_hold_is_an_error_before_anything_is_sent(check: Check) -> None:
    with pytest.raises(ValueError, match="field of 70000 bytes; the protocol allows 65535"):
        check("x" * 70_000, "x")


def test_a_password_that_is_no_text_is_not_in_the_exception(check: Check) -> None:
    with pytest.raises(ValueError, match="no text that UTF-8 can say") as caught:
        check("x", "hidden-\ud800")
    assert "hidden" not in repr(caught.value.args)
    assert caught.value.__suppress_context__
    assert "hidden" not in "".join(traceback.format_exception_only(caught.value))


class TestAFullBacklog:
    """Is waited for, whatever signals come meanwhile."""

    @pytest.fixture
    def listener(self, daemon: Daemon) -> Iterator[socket.socket]:
        """One that nobody else can connect to until it has accepted a client."""
        path = daemon.directory / "full"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
            listener.bind(str(path))
            listener.listen(0)
            first.connect(str(path))
            yield listener
        path.unlink()

    @pytest.fixture(autouse=True)
    def _signals(self) -> Iterator[None]:
        """To the main thread, which asks, ten in all."""
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        main, ended = threading.get_ident(), threading.Event()

        def send() -> None:
            for _ in range(10):
                if ended.wait(0.01):
                    return
                signal.pthread_kill(main, signal.SIGUSR1)

        thread = threading.Thread(target=send)
        thread.start()
        yield
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)

    def test_until_the_time_is_over(self, check: Check, listener: socket.socket) -> None:
        with pytest.raises(TimeoutError):
            check("x", "x", path=listener.getsockname(), timeout=0.2)

    def test_until_it_is_not(self, check: Check, listener: socket.socket) -> None:
        def serve() -> None:
            ended.wait(0.1)
            listener.accept()[0].close()
            with listener.accept()[0] as client:
                client.recv(100)
                client.sendall(b"\0\2OK")

        ended = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        assert check("x", "x", path=listener.getsockname())
        thread.join()


def test_an_event_loop_goes_on_while_many_ask(daemon: Daemon) -> None:
    async def ask_many() -> list[bool]:
        passwords = [PASSWORD, WRONG] * 10
        return await asyncio.gather(*(client.check_async(LOGIN, p, path=daemon.mux) for p in passwords))

    assert asyncio.run(ask_many()) == [True, False] * 10


def test_the_readmes_example_works(daemon: Daemon) -> None:
    (example,) = re.findall(r"```python\n(from pysaslauthd\.client .*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    told = example.replace("/run/saslauthd/mux", str(daemon.mux)).replace("igor", "alice")
    exec(told.replace("secret", PASSWORD.decode()), names)
    assert names["answer"] == "welcome"
    wait_until(lambda: "[user=alice] [service=webmail]" in daemon.log, "it asked")

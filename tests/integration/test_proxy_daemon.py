"""A daemon that asks another one: with which rights, how many logins at a time, and what of its failures comes through."""

import os
from collections.abc import Iterator

import pytest

from support import mux, processes
from support.configured import NOT_RELOADED, Configured
from support.daemon import LOGIN, PASSWORD, PATIENT_OPTIONS, WRONG
from support.fake_daemon import FakeDaemon, Silence
from support.packages import need_root
from support.waiting import wait_until

WORKER = "pysasl-proxy"
GROUP = 54_321
"""A number that no group of this machine has."""


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        yield configured


def start(there: Configured, fake: FakeDaemon, *arguments: str, mechanism: str = "proxy") -> None:
    basis = there.basis.replace('"shadow"\n', f"{[*mechanism.split(',')]}\n", 1)
    there.write(f'{basis}proxy_socket = "{fake.mux}"\n')
    there.start("--config", str(there.file), "-d", *arguments)


@pytest.mark.parametrize(
    ("reply", "heard"), [(b"OK", "OK"), (b"NO Incorrect password", "NO"), (b"OKAY", "-"), (b"", "-")]
)
def test_what_the_other_says_is_what_a_client_hears(there: Configured, reply: bytes, heard: str) -> None:
    with FakeDaemon(reply) as fake:
        start(there, fake)
        assert there.ask(realm=b"ex.org") == heard
        assert fake.requests == [(LOGIN, PASSWORD, b"imap", b"ex.org")]
        assert PASSWORD.decode() not in there.log


def test_its_reason_is_logged_and_passed_on_where_reasons_are(there: Configured) -> None:
    with FakeDaemon(b"NO PAM auth error") as fake:
        start(there, fake, "-o", "reply_reason=yes")
        assert mux.exchange(there.mux, mux.request(LOGIN, WRONG)) == mux.field(b"NO PAM auth error")
        assert (
            "auth failure: [user=alice] [service=imap] [realm=] [mech=proxy] [reason=PAM auth error]"
            in there.log
        )


class TestWhoIsNotThere:
    def test_is_no_wrong_password_and_is_asked_as_soon_as_he_comes(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            place = fake.mux.rename(fake.directory / "elsewhere")
            start(there, fake)
            assert f"cannot ask {fake.mux}: No such file or directory; it is tried at each login" in there.log
            assert there.ask() == "-"
            assert (
                f"auth unavailable: [user=alice] [service=imap] [realm=] [mech=proxy] [reason=cannot ask {fake.mux}: No such"
                in there.log
            )
            place.rename(fake.mux)
            assert there.ask() == "OK"

    def test_is_given_up_within_the_time_of_a_login(self, there: Configured) -> None:
        with Silence() as silence, FakeDaemon(silence) as fake:
            start(there, fake, "-o", "login_timeout=2")
            assert there.ask() == "-"
            assert "[mech=proxy] [reason=no answer within 1 s]" in there.log
            silence.end()
            assert there.ask() == "OK"
            assert "is killed" not in there.log


def test_it_is_asked_so_many_at_a_time_and_the_others_wait(there: Configured) -> None:
    number = 12
    with Silence() as silence, FakeDaemon(silence) as fake:
        start(there, fake, "-o", "proxy_connections=3", *PATIENT_OPTIONS)
        clients = [mux.connect(there.mux) for _ in range(number)]
        for each, client in enumerate(clients):
            client.sendall(mux.request(b"u%d" % each, PASSWORD))
        wait_until(lambda: silence.most == 3, "three are asked")
        silence.end()
        assert [mux.read_to_end(client) for client in clients] == [mux.field(b"OK")] * number
        for client in clients:
            client.close()
        assert silence.most == 3
        assert sorted(request[0] for request in fake.requests) == sorted(
            b"u%d" % each for each in range(number)
        )
        assert len(there.children(WORKER)) == 1


class TestInAChain:
    def test_the_next_is_asked_of_who_is_refused_or_while_it_is_not_there(self, there: Configured) -> None:
        with FakeDaemon(b"NO") as fake:
            start(there, fake, mechanism="proxy,shadow")
            assert there.ask() == "OK"
            assert there.ask(password=WRONG) == "NO"
            assert len(fake.requests) == 2
            place = fake.mux.rename(fake.directory / "elsewhere")
            assert there.ask() == "OK"
            assert there.ask(password=WRONG) == "-"
            place.rename(fake.mux)
            assert there.ask(password=WRONG) == "NO"

    def test_who_is_accepted_is_asked_of_nobody_else(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            start(there, fake, mechanism="proxy,shadow")
            assert there.ask(password=WRONG) == "OK"
            assert "[mech=proxy]" in there.log


class TestItsSocket:
    def test_is_said_to_be_missing_where_nobody_names_it(self, there: Configured) -> None:
        for action in ("--check", "-f"):
            result = there.command("-a", "proxy", "-o", "syslog_socket=", "-m", str(there.run_path), action)
            assert result.returncode == 1
            assert (
                "mechanism proxy: expected proxy_socket, the path of the socket that it asks" in result.stderr
            )

    def test_is_not_our_own_by_another_name(self, there: Configured) -> None:
        there.run_path.mkdir()
        link = there.directory / "link"
        link.symlink_to(there.run_path)
        for action in ("--check", "-f"):
            words = (
                "-a",
                "proxy",
                "-o",
                "syslog_socket=",
                "-O",
                str(link / "mux"),
                "-m",
                str(there.run_path),
            )
            result = there.command(*words, action)
            assert result.returncode == 1
            assert (
                f"proxy_socket: {link}/mux is a socket of this daemon, which would ask itself"
                in result.stderr
            )

    def test_can_be_another_after_a_reload_if_nobody_else_can_put_one_there(self, there: Configured) -> None:
        with FakeDaemon(b"NO") as old, FakeDaemon(b"OK") as new:
            start(there, old)
            assert there.ask() == "NO"
            text = there.file.read_text().replace(str(old.mux), str(new.mux))
            there.write(text)
            new.directory.chmod(0o777)
            assert "others than its owner could put another there and be told passwords" in there.reload(
                NOT_RELOADED
            )
            assert there.ask() == "NO"
            new.directory.chmod(0o711)
            there.reload()
            assert there.ask() == "OK"

    def test_is_missed_at_a_reload_that_cannot_take_the_mechanism_away(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            start(there, fake)
            there.write(there.basis)
            told = there.reload(NOT_RELOADED)
            assert "mechanism (" in told
            assert ":mechanism proxy: proxy_socket is not set\n" in told
            assert there.ask() == "OK"


class TestStartedByRoot:
    @pytest.fixture(autouse=True)
    def _root(self) -> None:
        need_root()

    @pytest.mark.parametrize(
        ("directory", "socket_mode", "groups", "heard"),
        [
            ((0, 0o711), 0o777, "", "OK"),
            ((GROUP, 0o710), 0o777, str(GROUP), "OK"),
            ((0, 0o711), 0o660, str(GROUP), "OK"),
            ((0, 0o710), 0o777, "", "-"),
            ((GROUP, 0o700), 0o777, "", "-"),
            ((GROUP, 0o711), 0o600, "", "-"),
        ],
    )
    def test_a_worker_has_the_group_that_lets_it_in_and_no_more(
        self, there: Configured, directory: tuple[int, int], socket_mode: int, groups: str, heard: str
    ) -> None:
        with FakeDaemon(b"OK") as fake:
            os.chown(fake.mux, 0, GROUP)
            fake.mux.chmod(socket_mode)
            os.chown(fake.directory, 0, directory[0])
            fake.directory.chmod(directory[1])
            start(there, fake)
            assert there.ask() == heard
            (worker,) = there.children(WORKER)
            status = processes.status(worker.pid)
            assert status["Groups"] == groups
            assert int(status["Uid"].split()[0]) != 0
            assert {status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
            assert status["NoNewPrivs"] == "1"
            assert ("a worker needs a group other than root that may" in there.log) == (heard == "-")

    def test_check_says_what_is_in_the_way(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            os.chown(fake.directory, 0, GROUP)
            fake.directory.chmod(0o700)
            result = there.command(
                "-a", "proxy", "-O", str(fake.mux), "-m", str(there.run_path), "--check", "-f"
            )
            assert result.returncode == 0
            told = (
                f"warning: cannot ask {fake.mux}: {fake.directory} has mode 0700 and the group {GROUP}: "
                "a worker needs a group other than root that may enter it\n"
            )
            assert told in result.stderr
            fake.directory.chmod(0o710)
            result = there.command(
                "-a", "proxy", "-O", str(fake.mux), "-m", str(there.run_path), "--check", "-f"
            )
            assert "cannot ask" not in result.stderr

"""A daemon that compares: what another one is asked after it, and that nothing of that one can be felt."""

import signal
from collections.abc import Iterator

import pytest

from support import mux, shadow
from support.compared import counts, different, wait_counts, wait_ready
from support.configured import Configured
from support.daemon import LOGIN, PASSWORD, WRONG
from support.devlog import DevLog
from support.fake_daemon import FakeDaemon, Play, Silence, sends
from support.mux import field
from support.waiting import wait_until

WORKER = "pysasl-compare"
ROOM = 64
"""Logins that wait for the other daemon."""
AT_A_TIME = 5
"""That it is asked at the same time."""
PATIENT = 'queue_timeout = "5m"\nlogin_timeout = "5m"\n'


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        yield configured


def start(there: Configured, fake: FakeDaemon, settings: str = "") -> None:
    there.write(f'{there.basis}compare = "{fake.mux}"\n{settings}')
    there.start("--config", str(there.file), "-f")
    wait_ready(there)


class TestTheOtherIsAsked:
    def test_what_was_accepted_as_the_client_sent_it_and_a_difference_is_logged(
        self, there: Configured
    ) -> None:
        with FakeDaemon(b"NO PAM auth error") as fake, DevLog() as devlog:
            there.basis = there.basis.replace('syslog_socket = ""', f'syslog_socket = "{devlog.path}"')
            there.basis += 'realm_policy = "strip"\n'
            start(there, fake)
            assert there.ask(b"alice@ex.org", realm=b"other") == "OK"
            assert there.ask(b"alice", password=WRONG) == "NO"
            assert fake.wait_asked(1) == [(b"alice@ex.org", PASSWORD, b"imap", b"other")]
            wait_counts(there, different=1)
            assert different(there) == [
                "[user=alice@ex.org] [service=imap] [realm=other] [ours=OK] [theirs=NO] [reason=PAM auth error]"
            ]
            assert devlog.find(b"compared and different: ").startswith(b"<36>")
            assert not [
                datagram for datagram in devlog.datagrams if PASSWORD in datagram or WRONG in datagram
            ]
            assert f"compared with {fake.mux}: 0 equal, 1 different, 0 unavailable, 0 dropped\n" in there.log

    def test_what_was_refused_only_if_that_is_wanted(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            start(there, fake, "compare_rejected = true\n")
            assert there.ask(password=WRONG) == "NO"
            assert there.ask() == "OK"
            wait_counts(there, equal=1, different=1)
            assert different(there) == [
                "[user=alice] [service=imap] [realm=] [ours=NO] [theirs=OK] [reason=Incorrect password]"
            ]

    def test_never_of_a_service_that_is_left_out_and_not_what_is_remembered(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            start(there, fake, 'cache = true\ncompare_rejected = true\nuncached_services = ["otp"]\n')
            for password, heard in ((PASSWORD, "OK"), (WRONG, "NO")):
                for service in (b"otp", b"OTP", b"imap"):
                    assert mux.ask(there.mux, LOGIN, password, service) == heard
            for _ in range(3):
                assert there.ask() == "OK"
            wait_counts(there, equal=1, different=1)
            assert {request[2] for request in fake.requests} == {b"imap"}
            assert len(fake.requests) == 2

    def test_from_one_reload_to_another(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            text = there.basis
            there.write(text)
            there.start("--config", str(there.file), "-f")
            assert there.ask() == "OK"
            assert there.children(WORKER) == []
            there.write(f'{text}compare = "{fake.mux}"\n')
            there.reload()
            assert there.ask() == "OK"
            fake.wait_asked(1)
            wait_counts(there, equal=1)
            there.write(text)
            assert f"compared with {fake.mux}: 1 equal, " in there.log
            there.reload()
            assert there.ask() == "OK"
            wait_until(lambda: not there.children(WORKER), "who compared has left")
            assert len(fake.requests) == 1


class TestNothingIsFelt:
    def test_of_one_that_is_slow(self, there: Configured) -> None:
        """All logins have their answers before the other daemon has said a word; what it has no room for is dropped."""
        number = AT_A_TIME + ROOM + 20
        users = {f"u{each}": PASSWORD for each in range(number)}
        shadow.write(there.shadow_file, users)
        with Silence() as silence, FakeDaemon(silence) as fake:
            start(there, fake, PATIENT)
            for count, login in enumerate(users, start=1):
                assert there.ask(login.encode()) == "OK"
                if count <= AT_A_TIME:
                    wait_until(lambda c=count: silence.most == c, "it is asked")  # type: ignore[misc]
            assert counts(there) == {"dropped": 20}
            silence.end()
            wait_counts(there, dropped=20, equal=AT_A_TIME + ROOM)
            assert silence.most == AT_A_TIME
            assert {request[0].decode() for request in fake.requests} < set(users)

    def test_of_one_name_that_logs_in_all_the_time(self, there: Configured) -> None:
        number = AT_A_TIME + ROOM
        with Silence() as silence, FakeDaemon(silence) as fake:
            start(there, fake, PATIENT)
            assert there.ask() == "OK"
            fake.wait_asked(1)
            assert [there.ask() for _ in range(number - 1)] == ["OK"] * (number - 1)
            assert counts(there) == {}
            silence.end()
            wait_counts(there, equal=number)

    @pytest.mark.parametrize(
        ("play", "outcome"),
        [
            (sends(b""), "unavailable"),
            (sends(b"\xff\xff" + b"x" * 70_000), "unavailable"),
            (sends(field(b"OKAY")), "unavailable"),
            (sends(field(b"NO it is " + PASSWORD)), "different"),
        ],
        ids=["closes", "garbage", "another-word", "tells-the-password"],
    )
    def test_of_one_that_lies(self, there: Configured, play: Play, outcome: str) -> None:
        with FakeDaemon(play) as fake:
            start(there, fake)
            assert [there.ask() for _ in range(10)] == ["OK"] * 10
            wait_counts(there, **{outcome: 10})
            assert PASSWORD.decode() not in there.log
            assert len(different(there)) == (10 if outcome == "different" else 0)

    def test_of_one_that_is_not_there(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            place = fake.mux.rename(fake.directory / "elsewhere")
            start(there, fake)
            assert f"cannot ask {fake.mux}: No such file or directory" in there.log
            assert [there.ask() for _ in range(10)] == ["OK"] * 10
            wait_counts(there, unavailable=10)
            place.rename(fake.mux)
            assert there.ask() == "OK"
            wait_counts(there, unavailable=10, equal=1)

    def test_of_one_that_is_too_late(self, there: Configured) -> None:
        with Silence() as silence, FakeDaemon(silence) as fake:
            start(there, fake, 'login_timeout = "2s"\n')
            assert there.ask() == "OK"
            wait_counts(there, unavailable=1)
            assert there.ask() == "OK"

    def test_of_a_worker_that_is_killed_or_stopped(self, there: Configured) -> None:
        with FakeDaemon(b"OK") as fake:
            start(there, fake)
            (first,) = there.children(WORKER)
            first.send(signal.SIGSTOP)
            assert [there.ask() for _ in range(3)] == ["OK"] * 3
            # A client has its answer before the comparison begins.
            assert counts(there) == {}
            first.send(signal.SIGKILL)
            wait_counts(there, unavailable=3)
            assert there.ask() == "OK"
            wait_counts(there, unavailable=3, equal=1)
            assert "its logins are lost" not in there.log


def test_where_ours_cannot_say_the_other_is_not_asked_and_the_end_sums_up(there: Configured) -> None:
    with FakeDaemon(b"OK") as fake:
        there.basis = there.basis.replace(
            '"shadow"\n', f'"proxy"\nproxy_socket = "{there.directory}/none"\n', 1
        )
        start(there, fake, "compare_rejected = true\n")
        assert [there.ask() for _ in range(3)] == ["-"] * 3
        assert "3 unavailable" not in there.log
        told = f"compared with {fake.mux}: 0 equal, 0 different, 3 unavailable, 0 dropped\n"
        assert told in there.reload()
        assert fake.requests == []

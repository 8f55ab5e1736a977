"""The metrics of a running daemon agree with what was sent, to the last login, whatever happens meanwhile."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pysaslauthd.commands.control import EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from pysaslauthd.front.metrics import METRICS
from support import mux
from support.controlled import ctl, here
from support.daemon import LOGIN, PASSWORD, PATIENT, WORKER, WRONG, Daemon
from support.packages import need_root
from support.scraped import Metrics, metrics
from support.visitor import Visitor
from support.waiting import wait_until

CACHED = {"way": "cache"}
ASKED = {"way": "mechanism"}


@pytest.fixture
def clients() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@contextlib.contextmanager
def caching(settings: dict[str, str] | None = None) -> Iterator[Daemon]:
    """With two workers, in the foreground without debug lines: with them, no login goes the shortest way."""
    with Daemon(
        "-c", "-n", "2", settings={"read_timeout": "10m", **PATIENT, **(settings or {})}, foreground="-f"
    ) as daemon:
        daemon.statistics()  # so the front knows both workers, and none of them counts as a new one later
        yield daemon


def until(daemon: Daemon, condition: Callable[[Metrics], object], what: str) -> Metrics:
    """The metrics, as soon as they are so."""

    def held() -> Metrics | None:
        now = metrics(daemon)
        return now if condition(now) else None

    now = wait_until(held, what)
    assert now is not None
    return now


@contextlib.contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    """The workers do nothing meanwhile, but those that are killed."""
    workers = daemon.children(WORKER)
    for worker in workers:
        worker.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send(signal.SIGCONT)


class TestCounters:
    def test_agree_with_what_was_answered(self) -> None:
        with caching() as daemon:
            before = metrics(daemon)
            for _ in range(101):
                assert daemon.ask() == "OK"
            for _ in range(7):
                assert daemon.ask(password=WRONG) == "NO"
            for service in (b"smtp", b"smtp", b""):
                assert daemon.ask(service=service) == "OK"
            with mux.connect(daemon.mux) as client:  # the same as before, in two pieces
                request = mux.request(LOGIN, PASSWORD)
                client.sendall(request[:9])
                client.sendall(request[9:])
                assert mux.read_to_end(client) == b"\0\2OK"
            after = metrics(daemon)
        imap = {"mechanism": "shadow", "service": "imap"}
        assert after.since(before, "logins_total", verdict="accepted", **imap, **ASKED) == 1
        assert after.since(before, "logins_total", verdict="accepted", **imap, **CACHED) == 101
        assert after.since(before, "logins_total", verdict="rejected", **imap, **ASKED) == 7
        assert after.since(before, "logins_total", verdict="accepted", service="smtp") == 2
        assert after.since(before, "logins_total", verdict="accepted", service="") == 1
        assert after.since(before, "logins_total") == 112
        assert after.since(before, "cache_hits_total") == 102
        assert after.since(before, "cache_misses_total") == 10
        assert after("cache_entries") == 3
        assert after("cache_capacity") == 10_272
        assert after.since(before, "mechanism_seconds_count", mechanism="shadow") == 10
        assert after.since(before, "wait_seconds_count", mechanism="shadow") == 10
        assert after("mechanism_seconds_bucket", le="+Inf") == after("mechanism_seconds_count")
        assert after("mechanism_seconds_sum") > 0

    def test_agree_with_who_waited_joined_left_and_was_turned_away(
        self, clients: contextlib.ExitStack
    ) -> None:
        with caching(settings={"queue_length": "3"}) as daemon:
            before = metrics(daemon)
            with stopped(daemon):

                def send(login: bytes) -> None:
                    client = clients.enter_context(mux.connect(daemon.mux))
                    client.sendall(mux.request(login, WRONG))

                for login in (b"a", b"b", b"c", b"d", b"e"):
                    send(login)
                leaving = mux.connect(daemon.mux)
                until(daemon, lambda now: now("queued", mechanism="shadow") == 3, "three wait")
                for login in (b"a", b"a", b"c"):
                    send(login)
                joined = until(
                    daemon, lambda now: now.since(before, "joined_total") == 3, "three have joined"
                )
                assert joined("workers", state="busy") == 2
                for login in (b"f", b"g"):
                    send(login)
                shed = until(daemon, lambda now: now.since(before, "shed_total") == 2, "two are turned away")
                assert shed.values("shed_total", "reason") == {"too many logins are waiting"}
                leaving.close()
            rejected = {"verdict": "rejected", "service": "imap"}
            after = until(
                daemon,
                lambda now: now.since(before, "logins_total", **rejected) == 8,
                "all have been answered",
            )
            assert after.since(before, "logins_total", way="joined") == 3
            assert after.since(before, "logins_total") == 8
            assert after.since(before, "mechanism_seconds_count") == 5

    def test_agree_with_who_left_while_waiting(self) -> None:
        with caching() as daemon:
            before = metrics(daemon)
            with stopped(daemon), contextlib.ExitStack() as clients:
                for login in (b"a", b"b", b"c", b"d"):
                    clients.enter_context(mux.connect(daemon.mux)).sendall(mux.request(login, WRONG))
                until(daemon, lambda now: now("queued") == 2, "two wait")
                clients.close()
                until(daemon, lambda now: now.since(before, "gone_total") == 2, "it is noticed")
            after = until(
                daemon, lambda now: now.since(before, "unheard_total") == 2, "the others are answered"
            )
            assert after.since(before, "logins_total", verdict="rejected") == 2
            assert after.since(before, "logins_total") == 2

    def test_agree_with_what_was_no_request(self) -> None:
        with caching(settings={"read_timeout": "1s"}) as daemon:
            for data in (mux.request(b"", b"x"), mux.request(b"nul\0", b"x"), b"\xff\xff" * 10):
                mux.exchange(daemon.mux, data)
            with mux.connect(daemon.mux) as silent:
                assert mux.read_to_end(silent) == b""
            after = until(daemon, lambda now: now("timed_out_total") == 1, "the silent one is closed")
            assert after("malformed_total") == 3
            assert after("logins_total", verdict="accepted") == 0

    def test_agree_with_who_had_no_seat_and_who_made_room(self, clients: contextlib.ExitStack) -> None:
        with caching(settings={"connections": "4"}) as daemon:
            for number in range(6):
                clients.enter_context(mux.connect(daemon.mux))
                seated = min(number + 1, 3)
                until(daemon, lambda now, seated=seated: now("clients") == seated, "it is seated")  # type: ignore[misc]
            after = until(daemon, lambda now: now("evicted_total") == 3, "three had to go")
            assert after("shed_total") == 0

    def test_count_services_of_strangers_together_when_there_are_many(self) -> None:
        with caching() as daemon:
            for number in range(100):
                daemon.ask(b"nobody", b"x", b"invented-%d" % number)
            daemon.ask(b"nobody", b"x", b'"\n\\{}\x1b[2J\xff')
            daemon.ask(service=b"smtp")
            now = metrics(daemon)
            assert len(now.values("logins_total", "service")) == 34
            assert now("logins_total", service="other") == 70
            assert now("logins_total", service="smtp") == 1


class TestAWorker:
    def test_that_is_killed_is_counted_with_what_it_held(self) -> None:
        with caching() as daemon:
            before = metrics(daemon)
            with stopped(daemon), mux.connect(daemon.mux) as client:
                client.sendall(mux.request(LOGIN, WRONG))
                until(daemon, lambda now: now("workers", state="busy") == 1, "one has it")
                for worker in daemon.children(WORKER):
                    worker.send(signal.SIGKILL)
                assert mux.read_to_end(client) == b""
            until(daemon, lambda now: now("worker_restarts_total") == 2, "the master has counted them")
            until(daemon, lambda now: now("workers_lost_total") == 2, "the front has")
            assert daemon.ask() == "OK"
            after = metrics(daemon)
            assert after("workers_lost_total", mechanism="shadow", cause="died") == 2
            assert after("workers_lost_total") == 2
            assert after.since(before, "workers_started_total", mechanism="shadow") == 2
            assert after.since(before, "logins_total", verdict="unavailable", **ASKED) == 1
            assert after.since(before, "logins_total", verdict="accepted") == 1
            assert after.since(before, "mechanism_seconds_count") == 2

    def test_that_outlasts_the_deadline_is_counted_as_that(self) -> None:
        with caching(settings={"login_timeout": "300ms"}) as daemon:
            with stopped(daemon):
                assert daemon.ask() == "-"
            after = until(daemon, lambda now: now("workers_lost_total") >= 1, "it is killed")
            assert after("workers_lost_total", cause="deadline") == after("workers_lost_total")
            assert after("mechanism_seconds_bucket", le="0.25") < after("mechanism_seconds_count")

    def test_that_did_its_share_is_retired_and_not_lost(self) -> None:
        with caching(settings={"worker_share": "2"}) as daemon:
            for number in range(20):
                daemon.ask(b"nobody-%d" % number, b"x")
            after = until(daemon, lambda now: now("workers_retired_total") >= 9, "ten have retired")
            assert after("workers_lost_total") == after("worker_restarts_total") == 0


class TestAfterTheFrontWasKilled:
    def test_its_counters_begin_anew_and_the_master_tells_of_it(self) -> None:
        with caching() as daemon:
            for _ in range(5):
                daemon.ask()
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGKILL)
            before = until(daemon, lambda now: now("worker_restarts_total") == 2, "the workers are counted")
            assert before("front_restarts_total") == 0
            daemon.kill_front()
            assert daemon.ask() == "OK"
            after = until(daemon, lambda now: now("front_restarts_total") == 1, "the front is counted")
            assert after("logins_total", verdict="accepted") == 1
            assert after("cache_hits_total") == after("workers_lost_total") == 0
            assert after("start_time_seconds") > before("start_time_seconds")
            assert after("daemon_start_time_seconds") == before("daemon_start_time_seconds")
            assert after("worker_restarts_total") == 2

    def test_a_reload_is_no_loss(self) -> None:
        with caching() as daemon:
            before = metrics(daemon)
            os.kill(daemon.pid, signal.SIGHUP)
            wait_until(lambda: ":reloaded\n" in daemon.log, "it is reloaded")
            after = until(
                daemon,
                lambda now: now("start_time_seconds") > before("start_time_seconds"),
                "another front tells",
            )
            assert after("front_restarts_total") == after("worker_restarts_total") == 0


class TestTheCommand:
    def test_prints_a_table_in_which_nothing_moves_the_cursor(self) -> None:
        with caching() as daemon:
            daemon.ask()
            daemon.ask(service=b"\x1b[2J\xff")
            told = ctl(daemon.run_path, "stats")
            assert (told.status, told.error) == (EXIT_DONE, "")
            lines = told.out.splitlines()
            assert {line.split()[0] for line in lines} == {metric.name for metric in METRICS}
            assert all(line.isprintable() for line in lines)
            (row,) = (line for line in lines if "service=imap verdict=accepted way=mechanism" in line)
            assert row.split()[-1] == "1"
            (took,) = (line for line in lines if line.startswith("mechanism_seconds "))
            assert ": mean " in took
            assert len({line.rindex("  ") for line in lines if line.startswith("workers ")}) == 1

    def test_prints_json(self) -> None:
        with caching() as daemon:
            daemon.ask()
            families = json.loads(ctl(daemon.run_path, "stats", "--json").out)
            assert [each["name"] for each in families] == [metric.exposed for metric in METRICS]
            (logins,) = (each for each in families if each["name"] == "pysaslauthd_logins_total")
            labels = {"mechanism": "shadow", "service": "imap", "verdict": "accepted", "way": "mechanism"}
            assert {"labels": labels, "value": 1} in logins["samples"]

    def test_is_not_for_everybody(self) -> None:
        need_root()
        with caching() as daemon:
            daemon.directory.chmod(0o755)
            for words in (("stats",), ("top", "-c", "1")):
                stranger = Visitor(54_321, 54_322)
                told = stranger.do(lambda words=words: "|".join(map(str, here(daemon.run_path, *words))))  # type: ignore[misc]
                assert told.startswith(f"{EXIT_FAILED}||pysaslauthctl: ")
                assert "permission denied" in told

    @pytest.mark.parametrize(
        "words",
        [
            ("stats", "--json", "--prometheus"),
            ("top", "-i", "0"),
            ("top", "-i", "x"),
            ("top", "-i", "nan"),
            ("top", "-c", "0"),
            ("top", "-c", "-1"),
        ],
    )
    def test_says_how_it_is_used(self, words: tuple[str, ...], tmp_path: Path) -> None:
        told = ctl(tmp_path, *words)
        assert told.status == EXIT_USAGE
        assert f"usage: pysaslauthctl {words[0]}" in told.error

"""Processes that die, and what their clients notice of it."""

import os
import signal

import pytest

from support import mux
from support.daemon import FRONT, LOGIN, PASSWORD, PATIENT, WORKER, WRONG, Daemon
from support.exchanges import unread
from support.load import GONE, Load
from support.mux import read_to_end, request
from support.processes import Process
from support.waiting import wait_until

CLIENTS = 8


def test_killed_workers_lose_at_most_what_they_held() -> None:
    with Daemon("-n", "3", settings=PATIENT) as daemon, Load(daemon.mux, CLIENTS) as load:
        kills = 12
        for _ in range(kills):
            before = load.answered
            kill(wait_until(lambda: daemon.children(WORKER), "a worker is there")[0])
            wait_until(lambda n=before: load.answered > n + 20, "logins go on")  # type: ignore[misc]
        wait_until(lambda: len(daemon.children(WORKER)) == 3, "all are replaced")
    assert load.wrong_verdicts == 0
    assert load.unanswered <= kills
    assert load.heard[PASSWORD, GONE] == load.heard[WRONG, GONE] == 0


def test_a_killed_front_loses_at_most_what_it_held() -> None:
    with Daemon("-n", "3", settings=PATIENT) as daemon, Load(daemon.mux, CLIENTS) as load:
        kills = 4
        for _ in range(kills):
            kill(daemon.front())
            before = load.answered
            wait_until(lambda n=before: load.answered > n + 20, "logins go on")  # type: ignore[misc]
        wait_until(lambda: len(daemon.children(WORKER)) == 3, "the workers of the old front are gone")
    assert load.wrong_verdicts == 0
    assert load.unanswered <= kills * CLIENTS
    # The master holds the socket all the time, so nobody is ever turned away.
    assert load.heard[PASSWORD, GONE] == load.heard[WRONG, GONE] == 0


def test_no_answer_meant_for_the_old_front_reaches_a_client_of_the_new_one() -> None:
    with Daemon("-n", "2") as daemon:
        old = daemon.children(WORKER)
        for worker in old:
            worker.send(signal.SIGSTOP)
        waiting = [mux.connect(daemon.mux) for _ in old]
        for client in waiting:
            # Accepted, if the workers could say so.
            client.sendall(request(LOGIN, PASSWORD))
            wait_until(lambda client=client: unread(client) == 0, "the front has it")  # type: ignore[misc]
        wait_until(lambda: front_has_clients(daemon, len(waiting)), "the front handed them over")
        front = daemon.front()
        front.send(signal.SIGKILL)
        assert [read_to_end(client) for client in waiting] == [b"", b""]
        for client in waiting:
            client.close()
        assert [daemon.ask(password=WRONG) for _ in range(20)] == ["NO"] * 20
        assert not [worker for worker in old if worker.is_alive]
        assert daemon.ask() == "OK"


def kill(process: Process) -> None:
    """Kill it, and wait until it is dead: before that it may still take a login."""
    process.send(signal.SIGKILL)
    wait_until(lambda: not process.is_alive, "it is dead")


def front_has_clients(daemon: Daemon, count: int) -> bool:
    """Without asking the workers, which are stopped: the master's and the front's lines are enough."""
    offset = len(daemon.log)
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(lambda: "[process=front]" in daemon.log[offset:], "the front reports")
    return f"[clients={count}]" in daemon.log[offset:]


def test_a_killed_master_takes_all_with_it_and_the_next_start_works() -> None:
    with Daemon("-n", "3") as daemon:
        children = daemon.children()
        assert daemon.process is not None
        daemon.process.kill()
        daemon.process.wait()
        wait_until(lambda: not [child for child in children if child.is_alive], "no process is left")
        assert daemon.mux.exists()
        daemon.start()
        assert daemon.ask() == "OK"


def test_a_killed_master_takes_even_those_with_it_that_cannot_notice() -> None:
    with Daemon("-n", "3") as daemon:
        children = daemon.children()
        for child in children:
            child.send(signal.SIGSTOP)
        assert daemon.process is not None
        daemon.process.kill()
        daemon.process.wait()
        daemon.process = None
        try:
            wait_until(lambda: not [c for c in children if c.is_alive], "no process is left")
        finally:
            for child in children:
                child.send(signal.SIGKILL)


def test_workers_that_keep_dying_are_started_with_pauses_and_work_again_when_they_live() -> None:
    with Daemon("-n", "1") as daemon:
        for _ in range(5):
            kill(wait_until(lambda: daemon.children(WORKER), "a worker is there")[0])
        wait_until(lambda: daemon.log.count("was killed by SIGKILL") == 5, "all are logged")
        assert daemon.ask() == "OK"


def test_a_worker_that_dies_idle_is_no_login_lost() -> None:
    with Daemon("-n", "2") as daemon:
        for worker in daemon.children(WORKER):
            kill(worker)
            assert daemon.ask() == "OK"


@pytest.mark.parametrize("name", [WORKER, FRONT])
def test_children_leave_stopping_to_the_master(name: str) -> None:
    with Daemon("-n", "2") as daemon:
        before = daemon.children(name)
        for child in before:
            child.send(signal.SIGINT)
            child.send(signal.SIGHUP)
        assert daemon.ask() == "OK"
        assert daemon.children(name) == before


class TestRetirement:
    @pytest.mark.timeout(600)
    def test_loses_nothing(self) -> None:
        """10,000 logins at a share of 10: a thousand workers come and go."""
        with Daemon("-n", "4", settings={"worker_share": "10", **PATIENT}) as daemon:
            with Load(daemon.mux, CLIENTS) as load:
                wait_until(lambda: load.answered >= 10_000, "10,000 logins are answered", limit=400)
            assert load.unanswered == load.wrong_verdicts == load.heard[PASSWORD, GONE] == 0
            wait_until(lambda: len(daemon.children(WORKER)) == 4, "those that retired have left")
            front, *workers = daemon.statistics()[1:]
            assert front["unavailable"] == front["workers_lost"] == "0"
            assert max(int(worker["worker"]) for worker in workers) > 1000
            assert all(int(worker["served"]) < 10 for worker in workers)

    def test_after_each_login_is_what_n_0_means(self) -> None:
        with Daemon("-n", "0", settings=PATIENT) as daemon:
            with Load(daemon.mux, 2) as load:
                wait_until(lambda: load.answered >= 200, "200 logins are answered", limit=60)
            assert load.unanswered == load.wrong_verdicts == 0
            wait_until(lambda: len(daemon.children(WORKER)) == 5, "five fresh ones wait")
            assert all(worker["served"] == "0" for worker in daemon.statistics()[2:])

    def test_leaves_no_descriptor_behind(self) -> None:
        with Daemon("-n", "2", settings={"worker_share": "5"}) as daemon:
            before = descriptors(daemon)
            for _ in range(200):
                assert daemon.ask() == "OK"
            # One that was about to retire stays for ten seconds, as it may yet get to its end.
            wait_until(lambda: descriptors(daemon) == before, "as many are open as before")


def descriptors(daemon: Daemon) -> list[str]:
    """How many each process has open: the master, the front, the workers."""
    return [table["descriptors"] for table in daemon.statistics()]

"""The credential cache in the whole daemon: who is asked, and who is not asked again."""

import os
import re
import signal
import threading

from support import mux
from support.daemon import LOGIN, PASSWORD, WORKER, WRONG, Daemon, asked
from support.ldap_clients import right, wrong
from support.ldap_daemon import ours
from support.ldap_directory import PEOPLE, U0, U1
from support.shadow import entry, hashed
from support.slapd import Slapd
from support.waiting import wait_until

NEW = b"another-Pass_3"


def front(daemon: Daemon, name: str) -> int:
    (report,) = (report for report in daemon.statistics() if report["process"] == "front")
    return int(report[name])


def test_a_password_that_was_right_is_not_asked_about_again() -> None:
    with Daemon("-c") as daemon:
        assert daemon.ask() == "OK"
        assert asked(daemon, lambda: [daemon.ask() for _ in range(5)]) == 0
        assert daemon.ask() == "OK"
        assert front(daemon, "cache_hits") == 6


def test_without_the_option_it_is() -> None:
    with Daemon() as daemon:
        assert asked(daemon, lambda: [daemon.ask() for _ in range(5)]) == 5


def test_a_wrong_one_always_is() -> None:
    with Daemon("-c") as daemon:
        assert daemon.ask() == "OK"
        assert asked(daemon, lambda: [daemon.ask(password=WRONG) for _ in range(3)]) == 3
        assert daemon.ask(password=WRONG) == "NO"
        assert daemon.ask() == "OK"


def test_another_service_or_realm_is_another_question() -> None:
    with Daemon("-c") as daemon:
        daemon.ask()
        assert asked(daemon, lambda: (daemon.ask(service=b"smtp"), daemon.ask(realm=b"x"))) == 2
        assert asked(daemon, lambda: (daemon.ask(service=b"smtp"), daemon.ask(realm=b"x"))) == 0


def test_more_than_57_bytes_are_cached_too() -> None:
    with Daemon("-c") as daemon:
        daemon.ask(realm=b"r" * 200)
        assert asked(daemon, lambda: daemon.ask(realm=b"r" * 200)) == 0


def test_after_its_time_it_is_asked_about_again() -> None:
    with Daemon("-c", "-t", "1") as daemon:
        daemon.ask()
        wait_until(lambda: asked(daemon, daemon.ask) == 1, "the entry has ended")


def test_a_service_that_is_not_to_be_cached_is_not() -> None:
    with Daemon("-c", settings={"uncached_services": "vpn, otp"}) as daemon:
        assert asked(daemon, lambda: [daemon.ask(service=b"otp") for _ in range(3)]) == 3


def test_a_password_that_was_changed_in_the_file_is_noticed() -> None:
    with Daemon("-c") as daemon:
        assert daemon.ask() == "OK"
        changed = daemon.shadow_file.with_suffix(".new")
        changed.write_text(entry(LOGIN.decode(), hashed(NEW)))
        changed.replace(daemon.shadow_file)
        wait_until(lambda: daemon.ask() == "NO", "the old one is refused")
        assert daemon.ask(password=NEW) == "OK"
        wait_until(
            lambda: f"{daemon.shadow_file} has changed; the cache is emptied" in daemon.log, "it is told"
        )


def test_a_reload_forgets_all() -> None:
    with Daemon("-c") as daemon:
        daemon.ask()
        before = daemon.front()
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: ":reloaded" in daemon.log and not before.is_alive, "reloaded")
        daemon.ask()
        assert front(daemon, "cache_hits") == 0


def test_the_same_wrong_password_is_refused_unasked_if_that_is_wanted() -> None:
    with Daemon("-c", settings={"cache_rejected": "100s"}) as daemon:
        assert daemon.ask(password=WRONG) == "NO"
        assert asked(daemon, lambda: daemon.ask(password=WRONG)) == 0
        assert daemon.ask(password=WRONG) == "NO"
        assert asked(daemon, lambda: daemon.ask(password=WRONG + b"2")) == 1
        assert daemon.ask() == "OK"
        failures = daemon.log.count(f"auth failure: [user={LOGIN.decode()}]")
        assert failures == 4


def test_an_entry_past_its_end_counts_while_the_backend_is_gone_if_that_is_wanted() -> None:
    with Slapd() as slapd:
        text = f"ldap_servers: {slapd.ldap}\nldap_search_base: {PEOPLE}\n"
        with (
            ours(text, "-c", "-t", "1", "-o", "cache_stale=100s") as stale,
            ours(text, "-c", "-t", "1") as plain,
        ):
            for daemon in (stale, plain):
                assert right(daemon, U0) == "OK"
            slapd.stop()
            wait_until(lambda: right(plain, U0) == "-", "the entries have ended")
            assert right(stale, U0) == "OK"
            assert wrong(stale, U0) == "-"
            assert right(stale, U1) == "-"
            assert "accepted from the cache: the backend cannot be asked" in stale.log


def test_equal_requests_at_once_are_one_question() -> None:
    clients = 30
    with Daemon("-c") as daemon:
        heard: list[str] = []

        def all_at_once() -> None:
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGSTOP)
            threads = [threading.Thread(target=lambda: heard.append(daemon.ask())) for _ in range(clients)]
            for thread in threads:
                thread.start()
            wait_until(lambda: joined(daemon) == clients - 1, "all have asked")
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGCONT)
            for thread in threads:
                thread.join()

        assert asked(daemon, all_at_once) == 1
        assert heard == ["OK"] * clients


def test_requests_that_differ_in_any_field_are_questions_of_their_own() -> None:
    addresses = [b"192.0.2.%d;1" % number for number in range(3)]
    with Daemon("-c") as daemon:

        def ask_all() -> None:
            before = front(daemon, "cache_misses")
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGSTOP)
            connections = [mux.connect(daemon.mux) for _ in addresses]
            for connection, address in zip(connections, addresses, strict=True):
                connection.sendall(mux.request(LOGIN, PASSWORD, b"imap", b"", address))
            wait_until(lambda: counted(daemon, "cache_misses") >= before + len(addresses), "all have asked")
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGCONT)
            for connection in connections:
                assert mux.read_to_end(connection) == b"\0\2OK"
                connection.close()

        assert asked(daemon, ask_all) == len(addresses)


def joined(daemon: Daemon) -> int:
    return counted(daemon, "joined")


def counted(daemon: Daemon, name: str) -> int:
    """What the front counts, also while the workers say nothing; 0 before it has said anything."""
    os.kill(daemon.pid, signal.SIGUSR1)
    found: list[str] = re.findall(rf"\[process=front\].*\[{name}=(\d+)\]", daemon.log)
    return int(found[-1]) if found else 0

"""HUP: the files are read anew, and nobody who logs in meanwhile notices."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.certificates import Certificates
from support.crowd import Crowd, Heard
from support.daemon import FRONT, LOGIN, PASSWORD, PATIENT, Daemon
from support.ldap_clients import PATIENCE, Login, Logins, configuration, right, statistics, uri_of, wait_log
from support.ldap_daemon import WORKER, LdapDaemon, ours
from support.ldap_directory import OTHERS, PEOPLE, U0, Entry, person
from support.load import GONE, Load
from support.slapd import Options, Slapd
from support.tcp_proxy import TcpProxy
from support.waiting import wait_until

ALICE = person(LOGIN.decode(), PASSWORD)
ELSEWHERE = person("elsewhere", b"elsewhere's", below=OTHERS)
SLOW = person("slow", b"slow's")
CLIENTS = 4
RELOADED = ":reloaded\n"
AT_A_TIME, RELOADS = 700, 10
MET = 500
"""Logins that each reload meets, at the least."""
NOT_RELOADED = "not reloaded: what was in force stays so"


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    """Somebody in another place, and somebody whose bind takes a minute."""
    classes = [*SLOW.entry.attributes["objectClass"], "errAuxObject"]
    hangs: dict[str, Sequence[str | bytes]] = {
        "objectClass": classes,
        "errCode": ["51"],
        "errOp": ["bind"],
        "errSleepTime": ["60"],
    }
    slow = Entry(SLOW.dn, {**SLOW.entry.attributes, **hangs})
    options = Options(
        modules=("retcode",),
        settings=("threads 16",),
        database=("overlay retcode", "retcode-parent cn=none", "retcode-indir"),
        entries=(ALICE.entry, ELSEWHERE.entry, slow),
    )
    with Slapd(options) as running:
        yield running


def in_force(daemon: LdapDaemon) -> tuple[set[str], set[str]]:
    """What users below people, and those elsewhere, hear: so many at a time that each worker has some."""
    with Logins(daemon, [U0] * 20) as people, Logins(daemon, [ELSEWHERE] * 20) as others:
        return people.verdicts(), others.verdicts()


FIRST, SECOND, NEITHER = ({"OK"}, {"NO"}), ({"NO"}, {"OK"}), ({"-"}, {"-"})


def second_configuration(directory: Slapd) -> str:
    return configuration(directory.ldap, timeout=PATIENCE).replace(PEOPLE, OTHERS)


def reload(daemon: LdapDaemon) -> None:
    """HUP, and until it has had its effect."""
    count = daemon.log.count(RELOADED)
    daemon.reload()
    wait_log(daemon, RELOADED, count=count + 1)
    wait_heard(daemon)


def wait_heard(daemon: LdapDaemon) -> None:
    """Until all fronts have done what the master told them: the old one takes logins up to that."""
    start, fronts = len(daemon.log), daemon.children(FRONT)
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_until(
        lambda: all(f"[{f.pid}] :statistics: " in daemon.log[start:] or not f.is_alive for f in fronts),
        "all fronts report",
    )


def wait_one_generation(daemon: LdapDaemon) -> None:
    """A front and two workers."""
    wait_until(lambda: len(daemon.children()) == 3, "the generations before have ended")


BROKEN = {
    "missing": (None, "Could not open saslauthd config file: {file} (No such file or directory)"),
    "a value": ("ldap_servers: ldap://x/\nldap_timeout: abc\n", "{file}:2: ldap_timeout: "),
    "a filter": ("\n\nldap_filter: (uid=%u\n", "{file}:3: ldap_filter: "),
    "a file that it names": (
        "ldap_start_tls: yes\nldap_tls_cacert_file: /nonexistent/ca\n",
        "{file}:2: ldap_tls_cacert_file: /nonexistent/ca: No such file or directory",
    ),
    "no text": (b"\0\xff\0", "{file}:1: "),
}


class TestAFileThatWillNotDo:
    @pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
    def test_at_the_start_stops_logins_until_it_is_mended(
        self, directory: Slapd, text: str | bytes | None, reason: str
    ) -> None:
        with ours(text) as daemon:
            assert in_force(daemon) == NEITHER
            assert reason.format(file=daemon.file) in daemon.log
            assert "no login is possible until that is mended" in daemon.log
            daemon.configure(configuration(directory.ldap, timeout=PATIENCE))
            assert right(daemon) == "-"
            reload(daemon)
            assert in_force(daemon) == FIRST

    def test_at_a_hangup_leaves_what_was_in_force(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            assert in_force(daemon) == FIRST
            front, workers = daemon.front().pid, daemon.workers()
            for text, reason in BROKEN.values():
                start = len(daemon.log)
                if text is None:
                    daemon.file.unlink()
                else:
                    daemon.configure(text)
                daemon.reload()
                assert reason.format(file=daemon.file) in wait_log(daemon, NOT_RELOADED, start)
                assert in_force(daemon) == FIRST
            assert RELOADED not in daemon.log
            assert (daemon.front().pid, daemon.workers()) == (front, workers)
            replace_processes(daemon)
            assert in_force(daemon) == FIRST
            daemon.configure(second_configuration(directory))
            reload(daemon)
            assert in_force(daemon) == SECOND


def replace_processes(daemon: LdapDaemon) -> None:
    """Kill the workers, then the front, and wait for others."""
    before = daemon.children(WORKER)
    for worker in before:
        worker.send(signal.SIGKILL)
    wait_until(lambda: len({*daemon.children(WORKER)}.difference(before)) == 2, "new workers are there")
    front = daemon.front()
    front.send(signal.SIGKILL)
    wait_until(lambda: not front.is_alive, "the front is dead")
    wait_until(lambda: len(daemon.children(FRONT)) == 1, "a new front is there")


class TestANewFile:
    def test_counts_for_all_after_a_hangup(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            assert in_force(daemon) == FIRST
            daemon.configure(second_configuration(directory))
            reload(daemon)
            assert in_force(daemon) == SECOND
            wait_one_generation(daemon)
            replace_processes(daemon)
            assert in_force(daemon) == SECOND
            daemon.configure(configuration(directory.ldap, timeout=PATIENCE))
            reload(daemon)
            assert in_force(daemon) == FIRST

    def test_does_not_count_before(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            daemon.configure(second_configuration(directory))
            assert in_force(daemon) == FIRST
            replace_processes(daemon)
            assert in_force(daemon) == FIRST
            daemon.file.write_text("ldap_timeout: abc\n")
            replace_processes(daemon)
            assert in_force(daemon) == FIRST

    def test_that_it_names_is_read_anew_too(self, certificates: Certificates, tmp_path: Path) -> None:
        authority = tmp_path / "ca.pem"
        authority.write_bytes(certificates.ca.read_bytes())
        more = f"ldap_tls_cacert_file: {authority}\n"
        with (
            Slapd(Options(certificates=certificates)) as encrypted,
            ours(configuration(encrypted.ldaps, timeout=PATIENCE, more=more)) as daemon,
        ):
            assert right(daemon) == "OK"
            authority.write_bytes(certificates.other.certificate.read_bytes())
            encrypted.restart()  # so that there are new handshakes
            wait_until(lambda: right(daemon) == "OK", "the copy is in force")
            reload(daemon)
            assert right(daemon) == "-"
            assert "TLS handshake (127.0.0.1): certificate: " in daemon.log


class TestALoginDuringAReload:
    def test_is_answered_by_who_took_it(self, directory: Slapd) -> None:
        with (
            TcpProxy(directory.port) as proxy,
            ours(
                configuration(uri_of(proxy.port), timeout=60), "-n", "1", "-o", "login_timeout=5m"
            ) as daemon,
        ):
            assert right(daemon) == "OK"
            directory.pause()
            try:
                received = proxy.received
                with Login(daemon, U0) as old:
                    proxy.wait_received(received + 1)
                    daemon.configure(second_configuration(directory))
                    reload(daemon)
                    with Login(daemon, U0) as new:
                        assert len(daemon.children(FRONT)) == 2
                        assert not old.is_answered
                        directory.resume()
                        assert (old.verdict(), new.verdict()) == ("OK", "NO")
            finally:
                directory.resume()

    def test_is_noticed_by_no_client_of_ldap(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            assert right(daemon) == "OK"
            with Load(daemon.mux, CLIENTS) as load:
                for _ in range(5):
                    before = load.answered
                    reload(daemon)
                    wait_until(lambda n=before: load.answered > n + 20, "logins go on")  # type: ignore[misc]
            assert_unnoticed(load)

    def test_is_noticed_by_no_client_of_shadow(self) -> None:
        with Daemon("-n", "2") as daemon:
            with Load(daemon.mux, CLIENTS) as load:
                for number in range(5):
                    before = load.answered
                    os.kill(daemon.pid, signal.SIGHUP)
                    wait_until(lambda n=number: daemon.log.count(RELOADED) > n, "reloaded")  # type: ignore[misc]
                    wait_until(lambda n=before: load.answered > n + 20, "logins go on")  # type: ignore[misc]
            assert_unnoticed(load)
            wait_until(lambda: len(daemon.children(FRONT)) == 1, "the generations before have ended")

    def test_is_noticed_by_none_of_thousands(self, tmp_path: Path) -> None:
        """Ten reloads, one of them of a file that will not do, each with hundreds in workers, queue and backlog."""
        users = {f"user{number}": f"secret-{number}".encode() for number in range(AT_A_TIME // 2)}
        file = tmp_path / "pysaslauthd.toml"
        file.write_text("")
        with Daemon("-n", "2", "--config", str(file), settings=PATIENT, users=users) as daemon:
            with Crowd(daemon.mux, users, AT_A_TIME) as crowd:
                for number in range(RELOADS):
                    is_broken = number == RELOADS // 2
                    file.write_text(
                        "queue_length = 0\n" if is_broken else f"queue_length = {2000 + number}\n"
                    )
                    crowd.wait_answered(AT_A_TIME // 2)
                    wait_until(lambda: crowd.under_way >= MET, "many are under way")
                    said = NOT_RELOADED if is_broken else RELOADED
                    before = daemon.log.count(said)
                    os.kill(daemon.pid, signal.SIGHUP)
                    wait_until(lambda s=said, n=before: daemon.log.count(s) > n, said)  # type: ignore[misc]
                crowd.wait_answered(AT_A_TIME)
                crowd.end()
            assert set(crowd.heard) == {Heard(True, "OK"), Heard(False, "NO")}, crowd.heard
            assert "queue_length: expected a whole number from 1 to 1000000, found 0" in daemon.log


def assert_unnoticed(load: Load) -> None:
    assert load.unanswered == load.wrong_verdicts == 0
    assert not [verdict for _, verdict in load.heard if verdict == GONE]


class TestManyHangups:
    def test_at_once_are_one_reload_or_two(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            assert right(daemon) == "OK"
            daemon.configure(second_configuration(directory))
            for _ in range(100):
                daemon.reload()
            wait_log(daemon, RELOADED)
            wait_until(lambda: in_force(daemon) == SECOND, "the new file is in force")
            wait_one_generation(daemon)

    def test_while_the_generations_before_have_logins_start_no_more_than_a_few(
        self, directory: Slapd
    ) -> None:
        with ours(configuration(directory.ldap, timeout=3)) as daemon, contextlib.ExitStack() as stack:
            hanging = []
            for _ in range(6):
                hanging.append(stack.enter_context(Login(daemon, SLOW)))
                reloads = daemon.log.count(RELOADED)
                daemon.reload()
                while daemon.log.count(RELOADED) == reloads:
                    assert right(daemon) == "OK"
                    # Three that leave, the one that serves and the next.
                    assert len(daemon.children(FRONT)) <= 5
            assert {login.verdict() for login in hanging} == {"-"}
            wait_one_generation(daemon)
            assert len(daemon.workers()) == 2
            assert "killed" not in daemon.log

    def test_cost_no_descriptor(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            reload(daemon)
            wait_one_generation(daemon)
            wait_until(lambda: self._descriptors(daemon)[1] == "2", "the workers of one generation are left")
            before = self._descriptors(daemon)
            for number in range(20):
                daemon.configure(
                    configuration(
                        directory.ldap, timeout=PATIENCE, more="ldap_timeout: abc\n" * (number % 4 == 3)
                    )
                )
                daemon.reload()
                wait_until(
                    lambda n=number: daemon.log.count(RELOADED) + daemon.log.count(NOT_RELOADED) == n + 2,  # type: ignore[misc]
                    "it is reloaded or not",
                )
            wait_until(lambda: self._descriptors(daemon) == before, f"as many are open as before, {before}")
            assert right(daemon) == "OK"

    @staticmethod
    def _descriptors(daemon: LdapDaemon) -> tuple[str, str]:
        (master,) = statistics(daemon, "master")
        return master["descriptors"], master["workers"]


class TestAnEndDuringAReload:
    def test_of_the_daemon_leaves_no_process(self, directory: Slapd) -> None:
        for moment in range(4):
            with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
                assert right(daemon) == "OK"
                daemon.reload()
                if moment == 1:
                    wait_until(lambda: self._is_met(daemon, 4), "something new is there")
                elif moment == 2:
                    wait_until(lambda: self._is_met(daemon, 2, FRONT), "a new front is there")
                elif moment == 3:
                    wait_log(daemon, RELOADED)
                    daemon.reload()

    @staticmethod
    def _is_met(daemon: LdapDaemon, count: int, name: str = "") -> bool:
        """Whether so many processes of that name are there; as that is soon over, another reload is asked for each time."""
        daemon.reload()
        return len(daemon.children(name)) >= count

    def test_of_the_new_front_leaves_the_old_one_in_force(self, directory: Slapd) -> None:
        with ours(configuration(directory.ldap, timeout=PATIENCE)) as daemon:
            assert right(daemon) == "OK"
            daemon.configure(second_configuration(directory))
            wait_until(lambda: self._killed_before_it_was_ready(daemon, directory), "it was killed in time")
            assert in_force(daemon) == FIRST
            reload(daemon)
            assert in_force(daemon) == SECOND

    @staticmethod
    def _killed_before_it_was_ready(daemon: LdapDaemon, directory: Slapd) -> bool:
        """Else all is put back as it was, to try again."""
        wait_one_generation(daemon)
        old, start = daemon.front(), len(daemon.log)
        daemon.reload()
        (new,) = wait_until(lambda: [f for f in daemon.children(FRONT) if f != old], "a new front")
        new.send(signal.SIGKILL)
        log = wait_until(lambda: killed(daemon.log[start:]), "it is dead")
        if "reload failed: the front was killed by SIGKILL" in log:
            return True
        daemon.configure(configuration(directory.ldap, timeout=PATIENCE))
        wait_one_generation(daemon)
        reload(daemon)
        daemon.configure(second_configuration(directory))
        return False


def killed(log: str) -> str:
    """The log, once it says that somebody was."""
    return log if "was killed by SIGKILL" in log else ""

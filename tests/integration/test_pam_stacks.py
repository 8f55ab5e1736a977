"""The stacks that mail servers have, on the machine's own Linux-PAM."""

import contextlib
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import mux
from support.accounts import Account
from support.daemon import LONG_DELAY, WITH_LONG_DELAYS
from support.mux import request
from support.namespaces import need_namespaces
from support.packages import need_program, need_root
from support.pam_daemon import PamDaemon, ours
from support.pam_files import PERMIT, UNIX, PamFiles
from support.people import SECRET
from support.shadow import YESCRYPT, hashed
from support.waiting import wait_until

WRONG = b"wrong"
TODAY = int(time.time()) // 86_400
ACCT_ERROR, AUTH_ERROR = "PAM acct error", "PAM auth error"
REASON = re.compile(r"auth (?:failure|unavailable): .*\[reason=(.*)\]")


@pytest.fixture(scope="module", autouse=True)
def _root() -> None:
    need_root()
    need_namespaces()


@pytest.fixture(scope="module")
def files() -> Iterator[PamFiles]:
    stored = hashed(SECRET, YESCRYPT, 1).encode()
    alice = Account(b"alice", SECRET, stored)
    accounts = [
        alice,
        alice._replace(login=b"bob"),
        alice._replace(login=b"alice@ex.org"),
        alice._replace(login=b"locked", stored=b"!" + stored),
        alice._replace(login=b"expired", expire=str(TODAY - 1)),
        alice._replace(login=b"aged", change=str(TODAY - 100), maximum="10"),
        alice._replace(login=b"must-change", change="0", maximum="99999"),
    ]
    with PamFiles(accounts) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(files: PamFiles) -> Iterator[PamDaemon]:
    with ours(files, "-n", "2") as running:
        yield running


def refusal(daemon: PamDaemon, login: bytes, password: bytes, service: bytes = b"unix") -> str:
    """The reason that the log gives for a login that is refused."""
    offset = len(daemon.log)
    assert daemon.ask(login, password, service) == "NO"
    return logged_reason(daemon, offset)


def logged_reason(daemon: PamDaemon, offset: int) -> str:
    wait_until(lambda: REASON.search(daemon.log, offset), "the reason is in the log")
    (reason, *_) = REASON.findall(daemon.log, offset)
    return str(reason)


class TestUnix:
    def test_the_right_password(self, daemon: PamDaemon) -> None:
        assert daemon.ask(b"alice", SECRET, b"unix") == "OK"

    @pytest.mark.parametrize(
        ("login", "password", "reason"),
        [
            (b"alice", WRONG, AUTH_ERROR),
            (b"nobody-here", SECRET, AUTH_ERROR),
            (b"locked", SECRET, AUTH_ERROR),
            (b"expired", SECRET, ACCT_ERROR),
            (b"aged", SECRET, ACCT_ERROR),
            (b"must-change", SECRET, ACCT_ERROR),
            (b"expired", WRONG, AUTH_ERROR),
        ],
    )
    def test_who_is_refused_and_in_which_phase(
        self, daemon: PamDaemon, login: bytes, password: bytes, reason: str
    ) -> None:
        assert refusal(daemon, login, password) == reason

    def test_with_the_realm_appended_the_user_is_another_one(self, files: PamFiles) -> None:
        with ours(files, "-r", "-n", "1") as daemon:
            assert daemon.ask(b"bob", SECRET, b"unix") == "OK"
            assert daemon.ask(b"bob", SECRET, b"unix", b"ex.org") == "NO"
            assert daemon.ask(b"alice", SECRET, b"unix", b"ex.org") == "OK"


def test_times_at_which_a_user_may_log_in(files: PamFiles, daemon: PamDaemon) -> None:
    times = files.file("time.conf", "times;*;alice;!Al0000-2400\ntimes;*;bob;Al0000-2400\n")
    files.service("times", UNIX + f"account required pam_time.so conffile={times}\n")
    assert refusal(daemon, b"alice", SECRET, b"times") == ACCT_ERROR
    assert daemon.ask(b"bob", SECRET, b"times") == "OK"


class TestClientAddress:
    @pytest.fixture(autouse=True)
    def _stack(self, files: PamFiles) -> None:
        access = files.file("access.conf", "-:ALL:192.0.2.0/24\n-:ALL:2001:db8::/32\n+:ALL:ALL\n")
        files.service("access", UNIX + f"account required pam_access.so accessfile={access} nodefgroup\n")

    @pytest.mark.parametrize(
        "address", [b"192.0.2.7;99", b"192.0.2.7", b"192.0.2.255;65535", b"2001:db8::1;99"]
    )
    def test_that_is_shut_out(self, daemon: PamDaemon, address: bytes) -> None:
        offset = len(daemon.log)
        assert daemon.ask(b"alice", SECRET, b"access", b"", address) == "NO"
        assert logged_reason(daemon, offset) == ACCT_ERROR

    @pytest.mark.parametrize("address", [None, b"", b"198.51.100.7;99", b"2001:db9::1;99", b";192.0.2.7"])
    def test_that_is_not(self, daemon: PamDaemon, address: bytes | None) -> None:
        assert daemon.ask(b"alice", SECRET, b"access", b"", address) == "OK"


class TestFaillock:
    STACK = (
        "auth required pam_faillock.so preauth silent deny=3 unlock_time=600 {common}\n"
        "auth sufficient pam_unix.so nodelay\n"
        "auth [default=die] pam_faillock.so authfail deny=3 unlock_time=600 {common}\n"
        "account required pam_faillock.so {common}\n"
        "account required pam_unix.so\n"
    )

    @pytest.fixture
    def tally(self, files: PamFiles) -> Path:
        directory = files.directory / "tally"
        directory.mkdir(mode=0o700, exist_ok=True)
        for entry in directory.iterdir():
            entry.unlink()
        settings = files.file("faillock.conf")
        files.service("faillock", self.STACK.format(common=f"conf={settings} dir={directory}"))
        return directory

    def failures(self, tally: Path, login: str) -> int:
        """As its own program counts them, a line that ends in V for each that is valid."""
        program = need_program("faillock", "libpam-modules-bin")
        done = subprocess.run(
            [program, "--dir", tally, "--user", login],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return sum(line.endswith("V") for line in done.stdout.splitlines())

    def test_counts_each_wrong_login_once_and_locks(self, daemon: PamDaemon, tally: Path) -> None:
        """The module asks for a delay of two seconds, so the answers are read together."""
        with contextlib.ExitStack() as stack:
            clients = []
            for count, password in ((1, WRONG), (2, WRONG), (3, WRONG), (3, SECRET)):
                offset = len(daemon.log)
                clients.append(stack.enter_context(mux.connect(daemon.mux)))
                clients[-1].sendall(request(b"alice", password, b"faillock"))
                assert logged_reason(daemon, offset) == AUTH_ERROR
                assert self.failures(tally, "alice") == count
            assert daemon.ask(b"bob", SECRET, b"faillock") == "OK"
            assert [mux.read_to_end(client)[2:] for client in clients] == [b"NO"] * 4
        assert self.failures(tally, "alice") == 3

    def test_begins_anew_after_a_right_one(self, daemon: PamDaemon, tally: Path) -> None:
        assert daemon.ask(b"bob", WRONG, b"faillock") == "NO"
        assert self.failures(tally, "bob") == 1
        assert daemon.ask(b"bob", SECRET, b"faillock") == "OK"
        assert self.failures(tally, "bob") == 0


class TestDelay:
    def test_holds_up_neither_a_success_nor_the_only_worker(self, files: PamFiles) -> None:
        """A refused client still waits when fifty others behind him have had their answers."""
        files.service("slow", f"auth optional pam_faildelay.so delay={LONG_DELAY * 1_000_000}\n" + UNIX)
        with (
            ours(files, "-n", "1", "-o", "most_workers=1", command=WITH_LONG_DELAYS) as daemon,
            mux.connect(daemon.mux) as refused,
        ):
            refused.sendall(request(b"alice", WRONG, b"slow"))
            wait_until(lambda: AUTH_ERROR in daemon.log, "it is refused, inside")
            assert [daemon.ask(b"bob", SECRET, b"slow") for _ in range(50)] == ["OK"] * 50
            assert select.select([refused], [], [], 0)[0] == []
            daemon.kill()  # it would wait for that one

    def test_ends_with_the_refusal(self, files: PamFiles, daemon: PamDaemon) -> None:
        files.service("brisk", "auth optional pam_faildelay.so delay=200000\n" + UNIX)
        assert daemon.ask(b"alice", WRONG, b"brisk") == "NO"

    def test_asked_for_by_unix_itself_is_not_slept_by_a_worker(self, files: PamFiles) -> None:
        """Its two seconds: twenty refused clients wait together, where sleeping would be one by one."""
        files.service("own-delay", UNIX.replace(" nodelay", ""))
        with ours(files, "-n", "1", "-o", "most_workers=1", "-o", "queue_timeout=5m") as daemon:
            clients = [mux.connect(daemon.mux) for _ in range(20)]
            try:
                for client in clients:
                    client.sendall(request(b"alice", WRONG, b"own-delay"))
                wait_until(lambda: daemon.log.count(AUTH_ERROR) == 20, "all are refused, inside")
                assert daemon.ask(b"bob", SECRET, b"own-delay") == "OK"
                assert [mux.read_to_end(client)[2:] for client in clients] == [b"NO"] * 20
            finally:
                for client in clients:
                    client.close()


class TestStacksThatAreNotWhatTheyShould:
    def test_deny(self, daemon: PamDaemon) -> None:
        assert refusal(daemon, b"alice", SECRET, b"deny") == AUTH_ERROR

    def test_permit(self, daemon: PamDaemon) -> None:
        assert daemon.ask(b"nobody-here", WRONG, b"permit") == "OK"

    @pytest.mark.parametrize("phase", ["auth", "account"])
    def test_a_missing_module_says_nothing_of_the_password(
        self, files: PamFiles, daemon: PamDaemon, phase: str
    ) -> None:
        files.service("missing", PERMIT.replace(f"{phase} required pam_permit", f"{phase} required pam_gone"))
        offset = len(daemon.log)
        assert daemon.ask(b"alice", SECRET, b"missing") == "-"
        assert logged_reason(daemon, offset) == (AUTH_ERROR if phase == "auth" else ACCT_ERROR)
        assert "auth unavailable" in daemon.log[offset:]

    def test_a_line_that_is_none(self, files: PamFiles, daemon: PamDaemon) -> None:
        files.service("garbled", "this is no stack\n")
        assert daemon.ask(b"alice", SECRET, b"garbled") != "OK"

    def test_an_account_phase_that_denies(self, files: PamFiles, daemon: PamDaemon) -> None:
        files.service("half", "auth required pam_permit.so\naccount required pam_deny.so\n")
        assert refusal(daemon, b"alice", SECRET, b"half") == ACCT_ERROR

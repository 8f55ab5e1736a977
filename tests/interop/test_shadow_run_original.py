"""The original on another path, and ours that compares with it, on accounts of which some differ on purpose."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support import mux
from support.accounts import Account, write_databases
from support.compared import counts, different, wait_counts
from support.namespaces import need_namespaces
from support.packages import need_root
from support.people import people
from support.shadow import hashed
from support.system_daemon import SystemDaemon, original, ours
from support.waiting import wait_until

HERE, THERE, NOWHERE = b"secret-Here", b"secret-There", b"secret-Nowhere"
ALIKE = 20
"""Users whom both have in the same state."""


def account(login: bytes, password: bytes, expire: str = "", stored: bytes = b"") -> Account:
    return Account(login, password, stored or hashed(password).encode(), expire=expire)


OURS = [
    account(b"changed", HERE),
    account(b"missing", HERE),
    account(b"locked-there", HERE),
    account(b"expired", HERE, expire="1"),
    account(b"late", HERE, expire="1"),
]
THEIRS = [
    account(b"changed", THERE),
    account(b"locked-there", HERE, stored=b"!" + hashed(HERE).encode()),
    account(b"expired", HERE),
    account(b"late", HERE, expire="1"),
    account(b"new", THERE),
]

# The original takes no password of more than 256 bytes.
ACCEPTED_HERE = [
    "[user=changed] [service=imap] [realm=ex.org] [ours=OK] [theirs=NO] [reason=Incorrect password]",
    "[user=locked-there] [service=imap] [realm=ex.org] [ours=OK] [theirs=NO] [reason=Incorrect password]",
    "[user=long-password] [service=imap] [realm=ex.org] [ours=OK] [theirs=NO] [reason=Unknown]",
    "[user=missing] [service=imap] [realm=ex.org] [ours=OK] [theirs=NO] [reason=Invalid username]",
]
REFUSED_HERE = [
    "[user=changed] [service=imap] [realm=ex.org] [ours=NO] [theirs=OK] [reason=Incorrect password]",
    "[user=expired] [service=imap] [realm=ex.org] [ours=NO] [theirs=OK] [reason=Account expired]",
    "[user=new] [service=imap] [realm=ex.org] [ours=NO] [theirs=OK] [reason=Invalid username]",
]


class Sides:
    """The files of either side."""

    def __init__(self, directory: Path) -> None:
        alike = [
            each for each in people(today=20_000) if len(each.login) < 30 and each.login != b"257-password"
        ]
        alike = alike[:ALIKE]
        self.logins = sorted({each.login for each in (*alike, *OURS, *THEIRS)})
        self.right = {each.login: each.password for each in alike}
        self.ours = self._files(directory / "ours", [*alike, *OURS])
        self.theirs = self._files(directory / "theirs", [*alike, *THEIRS])

    def _files(self, directory: Path, accounts: list[Account]) -> Mapping[Path, Path]:
        directory.mkdir()
        return write_databases(directory, accounts)


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    need_root()  # in a namespace of his own, a plain user finds no directory that he can trust
    need_namespaces()
    directory = Path(tempfile.mkdtemp(prefix="psd-"))
    yield Sides(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def reference(sides: Sides) -> Iterator[SystemDaemon]:
    with original(sides.theirs) as running:
        running.let_in()
        yield running


def comparing(sides: Sides, reference: SystemDaemon, *settings: str) -> SystemDaemon:
    given = (f"compare={reference.mux}", "queue_timeout=5m", "login_timeout=5m", *settings)
    return ours(sides.ours, *(word for setting in given for word in ("-o", setting)))


def ask_all(
    sides: Sides, daemon: SystemDaemon, after_each: Callable[[int], object] = lambda _: None
) -> list[str]:
    """What each user with each password is told. ``after_each`` user is called with how many logins there were."""
    heard: list[str] = []
    for login in sides.logins:
        passwords = (sides.right.get(login, HERE), THERE, NOWHERE)
        heard += [mux.ask(daemon.mux, login, password, b"imap", b"ex.org") for password in passwords]
        after_each(len(heard))
    return heard


def assert_no_password(sides: Sides, *logs: str) -> None:
    for password in {HERE, THERE, NOWHERE, *(each for each in sides.right.values() if len(each) > 8)}:
        assert not [log for log in logs if password.decode(errors="replace") in log]


def test_exactly_those_who_differ_are_told_of(sides: Sides, reference: SystemDaemon) -> None:
    with comparing(sides, reference) as daemon:
        heard = ask_all(sides, daemon)
        accepted = heard.count("OK")
        assert accepted > ALIKE / 2
        wait_counts(daemon, equal=accepted - len(ACCEPTED_HERE), different=len(ACCEPTED_HERE))
        assert sorted(different(daemon)) == ACCEPTED_HERE
        assert_no_password(sides, daemon.log, reference.log)


def test_so_are_those_who_are_refused_here_if_that_is_wanted(sides: Sides, reference: SystemDaemon) -> None:
    with comparing(sides, reference, "compare_rejected=yes", "uncached_services=otp") as daemon:
        expected = sorted(ACCEPTED_HERE + REFUSED_HERE)
        assert mux.ask(daemon.mux, b"changed", THERE, b"otp") == "NO"

        def wait_compared(number: int) -> None:
            # They are more than may wait. Whoever starts the daemon asks for somebody until he is refused.
            wait_until(lambda: sum(counts(daemon).values()) == 1 + number, "all are compared")

        heard = ask_all(sides, daemon, wait_compared)
        wait_counts(daemon, equal=1 + len(heard) - len(expected), different=len(expected))
        assert sorted(different(daemon)) == expected
        assert_no_password(sides, daemon.log, reference.log)


def test_one_that_is_stopped_is_not_felt_and_goes_on(sides: Sides, reference: SystemDaemon) -> None:
    with comparing(sides, reference) as daemon:
        reference.signal(signal.SIGSTOP)
        try:
            heard = ask_all(sides, daemon)
            assert counts(daemon) == {}
        finally:
            reference.signal(signal.SIGCONT)
        wait_counts(daemon, equal=heard.count("OK") - len(ACCEPTED_HERE), different=len(ACCEPTED_HERE))
        assert sorted(different(daemon)) == ACCEPTED_HERE


def test_one_that_dies_is_not_felt(sides: Sides) -> None:
    with original(sides.theirs) as dying:
        dying.let_in()
        with comparing(sides, dying) as daemon:
            assert mux.ask(daemon.mux, b"missing", HERE) == "OK"
            wait_counts(daemon, different=1)
            dying.signal(signal.SIGKILL)
            heard = ask_all(sides, daemon)
            wait_counts(daemon, different=1, unavailable=heard.count("OK"))

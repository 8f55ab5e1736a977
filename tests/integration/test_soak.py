"""All mechanisms under all troubles at once, for a while; every login is accounted for.

``PYSASLAUTHD_SOAK_SECONDS`` is how long the troubles last, 45 by default (``make soak SECONDS=3600``).
``PYSASLAUTHD_SOAK_SEED`` repeats a run that failed, whose report says its seed: each client and each trouble has the
same thoughts again, if not at the same moment.
"""

import contextlib
import os
import random
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import mux
from support.soak_clients import Clients
from support.soak_judge import LOOK, SERVER_COMES_BACK, Judge, Login, Terms, Trouble
from support.soak_subjects import (
    GUESSED,
    LIMITS,
    MARK,
    USERS,
    Server,
    Subject,
    directory_server,
    has_grown,
    ldap_subject,
    pam_subject,
    password_of,
    shadow_subject,
)
from support.soak_troubles import Disturber, Flapper, seeing_standstills
from support.waiting import wait_until

SECONDS = float(os.environ.get("PYSASLAUTHD_SOAK_SECONDS", "45"))
SEED = os.environ.get("PYSASLAUTHD_SOAK_SEED") or str(random.SystemRandom().randrange(1 << 32))

QUICK, SLOW = 3, 3
"""Threads of such clients, for each daemon."""

CALM = 20

NEVER = re.compile(
    rb"internal error|Traceback|mechanism failed|broke the protocol|gave no sign|cannot be killed|does not end"
    rb"|does not listen|exited with status|log lines were lost|pysasl-\w+ failed|was killed by SIG(?!KILL)"
    rb"|" + MARK.encode() + rb"|\$1\$",
    re.IGNORECASE,
)
"""In no log: an error of our own, a process that died by itself, a password or a hash."""

REASONS = (
    "worker died",
    "worker was killed for another login's deadline",
    "no answer within 6 s",
    "no worker was free within 4 s",
    "too many logins are waiting",
    "ldap://a: refused",
)
EXPLAINED = (
    ("", Trouble.FRONT_KILLED),
    ("", Trouble.FLOOD),
    ("worker died", Trouble.WORKER_KILLED),
    ("worker was killed for another login's deadline", Trouble.WORKER_STOPPED),
    ("no answer within 6 s", Trouble.WORKER_STOPPED),
    ("no worker was free within 4 s", Trouble.WORKER_KILLED),
    ("too many logins are waiting", Trouble.FLOOD),
    ("worker was killed for another login's deadline", Trouble.STANDSTILL),
    ("no answer within 6 s", Trouble.STANDSTILL),
    ("no worker was free within 4 s", Trouble.STANDSTILL),
)

KILLED = re.compile(rb"(?:worker|front) (\d+) was killed by SIGKILL")


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    with directory_server() as first, directory_server() as second:
        yield [first, second]


@pytest.fixture
def subjects(servers: list[Server]) -> Iterator[list[Subject]]:
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(shadow_subject()), stack.enter_context(ldap_subject(servers))]
        if os.geteuid() == 0:
            running.append(stack.enter_context(pam_subject()))
        yield running


class Soak:
    """The threads that ask and disturb; :meth:`run` has them go on until the time is over or enough has failed."""

    def __init__(self, subjects: list[Subject], servers: list[Server], judge: Judge) -> None:
        self._judge = judge
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.disturbers = {
            each.name: Disturber(each, judge, self._chance(f"{each.name} disturber"), self._over)
            for each in subjects
        }
        for subject in subjects:
            self._add(self.disturbers[subject.name].disturb)
            for number in range(QUICK):
                self._add(self._clients(subject, f"quick {number}").quick, 0.02)
            for number in range(SLOW):
                self._add(self._clients(subject, f"slow {number}").slow, 0.1)
            self._add(self._clients(subject, "guesser").guess, 1.0)
        (asked,) = (subject for subject in subjects if subject.servers)
        self._add(Flapper(asked, servers, judge, self._chance("flapper"), self._over).flap)

    def run(self, seconds: float) -> None:
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._judge.has_seen_enough:
            self._over.wait(LOOK)
            self._judge.look()
        self._over.set()
        for thread in self._threads:
            thread.join()
        until_judged(self._judge)

    def _chance(self, whose: str) -> random.Random:
        return random.Random(f"{SEED} {whose}")

    def _clients(self, subject: Subject, name: str) -> Clients:
        return Clients(subject, self._judge, self._chance(f"{subject.name} {name}"))

    def _add(self, step: Callable[[], None], longest_pause: float = 0.0) -> None:
        chance = self._chance(f"pauses {len(self._threads)}")

        def go_on() -> None:
            try:
                while not self._over.is_set():
                    step()
                    self._over.wait(chance.uniform(0, longest_pause))
            except Exception:  # noqa: BLE001  (a thread that ends is a test that does less than it says)
                self._judge.fail(traceback.format_exc())
                self._over.set()

        self._threads.append(threading.Thread(target=go_on))


def until_judged(judge: Judge) -> None:
    """Everybody who was closed has his verdict."""
    while judge.has_suspects:
        time.sleep(LOOK)
        judge.look()


def calm_down(subject: Subject, judge: Judge) -> None:
    """Alone with its daemon, everybody hears what he has to, and nobody is closed without an answer."""

    def closed() -> int:
        return sum(
            count
            for (name, kind, _, verdict), count in judge.counts.items()
            if (name, kind, verdict) == (subject.name, "calm", "-")
        )

    begin, before = time.monotonic(), closed()
    Clients(subject, judge, random.Random(SEED)).calm(CALM)
    # The judge looks into the log for those who were closed, be it that the machine stood still.
    assert closed() == before or judge.stood_still_since(begin - SERVER_COMES_BACK)


def logs_are_clean(subject: Subject, killed: set[int]) -> None:
    with subject.log.open("rb") as log:
        for line in log:
            assert not NEVER.search(line), line
            found = KILLED.search(line)
            assert found is None or int(found[1]) in killed, f"not by us: {line!r}"


def answers(subject: Subject) -> bool:
    try:
        return mux.ask(subject.mux, USERS[0].encode(), password_of(USERS[0]), b"unix") == "OK"
    except OSError:
        return False


def report(judge: Judge) -> str:
    tables = (judge.counts, judge.explained, judge.troubles)
    lines = [f"{' '.join(key)}: {count}" for table in tables for key, count in sorted(table.items())]
    return "\n".join([f"PYSASLAUTHD_SOAK_SEED={SEED}, {SECONDS:g} s", *lines])


LINE = "auth unavailable: [user=user1] [service=imap] [realm=t1] [mech=x] [reason="


class TestTheJudge:
    """A judge who lets all pass would have every test below pass."""

    @pytest.fixture
    def judge(self, tmp_path: Path) -> Judge:
        log = tmp_path / "log"
        log.touch()
        return Judge({"it": Terms(log, LIMITS, servers=2, guessed=GUESSED), "other": Terms(log, LIMITS)})

    @staticmethod
    def hear(judge: Judge, tmp_path: Path, reason: str = "", **changes: object) -> list[str]:
        """A login that reaches every limit and hears nothing, unless ``changes`` say more; the failures."""
        log = tmp_path / "log"
        turned_away = f"saslauthd[1] :3 logins turned away: {reason}\n"
        own = f"{LINE}{reason}]\n" if reason else ""
        log.write_text(turned_away if reason.startswith(("no worker", "too many")) else own)
        now = time.monotonic()
        begin = now - LIMITS.login
        login = Login("it", "x", "OK", "user1", "imap", "t1", begin, begin, now, 0, 1000, b"")
        judge.hear(login._replace(**changes))  # type: ignore[arg-type]
        judge.look(is_over=True)
        return judge.failures

    @pytest.mark.parametrize(
        ("expected", "heard", "is_right"),
        [
            ("OK", b"\0\2OK", True),
            ("OK", b"\0\2NO", False),
            ("OK", b"\0\2OK\0\2OK", False),
            ("OK", b"\0", False),
            ("NO", b"\0\2NO", True),
            ("NO", b"\0\2OK", False),
            ("-", b"", True),
            ("-", b"\0\2OK", False),
        ],
    )
    def test_compares_what_is_heard(
        self, judge: Judge, tmp_path: Path, expected: str, heard: bytes, *, is_right: bool
    ) -> None:
        assert (self.hear(judge, tmp_path, expected=expected, heard=heard) == []) is is_right

    @pytest.mark.parametrize("error", ["late", "refused", "Connection reset by peer"])
    def test_minds_how_it_ended(self, judge: Judge, tmp_path: Path, error: str) -> None:
        assert self.hear(judge, tmp_path, heard=b"\0\2OK", error=error)

    def test_minds_when_it_ended(self, judge: Judge, tmp_path: Path) -> None:
        assert self.hear(judge, tmp_path, heard=b"\0\2OK", sent=time.monotonic() - LIMITS.bound - 1)

    @pytest.mark.parametrize("reason", ["", *REASONS, "no password is known"])
    def test_takes_no_close_without_an_explanation(self, judge: Judge, tmp_path: Path, reason: str) -> None:
        with judge.during("it", Trouble.RELOAD), judge.during("it", Trouble.SERVER_DOWN, 1):
            for trouble in Trouble:
                with judge.during("other", trouble):
                    pass
            assert self.hear(judge, tmp_path, reason)

    @pytest.mark.parametrize(("reason", "trouble"), EXPLAINED)
    def test_takes_one_that_has_its_trouble(
        self, judge: Judge, tmp_path: Path, reason: str, trouble: Trouble
    ) -> None:
        with judge.during("it", trouble):
            assert self.hear(judge, tmp_path, reason) == []

    @pytest.mark.parametrize(("reason", "trouble"), EXPLAINED)
    def test_takes_none_whose_trouble_is_long_past(
        self, judge: Judge, tmp_path: Path, reason: str, trouble: Trouble
    ) -> None:
        with judge.during("it", trouble):
            pass
        later = time.monotonic() + 60
        assert self.hear(judge, tmp_path, reason, begin=later, sent=later, end=later + 1)

    @pytest.mark.parametrize("reason", ["no worker was free within 4 s", "no answer within 6 s"])
    def test_takes_none_that_reached_its_limit_before_it_can(
        self, judge: Judge, tmp_path: Path, reason: str
    ) -> None:
        with judge.during("it", Trouble.WORKER_STOPPED):
            now = time.monotonic()
            assert self.hear(judge, tmp_path, reason, begin=now, sent=now, end=now + 1)

    def test_takes_one_while_all_servers_are_down(self, judge: Judge, tmp_path: Path) -> None:
        with judge.during("it", Trouble.SERVER_DOWN, 0), judge.during("it", Trouble.SERVER_DOWN, 1):
            now = time.monotonic()
            reason = "ldap: ldap://a: no answer within 2 s"
            assert self.hear(judge, tmp_path, reason, begin=now - 2, sent=now - 2) == []

    def test_takes_one_that_was_asking_when_its_front_left(self, judge: Judge, tmp_path: Path) -> None:
        with judge.during("it", Trouble.RELOAD):
            now = time.monotonic()
            assert self.hear(judge, tmp_path, begin=now - 0.9, sent=now) == []


@pytest.mark.timeout(SECONDS + 240)
def test_every_login_is_accounted_for(subjects: list[Subject], servers: list[Server]) -> None:
    judge = Judge({subject.name: subject.terms for subject in subjects})
    soak = Soak(subjects, servers, judge)
    with seeing_standstills(judge):
        go_through(soak, subjects, judge)


def go_through(soak: Soak, subjects: list[Subject], judge: Judge) -> None:
    """Calm, the troubles, and a calm in which all is as it was."""
    for subject in subjects:
        calm_down(subject, judge)
    before = {subject.name: (subject.footprint(), subject.memory()) for subject in subjects}
    soak.run(SECONDS)
    sys.stdout.write(f"{report(judge)}\n")
    assert not judge.failures, "\n".join([*judge.failures, f"PYSASLAUTHD_SOAK_SEED={SEED}"])
    for subject in subjects:
        wait_until(lambda s=subject: answers(s), f"{subject.name} answers again")  # type: ignore[misc]
        calm_down(subject, judge)
    for subject in subjects:
        footprint, memory = before[subject.name]
        assert subject.footprint() == footprint
        assert not has_grown(memory, subject.memory())
        logs_are_clean(subject, soak.disturbers[subject.name].killed)
    until_judged(judge)
    assert not judge.failures, "\n".join(judge.failures)

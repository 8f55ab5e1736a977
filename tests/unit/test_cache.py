"""What is remembered, for how long, and what makes it forgotten."""

import math
import os
from pathlib import Path

import pytest

from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.front.cache import CacheOptions, CredentialCache, Key, capacity_of, key_of
from pysaslauthd.front.digests import Digests
from pysaslauthd.front.statistics import Tally
from pysaslauthd.master.watch import INTERVAL, FileWatch

KEY: Key = (b"alice", b"ex.org", b"imap")
RIGHT, WRONG = Secret(b"right"), Secret(b"wrong")
REFUSED = rejected(Cause.WRONG_PASSWORD, "Incorrect password")._replace(delay_ms=2000)


digest = Digests().of


def make(
    capacity: int = 10, lifetime: float = 100.0, rejected_lifetime: float = 0.0, stale_lifetime: float = 0.0
) -> CredentialCache:
    return CredentialCache(CacheOptions(capacity, lifetime, rejected_lifetime, stale_lifetime))


def learn(
    cache: CredentialCache,
    password: Secret = RIGHT,
    answer: Answer = ACCEPTED,
    now: float = 0.0,
    key: Key = KEY,
) -> None:
    cache.learn(key, digest(password), answer, cache.dispatch(now))


def has(cache: CredentialCache, password: Secret = RIGHT, now: float = 0.0, key: Key = KEY) -> bool:
    return cache.has(key, digest(password), now)


class TestARightPassword:
    def test_is_right_again_and_no_other_is(self) -> None:
        cache = make()
        learn(cache)
        assert has(cache)
        assert not has(cache, WRONG)
        assert has(cache)

    @pytest.mark.parametrize(
        "other",
        [
            (b"Alice", b"ex.org", b"imap"),
            (b"alice", b"", b"imap"),
            (b"alice", b"ex.org", b"smtp"),
            (b"aliceex.org", b"", b"imap"),
            (b"ali", b"ceex.org", b"imap"),
        ],
    )
    def test_is_right_for_this_login_realm_and_service_alone(self, other: Key) -> None:
        cache = make()
        learn(cache)
        assert not has(cache, key=other)

    def test_of_any_length_is_told_from_another(self) -> None:
        cache = make()
        learn(cache, Secret(b"x" * 8192))
        assert has(cache, Secret(b"x" * 8192))
        assert not has(cache, Secret(b"x" * 8191))
        assert not has(cache, Secret(b"x" * 8191 + b"y"))

    def test_is_so_for_its_time_which_no_hit_renews(self) -> None:
        cache = make(lifetime=100)
        learn(cache, now=50)
        assert has(cache, now=149)
        assert not has(cache, now=150)
        assert len(cache) == 0

    def test_that_never_ends_does_not(self) -> None:
        cache = make(lifetime=math.inf)
        learn(cache)
        assert has(cache, now=1e12)

    def test_takes_the_place_of_the_one_before(self) -> None:
        cache = make()
        learn(cache, Secret(b"old"))
        learn(cache, Secret(b"new"))
        assert not has(cache, Secret(b"old"))
        assert has(cache, Secret(b"new"))
        assert len(cache) == 1

    def test_makes_room_for_another_if_it_was_not_used_for_longest(self) -> None:
        cache = make(capacity=2)
        one, two, three = ((name, b"", b"") for name in (b"one", b"two", b"three"))
        learn(cache, key=one)
        learn(cache, key=two)
        assert has(cache, key=one)
        learn(cache, key=three)
        assert (has(cache, key=one), has(cache, key=two), has(cache, key=three)) == (True, False, True)

    @pytest.mark.parametrize(
        "answer", [REFUSED, unavailable(Cause.BACKEND, "down"), unavailable(Cause.SHED, "x")]
    )
    def test_is_none_that_was_not_accepted(self, answer: Answer) -> None:
        cache = make()
        learn(cache, answer=answer)
        assert not has(cache)

    def test_survives_a_wrong_one(self) -> None:
        cache = make()
        learn(cache)
        learn(cache, WRONG, REFUSED)
        assert has(cache)

    def test_is_not_in_the_memory_of_the_cache(self) -> None:
        cache = make(rejected_lifetime=10)
        learn(cache)
        learn(cache, WRONG, REFUSED)
        held = repr([cache._entries, cache._rejections])  # noqa: SLF001  (all that it keeps)
        assert "right" not in held
        assert "wrong" not in held

    def test_has_another_hash_in_another_process(self) -> None:
        assert Digests().of(RIGHT) != Digests().of(RIGHT)


class TestARequestFoundRight:
    REQUEST = b"digest of the request"

    def noted(self, **options: float) -> CredentialCache:
        cache = make(**options)  # type: ignore[arg-type]
        learn(cache)
        cache.note(self.REQUEST, KEY, digest(RIGHT), Tally())
        return cache

    def test_is_recalled_with_its_tally_and_no_other(self) -> None:
        cache = self.noted()
        tally = Tally()
        cache.note(b"one more", KEY, digest(RIGHT), tally)
        assert cache.recalls(b"one more", 0) is tally
        assert cache.recalls(self.REQUEST, 0) not in {tally, None}
        assert not cache.recalls(b"another", 0)

    def test_ends_with_the_entry(self) -> None:
        cache = self.noted(lifetime=100)
        assert cache.recalls(self.REQUEST, 99)
        assert not cache.recalls(self.REQUEST, 100)

    def test_does_not_outlive_a_change_of_the_password(self) -> None:
        cache = self.noted()
        learn(cache, WRONG)  # which is the right one now
        assert not cache.recalls(self.REQUEST, 0)

    def test_does_not_lead_to_the_entry_of_another_password(self) -> None:
        cache = make()
        learn(cache, WRONG)  # which is the right one by now
        cache.note(self.REQUEST, KEY, digest(RIGHT), Tally())
        assert not cache.recalls(self.REQUEST, 0)

    def test_is_kept_while_it_is_used(self) -> None:
        cache = self.noted(capacity=2)
        for number in range(10):
            cache.note(b"%d" % number, KEY, digest(RIGHT), Tally())
            assert cache.recalls(self.REQUEST, 0)

    def test_ends_with_all_else(self) -> None:
        cache = self.noted()
        cache.flush()
        learn(cache)
        assert not cache.recalls(self.REQUEST, 0)

    def test_keeps_its_entry_from_being_the_one_used_longest_ago(self) -> None:
        cache = self.noted(capacity=2)
        learn(cache, key=(b"bob", b"", b""))
        assert cache.recalls(self.REQUEST, 0)
        learn(cache, key=(b"carol", b"", b""))
        assert has(cache)

    def test_is_not_kept_beside_more_than_fit(self) -> None:
        cache = self.noted(capacity=2)
        for number in range(10):
            cache.note(b"%d" % number, KEY, digest(RIGHT), Tally())
        assert not cache.recalls(self.REQUEST, 0)
        assert [number for number in range(10) if cache.recalls(b"%d" % number, 0)] == [8, 9]


class TestForgetting:
    def test_ends_all(self) -> None:
        cache = make(rejected_lifetime=10)
        learn(cache)
        learn(cache, WRONG, REFUSED)
        cache.flush()
        assert not has(cache)
        assert cache.rejection(KEY, digest(WRONG), 0) is None

    def test_ends_what_is_on_its_way(self) -> None:
        cache = make(rejected_lifetime=10)
        dispatch = cache.dispatch(0)
        cache.flush()
        cache.learn(KEY, digest(RIGHT), ACCEPTED, dispatch)
        cache.learn(KEY, digest(WRONG), REFUSED, dispatch)
        assert not has(cache)
        assert cache.rejection(KEY, digest(WRONG), 0) is None
        learn(cache)
        assert has(cache)


class TestAWrongPassword:
    def test_is_asked_about_again_unless_it_is_to_be_remembered(self) -> None:
        cache = make()
        learn(cache, WRONG, REFUSED)
        assert cache.rejection(KEY, digest(WRONG), 0) is None

    def test_that_is_remembered_gets_the_same_answer_for_its_time(self) -> None:
        cache = make(rejected_lifetime=60)
        learn(cache, WRONG, REFUSED, now=10)
        assert cache.rejection(KEY, digest(WRONG), 69) == REFUSED
        assert cache.rejection(KEY, digest(WRONG), 70) is None
        assert cache.rejection(KEY, digest(RIGHT), 69) is None

    @pytest.mark.parametrize("cause", [Cause.UNKNOWN_USER, Cause.ACCOUNT])
    def test_is_not_any_other_refusal(self, cause: Cause) -> None:
        cache = make(rejected_lifetime=60)
        learn(cache, WRONG, rejected(cause, "x"))
        assert cache.rejection(KEY, digest(WRONG), 0) is None

    def test_displaces_no_right_one(self) -> None:
        cache = make(capacity=3, rejected_lifetime=60)
        learn(cache)
        for number in range(100):
            learn(cache, Secret(b"%d" % number), REFUSED)
        assert has(cache)
        assert len(cache._rejections) == 3  # noqa: SLF001  (the bound is the point)


class TestAnEntryPastItsEnd:
    def test_counts_for_a_while_if_that_is_wanted(self) -> None:
        cache = make(lifetime=100, stale_lifetime=50)
        learn(cache)
        for now, fresh, stale in (
            (99, True, True),
            (100, False, True),
            (149, False, True),
            (150, False, False),
        ):
            assert has(cache, now=now) is fresh
            assert cache.has_stale(KEY, digest(RIGHT), now) is stale
            assert not cache.has_stale(KEY, digest(WRONG), now)

    @pytest.mark.parametrize("cause", [Cause.WRONG_PASSWORD, Cause.ACCOUNT])
    def test_does_not_count_once_its_password_was_refused(self, cause: Cause) -> None:
        cache = make(lifetime=60, stale_lifetime=1000)
        learn(cache)
        learn(cache, WRONG, REFUSED, now=65)
        assert cache.has_stale(KEY, digest(RIGHT), 66)
        learn(cache, answer=rejected(cause, "no more"), now=70)
        assert not cache.has_stale(KEY, digest(RIGHT), 80)

    def test_is_gone_if_not(self) -> None:
        cache = make(lifetime=100)
        learn(cache)
        assert not cache.has_stale(KEY, digest(RIGHT), 100)


@pytest.mark.parametrize(("kib", "entries"), [(1, 6), (100, 1062), (963, 10_272), (4096, 43_686)])
def test_the_size_has_the_originals_meaning(kib: int, entries: int) -> None:
    assert capacity_of(kib << 10) == entries


def test_the_clients_address_is_no_part_of_the_key() -> None:
    one, other = (Identity(b"a", b"s", b"r", address) for address in (None, b"192.0.2.1;99"))
    assert key_of(one) == key_of(other) == (b"a", b"r", b"s")


class TestAFile:
    @pytest.mark.parametrize("change", ["replaced", "written", "removed", "touched", "made"])
    def test_that_changes_is_told_of_once(self, tmp_path: Path, change: str) -> None:
        path, other = tmp_path / "shadow", tmp_path / "other"
        other.write_text("other")
        if change != "made":
            path.write_text("text")
        watch = FileWatch([path, other], now=0)
        if change == "replaced":
            (tmp_path / "new").write_text("text")
            (tmp_path / "new").replace(path)
        elif change == "removed":
            path.unlink()
        elif change == "touched":
            os.utime(path, (0, 0))
        else:
            path.write_text("text, and more")
        assert watch.look(INTERVAL / 2) == []
        assert watch.look(INTERVAL) == [path]
        assert watch.look(3 * INTERVAL) == []

    def test_that_does_not_is_not(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        watch = FileWatch([tmp_path / "a", tmp_path / "missing"], now=0)
        assert watch.look(watch.due) == []
        assert watch.due == 2 * INTERVAL

    def test_is_not_looked_at_if_there_is_none(self) -> None:
        assert FileWatch([], now=0).due == math.inf


class TestOneLogin:
    ENTRIES: tuple[Key, ...] = (
        (b"alice", b"", b"imap"),
        (b"alice", b"ex.org", b"smtp"),
        (b"alice@ex.org", b"", b"imap"),
        (b"alice@ex.org", b"ex.org", b"imap"),
        (b"alicia", b"", b"imap"),
        (b"ex.org", b"alice", b"imap"),
    )

    @pytest.mark.parametrize(
        ("login", "gone"),
        [(b"alice", {0, 1, 3}), (b"alice@ex.org", {1, 2, 3}), (b"bob", set()), (b"", set()), (b"@", set())],
    )
    def test_is_forgotten_in_all_services_and_realms(self, login: bytes, gone: set[int]) -> None:
        cache = make(rejected_lifetime=50.0)
        for key in self.ENTRIES:
            learn(cache, key=key)
            learn(cache, WRONG, REFUSED, key=key)
            cache.note(b"".join(key), key, digest(RIGHT), Tally())
        assert cache.forget(login) == len(gone)
        for index, key in enumerate(self.ENTRIES):
            is_left = index not in gone
            assert has(cache, key=key) == is_left
            assert (cache.recalls(b"".join(key), 0.0) is not None) == is_left
            assert (cache.rejection(key, digest(WRONG), 0.0) is not None) == is_left


class TestADescription:
    def test_says_what_there_is_and_changes_nothing(self) -> None:
        cache = make(capacity=2, rejected_lifetime=50.0, stale_lifetime=10.0)
        older = (b"older", b"", b"")
        learn(cache, key=older)
        learn(cache)
        learn(cache, WRONG, REFUSED)
        for password, now, text in (
            (RIGHT, 40.0, "it has this password as right, for 60 s more"),
            (WRONG, 40.0, "it has this password as wrong, for 10 s more"),
            (WRONG, 60.0, "it has an entry, of another password, for 40 s more"),
            (None, 40.0, "it has an entry, for 60 s more"),
            (RIGHT, 105.0, "it has this password as right, which is too old"),
            (RIGHT, 200.0, "it has this password as right, which is too old"),
        ):
            known = None if password is None else digest(password)
            assert cache.describe(KEY, known, now) == text
            assert cache.describe(older, None, now).startswith("it has an entry")
        assert cache.describe((b"no", b"", b""), None, 0.0) == "it has no entry"
        learn(cache, key=(b"newer", b"", b""))
        assert not has(cache, key=older)  # which was described last, but used before

    def test_of_what_never_ends_gives_no_time(self) -> None:
        cache = make(lifetime=math.inf)
        learn(cache)
        assert cache.describe(KEY, digest(RIGHT), 1e9) == "it has this password as right"

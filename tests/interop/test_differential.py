"""Ours and the original, side by side, on the same users: what a client is told is the same, also by ours in front of it.

Both check system accounts, each in a mount namespace where ``/etc/passwd`` and ``/etc/shadow`` are
files of this test.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from support.accounts import Account, write_databases
from support.comparison import Answer, Pair, ask, unmeant
from support.exchanges import Exchange, bytewise, fields, verdict
from support.fake_daemon import FakeDaemon
from support.mux import request
from support.namespaces import need_namespaces
from support.people import ALICE, LONG_PASSWORD, REALM, SECRET, people
from support.requests import VECTORS, Generator, both_passwords, scraps_behind
from support.system_daemon import original, ours

SEED = 20_240_229


class Difference(NamedTuple):
    """A disagreement that is meant. ``example`` shows that it is still there."""

    reason: str
    applies: Callable[[bytes], bool]
    reference: str
    ours: str
    example: bytes
    half_close: bool = False


def has_nul(data: bytes) -> bool:
    return any(b"\0" in body for _, body in fields(data)[:4])


def has_nul_in_address(data: bytes) -> bool:
    return any(b"\0" in body for _, body in fields(data)[4:])


def has_long_password(data: bytes) -> bool:
    return any(256 < length <= 8192 for length, _ in fields(data)[1:2])


DIFFERENCES = (
    Difference(
        reason="the original ends a field at a NUL in silence, so one login has many names; ours refuses it",
        applies=has_nul,
        reference="OK",
        ours="NO",
        example=request(ALICE + b"\0xx", SECRET),
    ),
    Difference(
        reason="the same in a client address, a field that the original's released versions do not know",
        applies=has_nul_in_address,
        reference="OK",
        ours="NO",
        example=request(ALICE, SECRET, b"imap", b"", b"192.0.2.1\0;99"),
    ),
    Difference(
        reason="the original refuses a password over 256 bytes unread; tokens are longer, so ours takes 8192",
        applies=has_long_password,
        reference="NO",
        ours="OK",
        example=request(b"long-password", LONG_PASSWORD),
    ),
    Difference(
        reason="as ours waits for such a password, a client that ends before all has come gets no answer",
        applies=has_long_password,
        reference="NO",
        ours="-",
        example=request(b"long-password", LONG_PASSWORD)[:100],
        half_close=True,
    ),
)


def is_meant(exchange: Exchange, reference: str, ours: str) -> bool:
    return any(
        (reference, ours) == (difference.reference, difference.ours) and difference.applies(exchange.data)
        for difference in DIFFERENCES
    )


def disagreements(answers: Iterable[Answer]) -> list[str]:
    return unmeant(answers, is_meant)


@pytest.fixture(scope="module")
def accounts() -> list[Account]:
    return people(today=int(time.time()) // 86_400)


@pytest.fixture(scope="module")
def databases(accounts: list[Account]) -> Iterator[dict[Path, Path]]:
    need_namespaces()
    directory = Path(tempfile.mkdtemp(prefix="psd-"))
    yield write_databases(directory, accounts)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def pair(databases: dict[Path, Path]) -> Iterator[Pair]:
    with original(databases) as reference, ours(databases) as new:
        yield Pair(partial(verdict, reference.mux), partial(verdict, new.mux))


@pytest.fixture(scope="module")
def proxied_pair(databases: dict[Path, Path]) -> Iterator[Pair]:
    """The original, and ours with mechanism proxy in front of it."""
    with original(databases) as reference:
        reference.let_in()
        options = ("mechanism=proxy", f"proxy_socket={reference.mux}")
        with ours(databases, *(word for option in options for word in ("-o", option))) as new:
            yield Pair(partial(verdict, reference.mux), partial(verdict, new.mux))


@pytest.fixture(params=["pair", "proxied_pair"])
def either_pair(request: pytest.FixtureRequest) -> Pair:
    pair: Pair = request.getfixturevalue(request.param)
    return pair


@pytest.fixture(scope="module")
def appending_pair(databases: dict[Path, Path]) -> Iterator[Pair]:
    with original(databases, "-r") as reference, ours(databases, "-r") as new:
        yield Pair(partial(verdict, reference.mux), partial(verdict, new.mux))


@pytest.mark.parametrize(
    ("exchange", "expected"), VECTORS, ids=[exchange.name.replace(" ", "-") for exchange, _ in VECTORS]
)
def test_a_request_of_the_protocols_description(either_pair: Pair, exchange: Exchange, expected: str) -> None:
    answers = ask([exchange, bytewise(exchange)], either_pair)
    assert [answer.reference for answer in answers] == [expected] * 2
    assert disagreements(answers) == []


def test_a_user_in_each_state(either_pair: Pair, accounts: list[Account]) -> None:
    answers = ask(both_passwords(accounts), either_pair)
    assert disagreements(answers) == []
    accepted = {answer.exchange.name for answer in answers if answer.ours == "OK"}
    assert len(accounts) / 2 < len(accepted) < len(accounts)


def test_a_scrap_behind_the_fields_changes_nothing(either_pair: Pair) -> None:
    assert disagreements(ask(scraps_behind(), either_pair)) == []


def test_generated_requests(either_pair: Pair, accounts: list[Account]) -> None:
    answers = ask(Generator(SEED, accounts).exchanges(300), either_pair)
    assert disagreements(answers) == []
    counts = Counter(answer.ours for answer in answers)
    assert min(counts["OK"], counts["NO"], counts["-"]) >= 15, counts


REALM_LOGINS = {
    (b"carol", REALM, b"carol's other"): "OK",
    (b"carol", REALM, b"carol's own"): "NO",
    (b"carol", b"", b"carol's own"): "OK",
    (b"carol", b"elsewhere.test", b"carol's own"): "NO",
    (b"carol@" + REALM, b"", b"carol's other"): "OK",
    (b"carol@" + REALM, REALM, b"carol's third"): "OK",
    (b"carol@" + REALM, REALM, b"carol's other"): "NO",
    (b"carol", b"realm-\xfc", b"latin"): "OK",
    (b"with space", b"realm with space", b"spaced"): "OK",
}


@pytest.mark.parametrize(("login", "realm", "password"), REALM_LOGINS)
def test_a_login_with_its_realm_appended(
    appending_pair: Pair, login: bytes, realm: bytes, password: bytes
) -> None:
    exchange = Exchange(f"{login!r}@{realm!r}", request(login, password, b"imap", realm))
    (answer,) = ask([exchange], appending_pair)
    assert answer.reference == REALM_LOGINS[login, realm, password]
    assert answer.ours == answer.reference


def test_generated_requests_with_the_realm_appended(appending_pair: Pair, accounts: list[Account]) -> None:
    answers = ask(Generator(SEED + 1, accounts).exchanges(100), appending_pair)
    assert disagreements(answers) == []


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.applies.__name__)
def test_a_listed_difference_is_still_there(pair: Pair, difference: Difference) -> None:
    example = Exchange(difference.reason, difference.example, half_close=difference.half_close)
    assert difference.applies(example.data)
    assert ask([example], pair) == [Answer(example, difference.reference, difference.ours)]


@pytest.mark.parametrize("reply", [b"OK", b"NO"])
def test_a_daemon_that_knows_one_answer_only_is_noticed(
    pair: Pair, accounts: list[Account], reply: bytes
) -> None:
    with FakeDaemon(reply) as fake:
        answers = ask(both_passwords(accounts[:1]), Pair(pair.reference, partial(verdict, fake.mux)))
        assert len(disagreements(answers)) == 1

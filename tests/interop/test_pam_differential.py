"""Ours and the original, side by side, on the same PAM stacks and users: what a client is told is the same."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest

from support.accounts import Account
from support.comparison import Answer, Pair, ask, unmeant
from support.exchanges import Exchange, fields, verdict
from support.fake_daemon import FakeDaemon
from support.mux import request
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import original, ours
from support.pam_files import PamFiles
from support.pam_services import ODD_NAMES, SERVICES, write_services
from support.people import ALICE, LONG_PASSWORD, REALM, SECRET, people
from support.requests import Generator

SEED = 20_240_301

WRONG = b"wrong"


def part(data: bytes, number: int) -> bytes:
    found = fields(data)
    return found[number][1] if number < len(found) else b""


def services(*names: bytes) -> Callable[[bytes], bool]:
    """Whether a request is for one of these, as PAM reads names."""
    return lambda data: part(data, 2).lower() in names


def has_slash(data: bytes) -> bool:
    return b"/" in part(data, 2)


def has_dot_or_control(data: bytes) -> bool:
    service = part(data, 2)
    return service.startswith(b".") or any(byte < 0x20 or byte == 0x7F for byte in service)


def has_nul(data: bytes) -> bool:
    return any(b"\0" in body for _, body in fields(data))


def has_long_password(data: bytes) -> bool:
    return any(256 < length <= 8192 for length, _ in fields(data)[1:2])


RIGHT = frozenset((account.login, account.password) for account in people(today=0))


def is_right(data: bytes) -> bool:
    return (part(data, 0), part(data, 1)) in RIGHT


def has_no_entry(data: bytes) -> bool:
    """There is none, or one with -1 in it, which the system's library takes for none."""
    return part(data, 0) in {b"passwd-only", b"expire-minus-1", b"maximum-minus-1"}


class Difference(NamedTuple):
    """A disagreement that is meant. ``example`` shows that it is still there."""

    reason: str
    applies: Callable[[bytes], bool]
    reference: str
    ours: str
    example: bytes
    half_close: bool = False


DIFFERENCES = (
    Difference(
        reason="a module that is missing says nothing of the password, so ours gives no answer",
        applies=services(b"missing", b"missing-account"),
        reference="NO",
        ours="-",
        example=request(ALICE, SECRET, b"missing"),
    ),
    Difference(
        reason="a module whose server is down, or that fails in another way, the same",
        applies=services(b"down"),
        reference="NO",
        ours="-",
        example=request(ALICE, SECRET, b"down"),
    ),
    Difference(
        reason="a user whose entry in the shadow file is missing is for pam_unix such a failure",
        applies=has_no_entry,
        reference="NO",
        ours="-",
        example=request(b"passwd-only", SECRET, b"unix"),
    ),
    Difference(
        reason="PAM takes what is behind the last slash, another name for the same; ours refuses it",
        applies=has_slash,
        reference="OK",
        ours="NO",
        example=request(ALICE, SECRET, b"../pam.d/unix"),
    ),
    Difference(
        reason="no service has a dot in front or a control character; ours refuses it before PAM looks",
        applies=has_dot_or_control,
        reference="OK",
        ours="NO",
        example=request(ALICE, SECRET, b".hidden"),
    ),
    Difference(
        reason="an empty service is the stack for all others in the original; in ours the default one",
        applies=lambda data: services(b"")(data) and is_right(data),
        reference="NO",
        ours="OK",
        example=request(ALICE, SECRET, b""),
    ),
    Difference(
        reason="the original ends a field at a NUL in silence; ours refuses it",
        applies=has_nul,
        reference="OK",
        ours="NO",
        example=request(ALICE, SECRET, b"unix\0other"),
    ),
    Difference(
        reason="the original refuses a password over 256 bytes unread; tokens are longer",
        applies=lambda data: has_long_password(data) and is_right(data),
        reference="NO",
        ours="OK",
        example=request(b"long-password", LONG_PASSWORD, b"unix"),
    ),
    Difference(
        reason="as ours waits for such a password, a client that ends before all has come gets no answer",
        applies=has_long_password,
        reference="NO",
        ours="-",
        example=request(b"long-password", LONG_PASSWORD, b"unix")[:100],
        half_close=True,
    ),
    Difference(
        reason="the original's released versions do not tell PAM the client's address",
        applies=services(b"access"),
        reference="OK",
        ours="NO",
        example=request(ALICE, SECRET, b"access", b"", b"192.0.2.7;99"),
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
def files(accounts: list[Account]) -> Iterator[PamFiles]:
    need_root()
    need_namespaces()
    with PamFiles(accounts) as made:
        write_services(made)
        yield made


@pytest.fixture(scope="module")
def pair(files: PamFiles) -> Iterator[Pair]:
    with original(files, "-n", "3") as reference, ours(files, "-n", "3") as new:
        yield Pair(lambda e: verdict(reference.mux, e), lambda e: verdict(new.mux, e))


def exchange(login: bytes, password: bytes, service: bytes, *more: bytes) -> Exchange:
    name = f"{login!r} {password[:20]!r} {service!r} {more}"
    return Exchange(name, request(login, password, service, *more))


def test_a_user_in_each_state(pair: Pair, accounts: list[Account]) -> None:
    exchanges = [
        exchange(account.login, password, b"unix")
        for account in accounts
        for password in (account.password, account.password[:-1] + b"~")
    ]
    assert len(exchanges) >= 60
    answers = ask(exchanges, pair)
    assert disagreements(answers) == []
    counts = Counter(answer.ours for answer in answers)
    assert min(counts["OK"], counts["NO"]) >= 25, counts


@pytest.mark.parametrize("service", SERVICES)
def test_a_stack(pair: Pair, service: str) -> None:
    logins = (ALICE, b"carol", b"locked", b"expire-past", b"must-change", b"empty-hash", b"nobody-here")
    exchanges = [
        exchange(login, password, service.encode())
        for login in logins
        for password in (SECRET, WRONG, b"carol's own")
    ]
    assert disagreements(ask(exchanges, pair)) == []


@pytest.mark.parametrize("service", ODD_NAMES)
def test_the_name_of_a_service(pair: Pair, service: bytes) -> None:
    exchanges = [exchange(ALICE, password, service) for password in (SECRET, WRONG)]
    assert disagreements(ask(exchanges, pair)) == []


@pytest.mark.parametrize("address", [b"", b";", b"198.51.100.7;99", b"192.0.2.7;99", b"2001:db8::1"])
def test_the_address_of_a_client(pair: Pair, address: bytes) -> None:
    exchanges = [
        exchange(login, password, b"access", REALM, address)
        for login in (ALICE, b"locked", b"carol")
        for password in (SECRET, WRONG, b"carol's own")
    ]
    assert disagreements(ask(exchanges, pair)) == []


def test_generated_requests(pair: Pair, accounts: list[Account]) -> None:
    answers = ask(Generator(SEED, accounts).exchanges(200), pair)
    assert disagreements(answers) == []
    counts = Counter(answer.ours for answer in answers)
    assert min(counts["OK"], counts["NO"], counts["-"]) >= 10, counts


def test_a_login_with_its_realm_appended(files: PamFiles) -> None:
    with original(files, "-r", "-n", "1") as reference, ours(files, "-r", "-n", "1") as new:
        pair = Pair(lambda e: verdict(reference.mux, e), lambda e: verdict(new.mux, e))
        exchanges = [
            exchange(login, password, b"unix", realm)
            for login in (b"carol", b"carol@" + REALM, b"with space")
            for realm in (b"", REALM, b"realm with space", b"elsewhere.test")
            for password in (b"carol's own", b"carol's other", b"carol's third", b"spaced")
        ]
        answers = ask(exchanges, pair)
    assert disagreements(answers) == []
    assert Counter(answer.ours for answer in answers)["OK"] >= 4


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason.split(",")[0])
def test_a_listed_difference_is_still_there(pair: Pair, difference: Difference) -> None:
    example = Exchange(difference.reason, difference.example, half_close=difference.half_close)
    assert difference.applies(example.data)
    assert ask([example], pair) == [Answer(example, difference.reference, difference.ours)]


def test_a_visible_prompt_for_which_pam_knows_no_text_crashes_the_original(files: PamFiles) -> None:
    """One process of it, as it is the first of them that crashes and the others would stay for ever."""
    example = exchange(ALICE, SECRET, b"asks-visibly")
    with original(files, "-n", "1") as reference, ours(files, "-n", "1") as new:
        assert (verdict(reference.mux, example), verdict(new.mux, example)) == ("-", "OK")


def test_a_daemon_that_knows_one_answer_only_is_noticed(pair: Pair) -> None:
    exchanges = [exchange(ALICE, password, b"unix") for password in (SECRET, WRONG)]
    for reply in (b"OK", b"NO"):
        with FakeDaemon(reply) as fake:
            other = pair._replace(ours=lambda e, mux=fake.mux: verdict(mux, e))  # type: ignore[misc]
            assert len(disagreements(ask(exchanges, other))) == 1

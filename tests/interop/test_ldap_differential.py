"""Ours and the original, side by side, with the same ``saslauthd.conf`` on the same slapd: the verdicts are the same.

Where they are not, the login says so, and why; ``support.ldap_cases`` has the reasons.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from string import Template

import pytest

from support.certificates import Certificates
from support.comparison import Pair, unmeant
from support.comparison import ask as answers_of
from support.exchanges import Exchange, verdict
from support.fake_daemon import FakeDaemon
from support.ldap_cases import REASONS, Ask, Case, unavailable
from support.ldap_cases_files import FILES
from support.ldap_cases_methods import COMPARISONS, GROUP_CASES
from support.ldap_cases_searches import SEARCHES, TOKENS
from support.ldap_cases_servers import BUSY, ENCRYPTED, SASL, SERVERS
from support.ldap_daemon import LdapDaemon, original, ours
from support.ldap_directory import (
    ADMINS,
    GROUPS,
    OTHERS,
    PEOPLE,
    REALMS,
    REFERRALS,
    SERVICE_DN,
    SERVICE_PASSWORD,
    STAFF,
    SUFFIX,
    U0,
    Entry,
    Person,
    alias,
    person,
    referral,
)
from support.ldap_schemes import CRASHING, SECRET, scheme_person
from support.mux import request
from support.namespaces import need_namespaces
from support.slapd import NO_ANONYMOUS, Options, Slapd
from support.tcp_ports import HOST, free_port
from support.tcp_proxy import SILENT, TcpProxy

CASES = (*SEARCHES, *TOKENS, *COMPARISONS, *GROUP_CASES, *SERVERS, *ENCRYPTED, *SASL, *FILES)

ERRORS = f"ou=errors,{SUFFIX}"

RETCODE = (
    "overlay retcode",
    "retcode-indir",
    f'retcode-parent "{ERRORS}"',
    'retcode-item "cn=busy" 51',
    f'retcode-item "cn=moved" 10 ref=ldap://{HOST}:1/{PEOPLE}',
    'retcode-item "cn=gone" 0 flags=pre-disconnect',
)

LONG = 25.0
"""Seconds that no file takes: those with silent servers 5, and the rest is for a machine that stands still. A login that is given up has taken 29."""


def failing(who: Person, code: int, **more: list[str]) -> Entry:
    """Somebody who is found, and whose bind is answered with ``code``."""
    attributes = dict(who.entry.attributes)
    classes = [*attributes["objectClass"], "errAuxObject"]
    return Entry(
        who.dn, {**attributes, "objectClass": classes, "errCode": [str(code)], "errOp": ["bind"], **more}
    )


@pytest.fixture(scope="module")
def slapd(certificates: Certificates) -> Iterator[Slapd]:
    options = Options(
        certificates=certificates,
        settings=("allow bind_v2",),
        modules=("retcode",),
        database=RETCODE,
        entries=(
            failing(BUSY, 51),
            person("referred", b"referred's", below=REFERRALS).entry,
            referral("ou=away", f"ldap://{HOST}:1/", REFERRALS),
            alias("cn=alias of u0", U0.dn, OTHERS),
        ),
    )
    with Slapd(options) as running:
        running.add(referral("ou=moved", f"{running.ldap}/{PEOPLE}"))
        yield running


@pytest.fixture(scope="module")
def names(slapd: Slapd, certificates: Certificates) -> Iterator[dict[str, str]]:
    """What ``$NAME`` stands for in the files."""
    need_namespaces()
    with contextlib.ExitStack() as stack:

        def another(**options: object) -> Slapd:
            return stack.enter_context(Slapd(Options(certificates=certificates, **options)))  # type: ignore[arg-type]

        silent = stack.enter_context(TcpProxy(slapd.port, SILENT))
        yield {
            **_places(),
            **_files(certificates),
            "ldap": slapd.ldap,
            "ldaps": slapd.ldaps,
            "ldapi": slapd.ldapi,
            "dead": f"ldap://{HOST}:{free_port()}",
            "silent": f"ldap://{HOST}:{silent.port}",
            "strict": another(settings=(*NO_ANONYMOUS, "sizelimit 3")).ldap,
            "demanding": another(verify_client="demand").ldaps,
            "wrong_host": another(identity=certificates.wrong_host).ldaps,
            "expired": another(identity=certificates.expired).ldaps,
            "unknown": another(identity=certificates.unknown).ldaps,
            "by_plain": another(identity=certificates.by_plain).ldaps,
        }


def _places() -> dict[str, str]:
    return {
        "suffix": SUFFIX,
        "people": PEOPLE,
        "others": OTHERS,
        "groups": GROUPS,
        "realms": REALMS,
        "referrals": REFERRALS,
        "errors": ERRORS,
        "staff": STAFF,
        "admins": ADMINS,
        "reader": SERVICE_DN,
        "reader_password": SERVICE_PASSWORD.decode(),
    }


def _files(certificates: Certificates) -> dict[str, str]:
    paths = {
        "ca": certificates.ca,
        "ca_directory": certificates.ca_directory,
        "plain": certificates.plain.certificate,
        "client_cert": certificates.client.certificate,
        "client_key": certificates.client.key,
        "other_cert": certificates.unknown_client.certificate,
        "other_key": certificates.unknown_client.key,
    }
    return {name: str(path) for name, path in paths.items()}


@contextlib.contextmanager
def both(case: Case, names: Mapping[str, str]) -> Iterator[tuple[LdapDaemon, LdapDaemon]]:
    """The original and ours, with one process that checks passwords each, starting at the same time."""
    text, defaults = (Template(part).substitute(names) for part in (case.text, case.client_defaults))
    # Always a private ldap.conf, so that the machine's does not matter.
    daemons = [start(text, "-n", "1", *case.options, client_defaults=defaults) for start in (original, ours)]
    with contextlib.ExitStack() as stack:
        for daemon in daemons:
            daemon.start()
            stack.push(daemon)
        for daemon in daemons:
            daemon.wait_ready()
        yield daemons[0], daemons[1]


def exchange(ask: Ask, number: int = 0) -> Exchange:
    name = f"{number}: {ask.login!r} {ask.password[:20]!r} {ask.service!r} {ask.realm!r}"
    return Exchange(name, request(ask.login, ask.password, ask.service, ask.realm))


def disagreements(asks: tuple[Ask, ...], pair: Pair) -> list[str]:
    """Where they do not say what is expected of each, in words."""
    expected = {exchange(ask, number): ask for number, ask in enumerate(asks)}
    answers = answers_of(expected, pair)
    found = unmeant(answers, lambda e, *said: said == (expected[e].reference, expected[e].ours))
    return found + [
        f"{e.name}: both say {said}, expected {expected[e].reference} and {expected[e].ours}"
        for e, said, same in answers
        if said == same and (said, same) != (expected[e].reference, expected[e].ours)
    ]


def compare(case: Case, names: Mapping[str, str]) -> str:
    """What is not as expected, and the logs; nothing if all is."""
    with both(case, names) as (reference, new):
        begun = time.monotonic()
        found = disagreements(case.asks, Pair(partial(verdict, reference.mux), partial(verdict, new.mux)))
        took = time.monotonic() - begun
        if took > LONG:
            found.append(f"it took {took:.0f} s: some verdict is that of a deadline")
        return "\n".join([*found, reference.log[-1500:], new.log[-3000:]]) if found else ""


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, names: dict[str, str]) -> Iterator[dict[str, Future[str]]]:
    """All files that were chosen, compared in threads: a daemon takes its time to start, and some servers to answer."""
    chosen = [case for item in request.session.items for case in _case_of(item)]
    with ThreadPoolExecutor(3) as threads:
        try:
            yield {case.name: threads.submit(compare, case, names) for case in chosen}
        finally:
            threads.shutdown(cancel_futures=True)


def _case_of(item: pytest.Item) -> list[Case]:
    called = getattr(item, "callspec", None)
    values = () if called is None else called.params.values()
    return [value for value in values if isinstance(value, Case)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file(outcomes: dict[str, Future[str]], case: Case) -> None:
    unexpected = outcomes[case.name].result()
    assert not unexpected, unexpected


def test_no_file() -> None:
    asks = unavailable(U0)
    with original(None, "-n", "1") as reference, ours(None, "-n", "1") as new:
        assert disagreements(asks, Pair(partial(verdict, reference.mux), partial(verdict, new.mux))) == []


def test_a_changed_password_counts_at_once_in_fastbind() -> None:
    """The original remembers who logged in last, and his old password."""
    with Slapd() as slapd:
        text = f"ldap_servers: {slapd.ldap}\nldap_auth_method: fastbind\nldap_filter: uid=%u,{PEOPLE}\n"
        with original(text, "-n", "1") as reference, ours(text, "-n", "1") as new:
            both_of_them = (reference, new)
            assert [daemon.ask(b"u0", U0.password) for daemon in both_of_them] == ["OK", "OK"]
            slapd.set_password(U0.dn, b"changed")
            assert [daemon.ask(b"u0", U0.password) for daemon in both_of_them] == ["OK", "NO"]
            assert [daemon.ask(b"u0", b"changed") for daemon in both_of_them] == ["OK", "OK"]
            assert [daemon.ask(b"u0", U0.password) for daemon in both_of_them] == ["NO", "NO"]


def test_a_short_salted_hash_crashes_the_original(slapd: Slapd) -> None:
    head = f"ldap_servers: {slapd.ldap}\nldap_search_base: {PEOPLE}\nldap_auth_method: custom\n"
    text = f"{head}ldap_bind_dn: {SERVICE_DN}\nldap_password: {SERVICE_PASSWORD.decode()}\n"
    said = {}
    with ours(text, "-n", "1") as new:
        for name in CRASHING:
            with original(text, "-n", "1") as reference:
                said[name] = (
                    reference.ask(scheme_person(name).login.encode(), SECRET),
                    new.ask(scheme_person(name).login.encode(), SECRET),
                )
        assert new.ask(b"u0", U0.password) == "OK"
    assert {ours for _, ours in said.values()} == {"NO"}
    # In the others it reads beyond what it has, and may survive.
    assert said["ssha-short"] == ("-", "NO")


def test_there_is_no_reason_without_a_difference() -> None:
    asks = [ask for case in CASES for ask in case.asks]
    assert {ask.because for ask in asks} == {"", *REASONS}
    counts = Counter(ask.reference for ask in asks if not ask.because)
    assert min(counts["OK"], counts["NO"]) >= 150, counts


@pytest.mark.parametrize("reply", [b"OK", b"NO"])
def test_a_daemon_that_knows_one_answer_only_is_noticed(names: dict[str, str], reply: bytes) -> None:
    case = SEARCHES[0]
    with both(case, names) as (reference, _), FakeDaemon(reply) as fake:
        pair = Pair(partial(verdict, reference.mux), partial(verdict, fake.mux))
        wrong = [ask for ask in case.asks if ask.reference.encode() != reply]
        assert len(disagreements(case.asks, pair)) == len(wrong) > 0

"""The tables ``[[chain]]``: what they may say, and what is said of those that cannot be."""

import pytest

from pysaslauthd.config.chain_tables import MOST_CHAINS, ChainTable
from pysaslauthd.config.declared import CHAIN_KEYS
from pysaslauthd.config.given import Effective, combined
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import OptionError
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.config.written import written_chain

PAM, LDAP, SHADOW = (MECHANISMS[name] for name in ("pam", "ldap", "shadow"))

EVERYTHING = """\
mechanism = "pam"
[[chain]]
services = ["imap", "sieve"]
realms = "ex.org"
mechanism = ["ldap", "shadow"]
next_on = ["unknown"]
[[chain]]
realms = ["other.org"]
mechanism = "shadow"
"""

MEANT = (
    ChainTable(frozenset({"imap", "sieve"}), frozenset({"ex.org"}), (LDAP, SHADOW), frozenset({"unknown"})),
    ChainTable(frozenset(), frozenset({"other.org"}), (SHADOW,)),
)


def effective(text: str) -> Effective:
    return combined([read_toml(text.encode(), "F")])


def refusal(text: str) -> list[str]:
    with pytest.raises(OptionError) as caught:
        effective(f'mechanism = "pam"\n{text}')
    return str(caught.value).splitlines()


class TestTables:
    def test_may_give_every_key(self) -> None:
        options = effective(EVERYTHING).options
        assert options.chains == MEANT
        lines = dict(zip(CHAIN_KEYS, ("F:3", "F:4", "F:5", "F:6"), strict=True))
        assert options.chains[0].origins == {"": "F:2", **lines}

    def test_have_their_mechanisms_started(self) -> None:
        options = effective(EVERYTHING).options
        assert options.mechanism == (PAM,)
        assert options.mechanisms == (PAM, LDAP, SHADOW)
        assert [each.row for each in options.split()] == [PAM, LDAP, SHADOW]

    def test_that_are_written_are_read_back(self) -> None:
        text = "\n".join(line for each in MEANT for line in written_chain(each))
        assert read_toml(text.encode(), "F").chains == MEANT


class TestAReload:
    def test_changes_which_requests_go_where(self) -> None:
        before = effective(EVERYTHING).options
        now = effective(EVERYTHING.replace("imap", "pop3").replace("ex.org", "ex.net"))
        options, warnings = now.keeping(before)
        assert (options.chains, warnings) == (now.options.chains, [])

    @pytest.mark.parametrize(
        "text", ["mechanism = 'pam'\n", "mechanism = 'pam'\n[[chain]]\nrealms = 'x'\nmechanism = 'ldap'\n"]
    )
    def test_brings_no_other_mechanisms(self, text: str) -> None:
        before = effective(EVERYTHING).options
        options, warnings = effective(text).keeping(before)
        assert options.chains == before.chains
        assert warnings == ["[[chain]] with other mechanisms needs a restart; what was in force stays so"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "",
            [
                "F:2: chain.mechanism: expected, as a chain without any asks nobody",
                "F:2: chain: expected services or realms; mechanism above the tables is for all others",
            ],
        ),
        ("services = 'x'", ["F:2: chain.mechanism: expected, as a chain without any asks nobody"]),
        (
            "mechanism = 'ldap'",
            ["F:2: chain: expected services or realms; mechanism above the tables is for all others"],
        ),
        (
            "mechanism = 'ladp'\nrealms = 5",
            [
                "F:3: chain.mechanism: expected one of ldap, pam, proxy, shadow, found 'ladp'; did you mean ldap?",
                'F:4: chain.realms: expected a list of names, such as ["imap", "smtp"], found 5',
            ],
        ),
        (
            "next_on = 'never'",
            ["F:3: chain.next_on: expected some of reject, unknown, unavailable, found 'never'"],
        ),
        ("serivces = 'imap'", ["F:3: chain.serivces: no such key of a chain; did you mean services?"]),
        (
            "cache = true",
            [
                "F:3: chain.cache: no such key of a chain; cache is a setting of all and stands above the tables"
            ],
        ),
    ],
)
def test_a_broken_one_is_refused(table: str, expected: list[str]) -> None:
    assert refusal(f"[[chain]]\n{table}\n") == expected


def test_there_are_not_too_many() -> None:
    text = "[[chain]]\nrealms = 'x'\nmechanism = 'pam'\n" * (MOST_CHAINS + 1)
    assert refusal(text) == [f"F:{2 + 3 * MOST_CHAINS}: [[chain]]: expected at most {MOST_CHAINS} of them"]

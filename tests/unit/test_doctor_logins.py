"""What becomes of a login on its way, and whom the mechanism looks for."""

from pathlib import Path
from typing import Any

import pytest

from pysaslauthd.commands.doctor.accounts import Accounts, Person
from pysaslauthd.commands.doctor.check_logins import check_login, mechanisms_for, travelled
from pysaslauthd.commands.doctor.findings import Level
from pysaslauthd.commands.doctor.own import Own
from pysaslauthd.commands.doctor.programs import Client
from pysaslauthd.config.command_line import read_command_line
from pysaslauthd.config.given import combined
from pysaslauthd.config.toml_file import read_toml
from pysaslauthd.core.identity import RealmPolicy

POSTFIX = Client("postfix", "postfix", (), "smtp", "postfix", Path("/run/saslauthd/mux"))
EXIM = POSTFIX._replace(program="exim", what="exim", service="", splits_logins=False)


class People(Accounts):
    """Those who are there, by their names alone."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def person(self, name: str) -> Person | None:
        return Person(name, 1, 1, frozenset()) if name in self._names else None

    def group(self, name: str) -> int | None:
        raise NotImplementedError(name)

    def group_name(self, gid: int) -> str:
        raise NotImplementedError(gid)

    def user_name(self, uid: int) -> str:
        raise NotImplementedError(uid)


def own(*words: str, toml: str = "") -> Own:
    effective = combined((read_toml(toml.encode(), "/etc/x.toml"), read_command_line(words).found))
    return Own(
        effective.options, dict(effective.origins), (), None, words, Path("/etc/x.toml"), toml, "", True
    )


@pytest.mark.parametrize(
    ("typed", "client", "login", "realm"),
    [
        ("igor", POSTFIX, "igor", ""),
        (" igor ", POSTFIX, "igor", ""),
        ("igor@ex.org", POSTFIX, "igor", "ex.org"),
        ("a@b@c", POSTFIX, "a@b", "c"),
        ("igor@", POSTFIX, "igor", ""),
        ("igor", POSTFIX._replace(realm="mail.org"), "igor", "mail.org"),
        ("igor@ex.org", POSTFIX._replace(realm="mail.org"), "igor", "ex.org"),
        ("igor@ex.org", EXIM, "igor@ex.org", ""),
    ],
)
def test_a_client_sends(typed: str, client: Client, login: str, realm: str) -> None:
    request = travelled(typed, client, RealmPolicy.LOGIN).request
    assert (request.login, request.realm) == (login.encode(), realm.encode())


class TestPam:
    def look(self, typed: str, *words: str, client: Client = POSTFIX, people: tuple[str, ...] = ()) -> Any:
        here = own("-a", "pam", *words)
        assert here.options is not None
        login = travelled(typed, client, here.options.settings.realm_policy)
        return {each.id: each for each in check_login(login, here, People(*people))}

    def test_shows_what_is_sent_and_whom_it_looks_for(self) -> None:
        found = self.look("igor@ex.org", "-r")["login-seen"]
        assert found.level is Level.NOTE
        assert "login igor, realm ex.org, service smtp; pam looks for igor@ex.org" in found.text

    def test_that_knows_the_name_without_realm_is_as_meant(self) -> None:
        assert list(self.look("igor@ex.org", people=("igor",))) == ["login-seen"]

    def test_that_knows_the_whole_address_alone_fails(self) -> None:
        found = self.look("igor@ex.org", people=("igor@ex.org",))["realm-stripped"]
        assert found.level is Level.PROBLEM
        assert found.cure[0] == "printf '%s\\n' '' 'realm_policy = \"login@realm\"' >>/etc/x.toml"

    def test_that_knows_neither_may_know_virtual_users(self) -> None:
        assert self.look("igor@ex.org")["realm-stripped"].level is Level.WARNING

    def test_gets_the_realm_of_the_client(self) -> None:
        client = POSTFIX._replace(realm="ex.org")
        assert "realm-stripped" in self.look("igor", client=client)
        assert list(self.look("igor", "-r", client=client)) == ["login-seen"]

    def test_gets_it_twice_where_nobody_splits(self) -> None:
        client = EXIM._replace(realm="ex.org")
        found = self.look("igor@ex.org", "-r", client=client)["realm-doubled"]
        assert "igor@ex.org@ex.org" in found.text
        assert "(-r)" in found.text
        assert 'realm_policy = "login@realm unless it has one"' in "\n".join(found.cure)

    def test_has_nothing_to_say_of_a_plain_login(self) -> None:
        assert list(self.look("igor")) == ["login-seen"]


def test_a_chain_of_its_own_counts_for_its_services_and_realms() -> None:
    toml = '[[chain]]\nservices = ["SMTP"]\nrealms = ["ex.org"]\nmechanism = "shadow"\n'
    options = own("-a", "pam", toml=toml).options
    assert options is not None
    for typed, client, expected in (
        ("a@EX.org", POSTFIX, "shadow"),
        ("a@ex.com", POSTFIX, "pam"),
        ("a@ex.org", POSTFIX._replace(service="imap"), "pam"),
    ):
        (row,) = mechanisms_for(options, travelled(typed, client, RealmPolicy.LOGIN).request)
        assert row.name == expected

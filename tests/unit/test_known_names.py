"""Who is whom, and who has been here before."""

import pytest

from pysaslauthd.core.identity import Identity
from pysaslauthd.front.known_names import DOUBT, KnownNames, Name, Standing, name_of

OLD, OTHER = b"digest of the old password", b"digest of another"


def name(login: str, realm: str = "", *, uses_realm: bool = True) -> Name:
    return name_of(Identity(login.encode(), b"smtp", realm.encode(), None), uses_realm=uses_realm)


class TestAName:
    @pytest.mark.parametrize(
        "other",
        ["Victim", "VICTIM", "victim ", " victim"],
    )
    def test_is_the_same_in_any_letters_and_blanks(self, other: str) -> None:
        assert name(other) == name("victim")

    def test_has_one_blank_where_it_has_some(self) -> None:
        assert name("jo  ann") == name("Jo Ann") != name("joann")

    @pytest.mark.parametrize("other", ["JÜRGEN", "ju\u0308rgen", "JU\u0308RGEN", "\uff4aürgen"])
    def test_is_the_same_however_unicode_writes_it(self, other: str) -> None:
        assert name(other) == name("jürgen")

    def test_need_not_be_unicode(self) -> None:
        latin, other = (
            name_of(Identity(login, b"", b"", None), uses_realm=True) for login in (b"J\xfcr", b"j\xfcR")
        )
        assert latin == other == b"j\xfcr"

    def test_has_its_realm_where_the_mechanism_looks_at_it(self) -> None:
        assert name("u", "a") != name("u", "b")
        assert name("u", "A") == name("u", "a")
        assert name("u", "a", uses_realm=False) == name("u", "b", uses_realm=False) == name("u")

    def test_is_not_another_put_together_in_another_place(self) -> None:
        assert name("ab", "c") != name("a", "bc")


class TestAStanding:
    def test_of_a_new_name_is_unknown(self) -> None:
        assert KnownNames(10).standing(b"u", OLD, 0) is Standing.UNKNOWN

    def test_of_the_password_of_old_is_vouched_for(self) -> None:
        names = KnownNames(10)
        names.accepted(b"u", OLD)
        assert names.standing(b"u", OLD, 0) is Standing.VOUCHED
        assert names.standing(b"u", OTHER, 0) is Standing.KNOWN
        assert names.standing(b"v", OLD, 0) is Standing.UNKNOWN

    def test_of_another_password_falls_while_the_name_is_guessed(self) -> None:
        names = KnownNames(10)
        names.accepted(b"u", OLD)
        names.refused(b"u", b"wrong", 0)
        assert names.standing(b"u", OTHER, 0) is Standing.UNKNOWN
        assert names.standing(b"u", OLD, 0) is Standing.VOUCHED

    def test_of_another_password_stays_low_however_often_the_owner_comes(self) -> None:
        names = KnownNames(10)
        names.accepted(b"u", OLD)
        names.refused(b"u", b"wrong", 0)
        names.accepted(b"u", OLD)
        assert names.standing(b"u", OTHER, DOUBT * 0.9) is Standing.UNKNOWN
        assert names.standing(b"u", OTHER, DOUBT) is Standing.KNOWN

    def test_rises_again_with_the_next_right_one(self) -> None:
        names = KnownNames(10)
        names.accepted(b"u", OLD)
        names.refused(b"u", b"wrong", 0)
        names.accepted(b"u", OTHER)
        assert names.standing(b"u", OTHER, 0) is Standing.VOUCHED
        assert names.standing(b"u", OLD, 0) is Standing.KNOWN

    def test_is_not_won_by_being_refused(self) -> None:
        names = KnownNames(10)
        names.refused(b"u", b"wrong", 0)
        assert names.standing(b"u", OLD, 0) is Standing.UNKNOWN

    def test_is_forgotten_for_those_that_were_accepted_longest_ago(self) -> None:
        names = KnownNames(2)
        for each in (b"a", b"b", b"a", b"c"):
            names.accepted(each, OLD)
        names.refused(b"b", b"wrong", 0)
        assert [names.standing(each, OLD, 0) for each in (b"a", b"b", b"c")] == [
            Standing.VOUCHED,
            Standing.UNKNOWN,
            Standing.VOUCHED,
        ]
        assert len(names) == 2

    def test_of_doubt_is_forgotten_too(self) -> None:
        names = KnownNames(1)
        names.accepted(b"a", OLD)
        names.refused(b"a", b"wrong", 0)
        names.accepted(b"b", OLD)
        names.accepted(b"a", OLD)
        assert names.standing(b"a", OTHER, 0) is Standing.KNOWN

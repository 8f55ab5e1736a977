"""Filters are what ldap3 encodes when it is given the values escaped, and what libldap makes of the original's text."""

import functools
import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter
from ldap3.operation.search import parse_filter as parse_with_ldap3
from ldap3.utils.asn1 import encode

from pysaslauthd.mechanisms.ldap.filter_parser import DEEPEST, parse_filter
from pysaslauthd.mechanisms.ldap.filters import (
    And,
    Approx,
    Equality,
    Extensible,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from pysaslauthd.mechanisms.ldap.tokens import LETTERS, Template, UnfitValueError
from support.libldap import LibLdap


def template(*parts: bytes | str) -> Template:
    return Template(parts)


UID = template(b"uid")


class TestTextBecomes:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("(uid=%u)", Equality(UID, template("u"))),
            ("uid=%u", Equality(UID, template("u"))),
            ("(uid=%U@%d%%)", Equality(UID, template("U", b"@", "d", b"%"))),
            ("(uid=)", Equality(UID, template())),
            ("(uid= a %u )", Equality(UID, template(b" a ", "u", b" "))),
            (r"(uid=\2a\(\)\*\\\25u%%u)", Equality(UID, template(rb"*()*\%u%u"))),
            ("(uid=ü\udcff\x01=&|!:~)", Equality(UID, template(b"\xc3\xbc\xff\x01=&|!:~"))),
            (r"(uid=\Ff)", Equality(UID, template(b"\xff"))),
            ("(uid>=%1)", GreaterOrEqual(UID, template("1"))),
            ("(uid<=9)", LessOrEqual(UID, template(b"9"))),
            ("(uid~=%u)", Approx(UID, template("u"))),
            ("(uid=*)", Present(UID)),
            (r"(uid=\2a)", Equality(UID, template(b"*"))),
            ("(uid=%u*)", Substrings(UID, template("u"), (), None)),
            ("(uid=*%u)", Substrings(UID, None, (), template("u"))),
            (
                "(uid=a*%u*b%d* c)",
                Substrings(UID, template(b"a"), (template("u"), template(b"b", "d")), template(b" c")),
            ),
            ("(uid= *)", Substrings(UID, template(b" "), (), None)),
            ("(uid:=%u)", Extensible(UID, None, template("u"), dn_attributes=False)),
            ("(uid:dn:2.5.13.2:=%u)", Extensible(UID, b"2.5.13.2", template("u"), dn_attributes=True)),
            ("(:dn:1.2:=)", Extensible(None, b"1.2", template(), dn_attributes=True)),
            (
                "(memberOf:1.2.840.113556.1.4.1941:=%D)",
                Extensible(
                    template(b"memberOf"), b"1.2.840.113556.1.4.1941", template("D"), dn_attributes=False
                ),
            ),
            ("(cn;lang-de=x)", Equality(template(b"cn;lang-de"), template(b"x"))),
            ("(2.5.4.3=x)", Equality(template(b"2.5.4.3"), template(b"x"))),
            ("(a%s=x)", Equality(template(b"a", "s"), template(b"x"))),
            ("(!(uid=*))", Not(Present(UID))),
            ("( & (uid=*)\t( | (uid=*) (uid=*) ) )", And((Present(UID), Or((Present(UID), Present(UID)))))),
            ("(&)", And(())),
            ("(|(&)(|))", Or((And(()), Or(())))),
        ],
    )
    def test_a_tree_with_holes(self, text: str, tree: object) -> None:
        assert parse_filter(text) == tree

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "malformed"),
            ("uid", "invalid matching assertion"),
            ("%u", "invalid matching assertion"),
            ("(uid)", "invalid matching assertion"),
            ("()", "malformed"),
            ("((uid=x))", "malformed"),
            ("(uid=a(b)c)", "malformed"),
            ("(&uid=x)", "malformed"),
            ("(&(uid=x)y)", "malformed"),
            ("(uid=x)(uid=y)", "missing boolean operator"),
            ("&(uid=x)(uid=y)", "parentheses are missing"),
            ("!(uid=x)", "parentheses are missing"),
            ("%(&", "parentheses are missing"),
            ("(uid=x", "parentheses do not match"),
            ("(uid=x))", "parentheses do not match"),
            ("(uid=x)))((uid=y)", "parentheses do not match"),
            ("(!(uid=x)(uid=y))", "multiple"),
            ("(!(&(uid=x))(&(uid=y)))", "'!' with 2 parts"),
            ("(uid=a**b)", "between two asterisks"),
            ("(uid=**)", "between two asterisks"),
            ("(uid>=a*)", "asterisk"),
            ("(uid:=*)", "asterisk"),
            ("(=x)", "name of an attribute"),
            ("(ü=x)", "name of an attribute"),
            ("(a_b=x)", "name of an attribute"),
            ("(-a=*)", "name of an attribute"),
            ("(1.=a*)", "name of an attribute"),
            (r"(\61=x)", "name of an attribute"),
            (r"(%s\61=x)", "name of an attribute"),
            ("(:=x)", "invalid extensible"),
            ("(:dn:=x)", "invalid extensible"),
            ("(uid:%s:=x)", "matching rule"),
            ("(uid:caseExactMatch;x:=x)", "matching rule"),
            (r"(uid=\zz)", "backslash"),
            (r"(uid=a\)", "backslash|match"),
            (r"(uid=\2%u)", "backslash"),
            (r"(uid=\%u)", "backslash"),
            ("(!" * 60 + "(a=b)" + ")" * 60, f"more than {DEEPEST}"),
            ("(" * 5000, f"more than {DEEPEST}"),
        ],
    )
    def test_an_error_that_says_what_is_wrong(self, text: str, reason: str) -> None:
        with pytest.raises(ValueError, match=reason) as caught:
            parse_filter(text)
        assert not isinstance(caught.value, UnfitValueError)

    def test_as_deep_a_tree_as_is_promised(self) -> None:
        depth = DEEPEST - 1
        assert parse_filter("(!" * depth + "(a=b)" + ")" * depth).fill({})

    @given(st.text("(((()))=*&|!<>~:%udD\\2a -.;é\udcff") | st.text())
    def test_a_tree_or_an_error_whatever_it_is(self, text: str) -> None:
        try:
            parse_filter(text).fill(dict.fromkeys(LETTERS, b"x"))
        except ValueError:
            return


class TestSubstrings:
    @pytest.mark.parametrize(
        ("text", "like"),
        [
            ("(uid=%u*)", "(uid=*)"),
            ("(uid=*%u)", "(uid=*)"),
            ("(uid=%u*%d)", "(uid=*)"),
            ("(uid=%u*b*%d)", "(uid=*b*)"),
            ("(uid=a*%u)", "(uid=a*)"),
        ],
    )
    def test_leave_out_an_end_that_is_filled_with_nothing(self, text: str, like: str) -> None:
        assert parse_filter(text).fill({"u": b"", "d": b""}) == parse_filter(like).fill({})

    @pytest.mark.parametrize("text", ["(uid=*%u*)", "(uid=a*%u*b)", "(!(uid=*%u%d*))"])
    def test_with_nothing_between_asterisks_are_no_filter(self, text: str) -> None:
        with pytest.raises(UnfitValueError, match="between two asterisks"):
            parse_filter(text).fill({"u": b"", "d": b""})

    def test_have_no_part_that_a_value_made(self) -> None:
        assert parse_filter("(uid=%u*)").fill({"u": b"a*b"}) == parse_filter(r"(uid=a\2ab*)").fill({})
        assert parse_filter("(uid=%u)").fill({"u": b"*"}) == parse_filter(r"(uid=\2a)").fill({})


class TestNames:
    @pytest.mark.parametrize("service", [b"", b"a b", b"a:dn:1.2", b"a)(b", b"uid=x", b"\xc3\xbc", b"a\n"])
    def test_that_are_none_are_no_filter(self, service: bytes) -> None:
        for text in ("(%s=x)", "(%s=*)", "(%s=x*)", "(%s:=x)"):
            with pytest.raises(UnfitValueError, match="attribute's name") as caught:
                parse_filter(text).fill({"s": service})
            assert not service or service.decode() not in str(caught.value)

    def test_may_come_from_the_request(self) -> None:
        assert parse_filter("(%s;x=y)").fill({"s": b"imap"}) == parse_filter("(imap;x=y)").fill({})


def hostile() -> st.SearchStrategy[bytes]:
    odd = [b"", b" joe ", b"a*)(uid=*", b"\\", b"\\2a", b"%u", b"\0", b"~x=&", "Zoë".encode(), b"\xff\xfe"]
    return st.sampled_from(odd) | st.binary(max_size=200) | st.text(max_size=20).map(str.encode)


VALUES = st.fixed_dictionaries({"u": hostile(), "d": hostile(), "D": hostile()})
NAMES = ("uid", "cn;lang-de", "2.5.4.3", "objectClass")
KINDS = ("=", "=", "*", "*", ">=", "<=", "~=", ":=", ":dn:=", ":2.5.13.2:=", ":dn:caseExactMatch:=")
PLAIN = ("%u", "%d", "%D", "x", "a b", "é", r"\2a", r"\25u", "%%", r"\c3\a9", "=&!:~<>")
ODD = (*PLAIN, " ", "\t", "\x01", r"\(", r"\*", "\udcff")


def generated(choose: random.Random, pieces: tuple[str, ...], depth: int = 0) -> str:
    """The text of a filter of any shape."""
    if depth < 4 and choose.random() < 0.4:
        operator = choose.choice("&|!")
        count = 1 if operator == "!" else choose.randint(1, 3)
        inner = (generated(choose, pieces, depth + 1) for _ in range(count))
        return f"({operator}{choose.choice(['', ' ']).join(inner)})"
    words = ["".join(choose.choices(pieces, k=choose.randint(1, 3))) for _ in range(4)]
    words[0] = choose.choice([words[0], ""])
    words[3] = choose.choice([words[3], ""])
    name, kind = choose.choice(NAMES), choose.choice(KINDS)
    if kind == "*":
        return f"({name}={'*'.join(words[:: choose.randint(1, 3)])})"
    return f"({name}{kind}{words[0]})"


def shapes(pieces: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.integers(0, 2**32).map(lambda seed: generated(random.Random(seed), pieces))


def written_out(text: str, values: Mapping[str, bytes], pattern: bytes) -> bytes:
    """The text with ``values`` in it, each byte of them that is like ``pattern`` escaped."""
    special = re.compile(pattern, re.DOTALL)
    return Template.parse(text).expand(
        values, lambda value: special.sub(lambda match: b"\\%02x" % ord(match[0]), value)
    )


def filled(text: str, values: Mapping[str, bytes]) -> bytes | None:
    """What we send; None if it is no filter."""
    try:
        return parse_filter(text).fill(values)
    except ValueError:
        return None


@functools.cache
def libldap() -> LibLdap:
    return LibLdap()


class TestAFilledFilterIs:
    @settings(max_examples=1000, deadline=None)
    @given(shapes(PLAIN), st.fixed_dictionaries(dict.fromkeys("udD", hostile().filter(bool))))
    def test_what_ldap3_makes_of_the_text_with_every_byte_escaped(
        self, text: str, values: dict[str, bytes]
    ) -> None:
        node = parse_with_ldap3(written_out(text, values, b".").decode(), None, False, False, None, False)
        assert filled(text, values) == encode(compile_filter(node.elements[0]))

    @settings(max_examples=1000, deadline=None)
    @given(shapes(ODD), st.fixed_dictionaries(dict.fromkeys("udD", hostile())))
    def test_what_libldap_makes_of_the_originals_text(self, text: str, values: dict[str, bytes]) -> None:
        values = {letter: value.replace(b"\0", b"") for letter, value in values.items()}
        assert filled(text, values) == libldap().filter(written_out(text, values, rb"[*()\\]"))

    @settings(max_examples=1000, deadline=None)
    @given(shapes(tuple(piece for piece in ODD if "%" not in piece)), st.data())
    def test_what_libldap_makes_of_a_text_with_a_fault(self, text: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 2))
        text = text[:start] + data.draw(st.text("()=*&|!<>~:a2\\-.;é", max_size=2)) + text[end:]
        assume("::" not in text)  # for libldap an empty matching rule is none
        of_libldap = libldap().filter(written_out(text, {}, b""))
        # Only blanks around a name, or behind the last parenthesis, are no fault here.
        if of_libldap or not re.search(r"[ \t]", text):
            assert filled(text, {}) == of_libldap

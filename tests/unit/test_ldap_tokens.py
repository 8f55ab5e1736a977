"""Tokens as the reference has them, each expansion seen in what the real saslauthd sent."""

import functools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.core.identity import Identity
from pysaslauthd.mechanisms.ldap.tokens import (
    LETTERS,
    DnTemplate,
    Template,
    UnfitValueError,
    escape_dn,
    values_of,
)
from support.libldap import LibLdap


def values(
    login: bytes, realm: bytes = b"", default: bytes = b"", *, domain_falls_back: bool = False
) -> dict[str, bytes]:
    return values_of(
        Identity(login, b"imap", realm, None), default_realm=default, domain_falls_back=domain_falls_back
    )


def expanded(text: str, login: bytes, realm: bytes = b"", default: bytes = b"") -> bytes:
    return Template.parse(text).expand(values(login, realm, default))


class TestValues:
    @pytest.mark.parametrize(
        ("text", "login", "realm", "result"),
        [
            ("%u", b"joe@sub.dom.tld", b"r1.r2", b"joe@sub.dom.tld"),
            ("%U/%d", b"joe@sub.dom.tld", b"r1.r2", b"joe/sub.dom.tld"),
            ("%1/%2/%3/%4/%9", b"joe@sub.dom.tld", b"r1.r2", b"tld/dom/sub//"),
            ("%1/%2/%3/%d", b"joe", b"r1.r2", b"r2/r1//"),
            ("%U%R", b"joe", b"r1.r2", b"joe@r1.r2"),
            ("%U%R", b"joe", b"", b"joe"),
            ("%u/%U/%d/%1/%2", b"joe@", b"r1.r2", b"joe@/joe//r2/r1"),
            ("%U/%d/%1/%2", b"joe@x@y.z", b"", b"joe/x@y.z/z/x@y"),
            ("%1/%2/%3", b"joe@a..b", b"", b"/b/a"),
            ("%1/%2/%3/%4/%5", b"joe@.a..b.", b"", b"///b/a"),
            ("%1/%2", b"joe@..", b"r1.r2", b"/"),
            ("%9/%8/%1", b"joe@a.b.c.d.e.f.g.h.i.j", b"", b"b/c/j"),
            ("%U/%d/%1", b"@dom.tld", b"", b"/dom.tld/tld"),
            ("%s/%r/%R", b"joe", b"", b"imap//"),
            ("%r/%R/%d/%1", b"joe@x.y", b"r", b"r/@r/x.y/y"),
            ("%D", b"joe", b"r", b""),
        ],
    )
    def test_are_the_originals(self, text: str, login: bytes, realm: bytes, result: bytes) -> None:
        assert expanded(text, login, realm) == result

    def test_of_the_realm_are_the_default_realms_where_there_is_none(self) -> None:
        assert expanded("%r/%R/%1/%2/%d", b"joe", b"", b"d.f") == b"d.f/@d.f/f/d/"
        assert expanded("%r/%R/%1/%2/%d", b"joe", b"r", b"d.f") == b"r/@r/r//"

    def test_of_the_domain_are_the_realms_only_when_asked(self) -> None:
        assert values(b"joe", b"r.s", domain_falls_back=True)["d"] == b"r.s"
        assert values(b"joe@", b"", b"d.f", domain_falls_back=True)["d"] == b"d.f"
        assert values(b"joe@x", b"r.s", b"d.f", domain_falls_back=True)["d"] == b"x"
        assert values(b"joe", b"r.s", b"d.f")["d"] == b""

    def test_are_no_more_than_there_are_tokens(self) -> None:
        assert set(values(b"joe@" + b"a." * 2000)) <= LETTERS

    @given(st.binary(), st.binary(), st.binary())
    def test_are_never_read_for_tokens(self, login: bytes, realm: bytes, default: bytes) -> None:
        assert expanded("%u", login, realm, default) == login
        assert expanded("%r%%", login, realm, default) == (realm or default) + b"%"


class TestTemplates:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", ()),
            ("ou=people", (b"ou=people",)),
            ("(uid=%u)", (b"(uid=", "u", b")")),
            ("%u%U%D", ("u", "U", "D")),
            ("100%%", (b"100%",)),
            ("%%u", (b"%u",)),
            ("%%%u", (b"%", "u")),
            ("a%xb%0c%\nd", (b"abcd",)),
            ("ab%", (b"ab",)),
            ("%u%", ("u",)),
            ("%", ()),
            (r"\25u", (rb"\25u",)),
            ("ü%éx\udcff", b"\xc3\xbcx\xff"),
        ],
    )
    def test_are_literals_and_letters(self, text: str, parts: tuple[bytes | str, ...] | bytes) -> None:
        assert Template.parse(text).parts == (parts if isinstance(parts, tuple) else (parts,))

    def test_know_their_tokens(self) -> None:
        assert Template.parse("%u,%1,%%,%x,%D,%u").letters == {"u", "1", "D"}

    def test_escape_values_and_nothing_else(self) -> None:
        template = Template.parse("x%u%Dx")
        assert template.expand({"u": b"xy", "D": b"yx"}, lambda value: value.upper()) == b"xXYYXx"


def unescaped(dn: bytes) -> bytes:
    """What RFC 4514 says that a value means."""
    pair = re.compile(rb'\\(?:([0-9a-fA-F]{2})|([ ,+"\\<>;=#]))')
    assert not re.search(rb'[,+"\\<>;\x00]', pair.sub(b"", dn))
    return pair.sub(lambda match: match[2] or bytes.fromhex(match[1].decode()), dn)


@functools.cache
def libldap() -> LibLdap:
    return LibLdap()


ANY_VALUE = st.binary() | st.text().map(str.encode) | st.text(' ,+"\\<>;=#\0\n%aü').map(str.encode)


class TestEscapedForADn:
    @pytest.mark.parametrize(
        ("value", "escaped"),
        [
            (b"joe", b"joe"),
            (b"x,ou=other", rb"x\,ou\=other"),
            (b"#a#", rb"\#a\#"),
            (b'+"\\<>;', rb"\+\"\\\<\>\;"),
            (b" a b ", rb"\ a b\ "),
            (b" ", rb"\ "),
            (b"\0", rb"\00"),
            (b"\ta\n", rb"\09a\0a"),
            ("Zoë".encode(), "Zoë".encode()),
            (b"Zo\xeb", rb"Zo\eb"),
            (b"\xc3\xab\xeb", rb"\c3\ab\eb"),
            (b"", b""),
        ],
    )
    def test_is_rfc_4514(self, value: bytes, escaped: bytes) -> None:
        assert escape_dn(value) == escaped

    @given(ANY_VALUE)
    def test_is_the_value_again_when_read(self, value: bytes) -> None:
        escaped = escape_dn(value)
        assert unescaped(escaped) == value
        assert escaped.isascii() or escaped.decode()
        assert not escaped.startswith((b" ", b"#"))
        assert not re.search(rb"(?<!\\) \Z", escaped)

    @given(ANY_VALUE.filter(bool).filter(lambda value: b"\0" not in value))
    def test_is_all_of_its_part_and_no_more_for_libldap(self, value: bytes) -> None:
        for text, before in (("uid=%u,dc=x", b""), ("uid=a%u,dc=x", b"a")):
            parts = libldap().dn(DnTemplate.parse(text).fill({"u": value}))
            assert parts == [(b"uid", before + value), (b"dc", b"x")]


class TestDns:
    @pytest.mark.parametrize(
        ("text", "given", "dn"),
        [
            ("uid=%u,dc=x", {"u": b"a,b"}, rb"uid=a\,b,dc=x"),
            ("ou=%1+l=%2", {"1": b"a+b", "2": b""}, rb"ou=a\+b+l="),
            ("cn=x,%D", {"D": b"uid=joe,dc=x"}, b"cn=x,uid=joe,dc=x"),
            ("%D", {"D": b"uid=joe,dc=x"}, b"uid=joe,dc=x"),
            ("dc=x", {"u": b"a=b"}, b"dc=x"),
            (r"cn=a\\%u", {"u": b",b"}, rb"cn=a\\\,b"),
            ("%u@example.com", {"u": b"joe, #1"}, b"joe, #1@example.com"),
            (r"EXAMPLE\%u", {"u": b"joe"}, rb"EXAMPLE\joe"),
            ("%u", {"u": b"joe@example.com"}, b"joe@example.com"),
            ("%u", {}, b""),
        ],
    )
    def test_hold_values_escaped_where_they_are_dns(
        self, text: str, given: dict[str, bytes], dn: bytes
    ) -> None:
        assert DnTemplate.parse(text).fill(given) == dn

    @pytest.mark.parametrize("text", ["%u@example.com", r"EXAMPLE\%u", "%u", "%D%u"])
    def test_cannot_be_made_where_the_file_has_none(self, text: str) -> None:
        with pytest.raises(UnfitValueError, match=r"^%u holds a '='") as caught:
            DnTemplate.parse(text).fill({"u": b"cn=admin,dc=s3cr3t", "D": b"uid=joe"})
        assert "s3cr3t" not in str(caught.value)

    @pytest.mark.parametrize("text", [r"cn=a\%u,dc=x", r"cn=\\\%u", r"%U\%u,dc=x", "cn=a\\"])
    def test_with_a_backslash_that_would_unescape_a_value_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="backslash before a token"):
            DnTemplate.parse(text)

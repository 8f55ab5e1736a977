r"""The administrator's filter, from text to a tree of ``filters``, by ldap3's parser.

That parser works on text, and the tokens must not: ``(cn=%u)`` has one hole whatever the login is,
and ``\25u`` is a percent sign and a ``u``. So the parser sees markers in place of tokens, words
with a nonce, and what it makes of the whole is searched for them.

ldap3 differs from libldap, which the original uses, in what it takes for a filter: it drops blanks
at the ends of a value and what is empty in ``a**b``, lets through escapes that are none, two parts
below ``!`` and any name of an attribute, and knows no ``(&)``. All that is as in libldap here.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation import search

from pysaslauthd.mechanisms.ldap import filters
from pysaslauthd.mechanisms.ldap.filters import Filter
from pysaslauthd.mechanisms.ldap.tokens import Template

DEEPEST = 50
"""Parentheses in each other; a bound for what goes through a filter by calling itself."""

_NOT_HEXADECIMAL = "ghijklmnopqrstuvwxyz"  # a marker behind a backslash is no escape
_CODES = dict(zip("uUdsrRD123456789", _NOT_HEXADECIMAL, strict=False))
_LETTERS = {code: letter for letter, code in _CODES.items()}

_TO_REWRITE = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|([()*\\]))?|[^\t\n -~]")
_ESCAPE = re.compile(rb"\\([0-9a-f]{2})")
_ASSERTION = re.compile(r"(\([^()=]*=)([^()]*)\)")
_EMPTY_AND = re.compile(r"\([ \t\n]*&[ \t\n]*\)")
_EMPTY_OR = re.compile(r"\([ \t\n]*\|[ \t\n]*\)")
_PART_OF_A_NAME = re.compile(r"[A-Za-z0-9.;-]*")
_EXAMPLES = "a filter looks like (uid=%u) or (&(objectClass=person)(uid=%u))"


def parse_filter(text: str) -> Filter:
    """The filter that ``text`` is, with its tokens as holes.

    The parentheses around a single comparison may be missing, as in the original.

    :raises ValueError: ``text`` is no filter; the message says why.
    """
    marks = _Marks.not_in(text)
    marked = marks.put(text).lstrip()
    if marked.startswith(("&", "|", "!")):
        raise ValueError(f"parentheses are missing around the whole; {_EXAMPLES}")
    if not marked.startswith("("):
        marked = f"({marked})"
    _check_parentheses(marked)
    marked = _ASSERTION.sub(_keep_blanks, marked)
    if "**" in marked:
        raise ValueError("there is nothing between two asterisks")
    marked = _EMPTY_AND.sub(f"({marks.empty_and}=*)", marked)
    marked = _EMPTY_OR.sub(f"({marks.empty_or}=*)", marked)
    try:
        root = search.parse_filter(marked, None, False, False, None, False)
    except LDAPExceptionError as error:
        raise ValueError(f"{error}; {_EXAMPLES}") from None
    return _tree(root.elements[0], marks)


class _Marks(NamedTuple):
    """What stands for tokens in a text given to ldap3: ``nonce`` and a letter for the token's."""

    nonce: str

    @classmethod
    def not_in(cls, text: str) -> "_Marks":
        while (nonce := "".join(secrets.choice(_NOT_HEXADECIMAL) for _ in range(16))) in text:
            pass
        return cls(nonce)

    def put(self, text: str) -> str:
        """``text`` with marks, and else in printable ASCII, each escape as backslash and two digits."""
        return "".join(
            self.nonce + _CODES[part] if isinstance(part, str) else _TO_REWRITE.sub(_rewritten, part).decode()
            for part in Template.parse(text).parts
        )

    @property
    def empty_and(self) -> str:
        """Stands for an ``&`` with nothing behind it, as if it were an attribute."""
        return self.nonce + "y"

    @property
    def empty_or(self) -> str:
        """The same for ``|``."""
        return self.nonce + "z"

    def template(self, marked: bytes) -> Template:
        """The template that a value of the parser's is."""
        return Template(tuple(self._parts(marked)))

    def _parts(self, marked: bytes) -> Iterator[bytes | str]:
        literal, *rest = re.split(self.nonce.encode() + b"(.)", marked)
        for code, behind in zip(rest[::2], rest[1::2], strict=True):
            if literal:
                yield _unescaped(literal)
            yield _LETTERS[code.decode()]
            literal = behind
        if literal:
            yield _unescaped(literal)


def _rewritten(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return match[0].lower()
    character = match[2] or match[0]
    if character == b"\\" and not match[2]:
        raise ValueError(r"a backslash without two hexadecimal digits; a backslash itself is \5c")
    return b"\\%02x" % ord(character)


def _unescaped(literal: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), literal)


def _keep_blanks(match: re.Match[str]) -> str:
    return match[1] + re.sub("[ \t\n]", lambda blank: rf"\{ord(blank[0]):02x}", match[2]) + ")"


def _check_parentheses(marked: str) -> None:
    depth = 0
    for character in marked:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} parentheses in each other")
    if depth:
        raise ValueError("the parentheses do not match")


_ASSERTIONS = {
    search.MATCH_EQUAL: filters.Equality,
    search.MATCH_GREATER_OR_EQUAL: filters.GreaterOrEqual,
    search.MATCH_LESS_OR_EQUAL: filters.LessOrEqual,
    search.MATCH_APPROX: filters.Approx,
}


def _tree(node: search.FilterNode, marks: _Marks) -> Filter:
    if node.tag in {search.AND, search.OR, search.NOT}:
        return _combination(node.tag, tuple(_tree(element, marks) for element in node.elements))
    if node.tag == search.MATCH_PRESENT:
        return _presence(node.assertion["attr"], marks)
    if node.tag == search.MATCH_SUBSTRING:
        return _substrings(node.assertion, marks)
    if b"*" in node.assertion["value"]:
        raise ValueError(r"an asterisk means something only behind '='; as a character it is \2a")
    if node.tag == search.MATCH_EXTENSIBLE:
        return _extensible(node.assertion, marks)
    value = marks.template(node.assertion["value"])
    return _ASSERTIONS[node.tag](_name(node.assertion["attr"], marks), value)


def _combination(tag: int, parts: tuple[Filter, ...]) -> Filter:
    if tag == search.AND:
        return filters.And(parts)
    if tag == search.OR:
        return filters.Or(parts)
    if len(parts) != 1:
        raise ValueError(f"'!' with {len(parts)} parts behind it, and it takes one")
    return filters.Not(parts[0])


def _presence(attribute: str, marks: _Marks) -> Filter:
    if attribute == marks.empty_and:
        return filters.And(())
    if attribute == marks.empty_or:
        return filters.Or(())
    return filters.Present(_name(attribute, marks))


def _substrings(assertion: dict[str, Any], marks: _Marks) -> Filter:
    initial, final = assertion.get("initial"), assertion.get("final")
    return filters.Substrings(
        _name(assertion["attr"], marks),
        marks.template(initial) if initial else None,
        tuple(marks.template(piece) for piece in assertion.get("any", ())),
        marks.template(final) if final else None,
    )


def _extensible(assertion: dict[str, Any], marks: _Marks) -> Filter:
    attribute, rule = assertion["attr"], assertion["matchingRule"]
    return filters.Extensible(
        _name(attribute, marks) if attribute else None,
        _rule(rule, marks) if rule else None,
        marks.template(assertion["value"]),
        assertion["dnAttributes"],
    )


def _name(text: str, marks: _Marks) -> Template:
    name = marks.template(text.encode())
    if not _PART_OF_A_NAME.fullmatch(text) or not (name.letters or filters.is_description(text.encode())):
        raise ValueError("the name of an attribute is missing, or has characters that no name has")
    return name


def _rule(text: str, marks: _Marks) -> bytes:
    name = _name(text, marks)
    if name.letters or ";" in text:
        raise ValueError("a matching rule is a name or a number, without tokens and options")
    return text.encode()

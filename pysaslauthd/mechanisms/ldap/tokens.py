"""The tokens of ``saslauthd.conf`` (``%u``, ``%d``, ...), and how their values go into DNs. No I/O.

A text of the file is parsed once into a :class:`Template` or :class:`DnTemplate` and filled for each
login. In a filter the values are octets of their own, so nothing is escaped there; see ``filters``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Self

from pysaslauthd.core.identity import Identity

LETTERS = frozenset("uUdsrRD123456789")
"""What may stand behind ``%``, besides another one. ``D`` is the user's DN, which only groups know."""

MOST_LABELS = 9

_TOKEN = re.compile("%(.?)", re.DOTALL)
_SPECIAL = re.compile(rb'[,+"\\<>;=#]|\A | \Z|[\x00-\x1f\x7f]')
_SPECIAL_OR_HIGH = re.compile(_SPECIAL.pattern + rb"|[\x80-\xff]")
_ODD_BACKSLASHES = re.compile(rb"(?<!\\)(\\\\)*\\\Z")


class UnfitValueError(ValueError):
    """What came with this login cannot stand where the template has it: the login cannot be right.

    The message names the token and not its value.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """Text with tokens. ``parts`` are octets as they are, and the letters of tokens."""

    parts: tuple[bytes | str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The template that ``text`` is; ``%%`` is a percent sign.

        As in the original a token that does not exist (``%x``, ``%0``) is removed, both characters
        of it. So is a single ``%`` at the end, where the original adds the text before it again.
        Bytes of the file that are not UTF-8 are expected as lone surrogates ("surrogateescape").
        """
        parts: list[bytes | str] = []
        literal = ""
        between, *rest = _TOKEN.split(text)
        for letter, behind in zip(rest[::2], rest[1::2], strict=True):
            literal += between + ("%" if letter == "%" else "")
            if letter in LETTERS:
                parts += [_octets(literal)] if literal else []
                parts.append(letter)
                literal = ""
            between = behind
        literal += between
        parts += [_octets(literal)] if literal else []
        return cls(tuple(parts))

    @property
    def letters(self) -> frozenset[str]:
        """The tokens that occur."""
        return frozenset(part for part in self.parts if isinstance(part, str))

    def expand(
        self, values: Mapping[str, bytes], escape: Callable[[bytes], bytes] = lambda value: value
    ) -> bytes:
        """The text with ``values``, each through ``escape``, in place of the tokens. None is empty."""
        return b"".join(
            [part if isinstance(part, bytes) else escape(values.get(part, b"")) for part in self.parts]
        )


@dataclasses.dataclass(frozen=True, slots=True)
class DnTemplate:
    r"""A template of a DN, or of a name in the server's own form.

    A template without ``=`` of its own is no DN: Active Directory takes ``%u@example.com`` and
    ``EXAMPLE\%u`` in place of one. There a value goes in as it is, as there is nothing to escape it
    from; but not with a ``=``, for then the whole might be a DN, and one that the client made.
    """

    template: Template
    is_dn: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        r"""The template that ``text`` is.

        :raises ValueError: a DN with a single backslash before a token, where ``cn=a\%u`` would take
            the escape of the value's first character away, or at the end.
        """
        template = Template.parse(text)
        is_dn = any(isinstance(part, bytes) and b"=" in part for part in template.parts)
        if is_dn and any(
            isinstance(part, bytes) and _ODD_BACKSLASHES.search(part) for part in template.parts
        ):
            raise ValueError(
                "a backslash before a token or at the end; one of the DN itself is written twice"
            )
        return cls(template, is_dn)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The DN for ``values``. Each is escaped, but for the user's own DN (``%D``), which is one.

        :raises UnfitValueError: a value would make a DN of what is none.
        """
        filled = {letter: values.get(letter, b"") for letter in self.template.letters}
        for letter, value in filled.items():
            if letter == "D":
                continue
            if self.is_dn:
                filled[letter] = escape_dn(value)
            elif b"=" in value:
                raise UnfitValueError(f"%{letter} holds a '=': this login cannot be part of a DN")
        return self.template.expand(filled)


def values_of(identity: Identity, default_realm: bytes, *, domain_falls_back: bool) -> dict[str, bytes]:
    """What each token but ``%D`` stands for; one that is not there stands for nothing.

    ``%d`` is the login behind its first ``@``. With ``domain_falls_back`` it is the realm, or the
    default realm, where the login has no domain: saslauthd up to 2.1.26 did that, its manual still
    says so, and later ones do not.

    ``%1`` to ``%9`` are labels of the domain from the right, or of the realm. They are counted by
    dots, but empty labels have no place, so the others move to the left: of ``joe@a..b``, ``%1`` is
    empty, ``%2`` is ``b`` and ``%3`` is ``a``. This is the original's, and kept: no domain that
    exists has empty labels, and whichever way they are counted a client may write any label anywhere.
    """
    login = identity.login
    user, _, domain = login.partition(b"@")
    realm = identity.realm or default_realm
    values = {
        "u": login,
        "U": user,
        "d": domain or (realm if domain_falls_back else b""),
        "s": identity.service,
        "r": realm,
        "R": b"@" + realm if realm else b"",
    }
    labels = (domain or realm).split(b".")
    count = len(labels)
    for index, label in enumerate(filter(None, labels)):
        if count - index <= MOST_LABELS:
            values[str(count - index)] = label
    return values


def escape_filter(value: bytes) -> bytes:
    r"""``value`` as it stands in the text of a filter (RFC 4515): ``*()\\`` and NUL as a backslash and two digits."""
    return re.sub(rb"[*()\\\0]", lambda match: b"\\%02x" % ord(match[0]), value)


def escape_dn(value: bytes) -> bytes:
    r"""``value`` as it stands in a DN (RFC 4514): ``,+"\<>;=#`` behind a backslash, others as ``\0a``.

    A blank at an end is always escaped, as the value may be all of its part of the DN, and so is a
    control character, as OpenLDAP takes some for blanks. Bytes from 0x80 stay if they are UTF-8.
    """
    pattern = _SPECIAL
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError:
            pattern = _SPECIAL_OR_HIGH
    return pattern.sub(_escaped, value)


def _escaped(match: re.Match[bytes]) -> bytes:
    character = match[0]
    return b"\\" + character if b" " <= character < b"\x7f" else b"\\%02x" % ord(character)


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogateescape")

"""Search filters as trees with holes, which become BER for each login. No I/O.

The administrator's filter is parsed once (``filter_parser``); a login's values are put into the
tree as octets. A value is never text of a filter, so there is nothing in it that could act as one.
What a filled hole means is what the original's text would have meant, see :class:`Substrings`.
"""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pysaslauthd.mechanisms.ldap import ber
from pysaslauthd.mechanisms.ldap.tokens import Template, UnfitValueError

_AND, _OR, _NOT, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA0, 0xA1, 0xA2, 0xA4, 0x87, 0xA9
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE = 0x81, 0x82, 0x83
_DN_ATTRIBUTES = b"\x84\x01\xff"

_DESCRIPTION = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)(?:;[A-Za-z0-9-]+)*")


class Filter(ABC):
    """A filter, or a part of one."""

    __slots__ = ()

    @abstractmethod
    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The filter for these values of the tokens, as BER.

        :raises UnfitValueError: with them it is no filter, as the original's text would be none.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class And(Filter):
    """All of ``parts``; always true without any."""

    parts: tuple[Filter, ...]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        return ber.element(_AND, b"".join([part.fill(values) for part in self.parts]))


@dataclasses.dataclass(frozen=True, slots=True)
class Or(Filter):
    """One of ``parts`` at least; never true without any."""

    parts: tuple[Filter, ...]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        return ber.element(_OR, b"".join([part.fill(values) for part in self.parts]))


@dataclasses.dataclass(frozen=True, slots=True)
class Not(Filter):
    """The contrary of ``part``."""

    part: Filter

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        return ber.element(_NOT, self.part.fill(values))


@dataclasses.dataclass(frozen=True, slots=True)
class Assertion(Filter):
    """An attribute compared with a value, which may be empty."""

    attribute: Template
    value: Template
    tag: ClassVar[int]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        value = ber.element(ber.OCTETS, self.value.expand(values))
        return ber.element(self.tag, _description(ber.OCTETS, self.attribute, values) + value)


@dataclasses.dataclass(frozen=True, slots=True)
class Equality(Assertion):
    """``(uid=joe)``."""

    tag: ClassVar[int] = 0xA3


@dataclasses.dataclass(frozen=True, slots=True)
class GreaterOrEqual(Assertion):
    """``(uidNumber>=1000)``."""

    tag: ClassVar[int] = 0xA5


@dataclasses.dataclass(frozen=True, slots=True)
class LessOrEqual(Assertion):
    """``(uidNumber<=1000)``."""

    tag: ClassVar[int] = 0xA6


@dataclasses.dataclass(frozen=True, slots=True)
class Approx(Assertion):
    """``(cn~=jo)``."""

    tag: ClassVar[int] = 0xA8


@dataclasses.dataclass(frozen=True, slots=True)
class Present(Filter):
    """``(mail=*)``."""

    attribute: Template

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        return _description(_PRESENT, self.attribute, values)


@dataclasses.dataclass(frozen=True, slots=True)
class Substrings(Filter):
    """``(mail=INITIAL*ANY*ANY*FINAL)``; initial and final may be absent, which is None.

    A filled component that is empty is as if it had not been written, so ``(mail=%u*)`` becomes
    ``(mail=*)``. But between two asterisks there has to be something: ``(mail=**)`` is no filter,
    neither for the original nor here, where it would be one that everybody fits.
    """

    attribute: Template
    initial: Template | None
    any: tuple[Template, ...]
    final: Template | None

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        initial = self.initial.expand(values) if self.initial else b""
        between = [template.expand(values) for template in self.any]
        final = self.final.expand(values) if self.final else b""
        if not all(between):
            raise UnfitValueError("nothing between two asterisks of a filter")
        pieces = [ber.element(_INITIAL, initial)] if initial else []
        pieces += [ber.element(_ANY, piece) for piece in between]
        pieces += [ber.element(_FINAL, final)] if final else []
        if not pieces:
            return _description(_PRESENT, self.attribute, values)
        attribute = _description(ber.OCTETS, self.attribute, values)
        return ber.element(_SUBSTRINGS, attribute + ber.element(ber.SEQUENCE, b"".join(pieces)))


@dataclasses.dataclass(frozen=True, slots=True)
class Extensible(Filter):
    """``(member:dn:1.2.840.113556.1.4.1941:=VALUE)``; ``attribute`` or ``rule`` may be absent, which is None."""

    attribute: Template | None
    rule: bytes | None
    value: Template
    dn_attributes: bool

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """See :class:`Filter`."""
        rule = ber.element(_RULE, self.rule) if self.rule else b""
        attribute = _description(_TYPE, self.attribute, values) if self.attribute else b""
        value = ber.element(_VALUE, self.value.expand(values))
        # What is false is left out, and true is 0xff: RFC 4511 section 5.1.
        return ber.element(
            _EXTENSIBLE, rule + attribute + value + (_DN_ATTRIBUTES if self.dn_attributes else b"")
        )


def is_description(name: bytes) -> bool:
    """Whether ``name`` is the name or the number of an attribute, with its options (``cn;lang-de``)."""
    return _DESCRIPTION.fullmatch(name) is not None


def _description(tag: int, name: Template, values: Mapping[str, bytes]) -> bytes:
    filled = name.expand(values)
    # A name without tokens was looked at when the filter was parsed.
    if name.letters and not is_description(filled):
        raise UnfitValueError("a token in the place of an attribute's name, and its value is none")
    return ber.element(tag, filled)

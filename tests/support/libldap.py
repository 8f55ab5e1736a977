"""The C library by which the original speaks LDAP: what it makes of a filter's text, and of a DN."""

import ctypes
import itertools
from collections.abc import Iterator
from typing import Any

from support.packages import cannot_run

_NAMES = (("libldap-2.5.so.0", "liblber-2.5.so.0"), ("libldap.so.2", "liblber.so.2"))
_LDAPV3_DN = 0x10


class _BerValue(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ulong), ("data", ctypes.c_void_p))

    def octets(self) -> bytes:
        return ctypes.string_at(self.data, self.length) if self.data else b""


class _Ava(ctypes.Structure):
    _fields_ = (("attribute", _BerValue), ("value", _BerValue))


class LibLdap:
    """Two functions of it; a test that has no such library is skipped."""

    def __init__(self) -> None:
        for ldap, lber in _NAMES:
            try:
                self._ldap, self._lber = ctypes.CDLL(ldap), ctypes.CDLL(lber)
            except OSError:
                continue
            self._lber.ber_alloc_t.restype = ctypes.c_void_p
            return
        cannot_run("needs libldap, which the Debian package sasl2-bin brings")

    def filter(self, text: bytes) -> bytes | None:
        """The BER that it would send for ``text``; None if it calls that no filter."""
        ber = ctypes.c_void_p(self._lber.ber_alloc_t(1))
        value = _BerValue()
        try:
            if self._ldap.ldap_pvt_put_filter(ber, text) == -1:
                return None
            assert self._lber.ber_flatten2(ber, ctypes.byref(value), 0) == 0
            return value.octets()
        finally:
            self._lber.ber_free(ber, 1)

    def dn(self, text: bytes) -> list[tuple[bytes, bytes]] | None:
        """Attribute and value of each part of a DN; None if it is none."""
        dn = ctypes.POINTER(ctypes.POINTER(ctypes.POINTER(_Ava)))()
        if self._ldap.ldap_str2dn(text, ctypes.byref(dn), _LDAPV3_DN) != 0:
            return None
        try:
            return [
                (ava.contents.attribute.octets(), ava.contents.value.octets())
                for rdn in _until_null(dn)
                for ava in _until_null(rdn)
            ]
        finally:
            self._ldap.ldap_dnfree(dn)


def _until_null(pointers: Any) -> Iterator[Any]:
    for index in itertools.count():
        if not pointers[index]:
            return
        yield pointers[index]

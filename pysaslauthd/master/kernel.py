"""The system calls that Python does not have: prctl and capset."""

import ctypes
import enum
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


class Capability(enum.IntEnum):
    """Numbers from ``linux/capability.h``."""

    DAC_READ_SEARCH = 2


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def has_capability(capability: Capability) -> bool:
    """Whether this process is permitted it."""
    sets = _capabilities()
    return bool(sets[0].permitted & 1 << capability)


def set_capabilities(*kept: Capability) -> None:
    """Keep these, permitted and in effect, and give all others up for good.

    :raises OSError: one of them was not there to keep.
    """
    mask = sum(1 << capability for capability in kept)
    sets = (_CapabilitySet * 2)()
    sets[0].effective = sets[0].permitted = mask
    _put_capabilities(sets)


def suspend_capabilities() -> None:
    """Put none of the permitted capabilities into effect, but keep them permitted."""
    sets = _capabilities()
    for half in sets:
        half.effective = half.inheritable = 0
    _put_capabilities(sets)


def keep_capabilities() -> None:
    """Let the permitted capabilities outlive the next change of user."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def forbid_dumps() -> None:
    """No core, no debugger of the same user, and ``/proc/PID`` belongs to root."""
    _prctl(_PR_SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """No set-user-id program gives anything to this process or its children any more."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """What a descendant leaves behind becomes our child, and so is found."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Be killed when the parent ends, also when it ended before this call.

    To be called after the last change of user, which clears the wish.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def set_name(name: str) -> None:
    """The name that ``ps`` shows beside the command line; 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer))


def _capabilities() -> "ctypes.Array[_CapabilitySet]":
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    sets = (_CapabilitySet * 2)()
    if _libc.capget(ctypes.byref(header), sets) != 0:
        raise _error("capget")
    return sets


def _put_capabilities(sets: "ctypes.Array[_CapabilitySet]") -> None:
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(ctypes.byref(header), sets) != 0:
        raise _error("capset")


def _prctl(operation: int, argument: int) -> None:
    if _libc.prctl(operation, argument, 0, 0, 0) != 0:
        raise _error("prctl")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")

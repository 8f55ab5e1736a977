"""The verbs between front and master: few, and those to the master of one fixed size.

The master runs as root, so what it can be asked is kept so small that it can be read in a minute:
a verb, a number, a second number. A worker's number counts the workers of one generation; a pid
never crosses this channel. Descriptors cross it in one direction only, from master to front, with
:attr:`ToFront.WORKER`, and so do texts, with :attr:`ToFront.STATE` and :attr:`ToFront.RELOADED`: the
master says them and hears none.
"""

import enum
import struct
from typing import NamedTuple

from pysaslauthd.core.messages import MessageError

_VERB = struct.Struct("!BxHI")

SIZE = _VERB.size
"""Bytes of a verb, in both directions. Behind one to the front there may be a text."""

LARGEST = 4096
"""Bytes of a verb with its text."""


class ToMaster(enum.IntEnum):
    """What the front may ask of the master."""

    READY = 1
    """Logins are answered from now on. ``number`` is the version of the messages."""
    WANT = 2
    """One more worker of pool ``pool``, please."""
    KILL = 3
    """Kill worker ``number``: it outlasted a deadline or broke the protocol."""
    ALIVE = 4
    """The front's loop turns."""
    SERVED = 5
    """The probe was served; see :attr:`ToFront.PROBE`."""
    RELOAD = 6
    """An administrator wants a reload. What became of it is to be told with ``number``."""
    LEVEL = 7
    """An administrator wants lines of another level in the log: ``number`` counts those of :data:`~pysaslauthd.logs.LEVELS`."""


class ToFront(enum.IntEnum):
    """What the master tells the front."""

    WORKER = 1
    """Worker ``number`` of pool ``pool`` was started; its channel comes with this packet."""
    GONE = 2
    """Worker ``number`` ended."""
    DRAIN = 3
    """Take who has connected already, then accept no more; finish what was begun, and leave."""
    REPORT = 4
    """Write the statistics to the log."""
    FORGET = 5
    """Empty the cache: a file has changed that decides what is right."""
    HAND_OVER = 6
    """Accept no more at all, finish what was begun, and leave: who has only connected is the next daemon's."""
    PROBE = 7
    """Serve a client of your own making, and say SERVED when it has gone."""
    STATE = 8
    """You are the front that administrators ask; the text is how the daemon is, as :mod:`~pysaslauthd.core.state` writes it."""
    RELOADED = 9
    """The reload that you asked for with ``number`` is over, and any before it. The text is why it changed nothing, if so."""


class ForMaster(NamedTuple):
    """A verb as the master hears it."""

    verb: ToMaster
    pool: int = 0
    number: int = 0


class ForFront(NamedTuple):
    """A verb as the front hears it."""

    verb: ToFront
    pool: int = 0
    number: int = 0
    text: str = ""


def encode(message: ForMaster | ForFront) -> bytes:
    """The packet of a verb.

    :raises ValueError: its text is too long.
    """
    verb, pool, number, *text = message
    packet = _VERB.pack(verb, pool, number) + "".join(text).encode(errors="replace")
    if len(packet) > LARGEST:
        raise ValueError(f"a verb of {len(packet)} bytes")
    return packet


def decode_for_master(packet: bytes) -> ForMaster:
    """What the front asked.

    :raises MessageError: not a verb.
    """
    try:
        verb, pool, number = _VERB.unpack(packet)
        return ForMaster(ToMaster(verb), pool, number)
    except (struct.error, ValueError):
        raise MessageError(f"no verb: {packet[:SIZE].hex()}") from None


def decode_for_front(packet: bytes) -> ForFront:
    """What the master said.

    :raises MessageError: not a verb.
    """
    try:
        verb, pool, number = _VERB.unpack_from(packet)
        return ForFront(ToFront(verb), pool, number, packet[SIZE:].decode())
    except (struct.error, ValueError):
        raise MessageError(f"no verb: {packet[:SIZE].hex()}") from None

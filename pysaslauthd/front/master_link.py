"""The front's end of the channel to the master."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from pysaslauthd.core import verbs
from pysaslauthd.core.messages import VERSION
from pysaslauthd.core.verbs import ForFront, ForMaster, ToMaster

ALIVE_INTERVAL = 1.0
"""Seconds between two signs of life."""


class MasterLink:
    """Says the verbs to the master and passes on what it says.

    ``heard`` gets each verb and the channel that came with it, or None; ``lost`` is called when the
    master is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        heard: Callable[[ForFront, socket.socket | None], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._heard = heard
        self._lost = lost
        self._outbox: deque[bytes] = deque()
        channel.setblocking(False)
        loop.add_reader(channel.fileno(), self._receive)
        self._sign_of_life()

    def ready(self) -> None:
        """Logins are answered from now on."""
        self._say(ForMaster(ToMaster.READY, number=VERSION))

    def want(self, pool: int) -> None:
        """One more worker of ``pool``, please."""
        self._say(ForMaster(ToMaster.WANT, pool=pool))

    def kill(self, number: int) -> None:
        """End that worker, it no longer does what it should."""
        self._say(ForMaster(ToMaster.KILL, number=number))

    def served(self) -> None:
        """The probe has been served."""
        self._say(ForMaster(ToMaster.SERVED))

    def reload(self, number: int) -> None:
        """Read everything anew, and say what came of it with ``number``."""
        self._say(ForMaster(ToMaster.RELOAD, number=number))

    def log_level(self, number: int) -> None:
        """Log from the level on that has this number among all."""
        self._say(ForMaster(ToMaster.LEVEL, number=number))

    def _sign_of_life(self) -> None:
        if not self._outbox:  # what waits there is a sign as good
            self._say(ForMaster(ToMaster.ALIVE))
        self._loop.call_later(ALIVE_INTERVAL, self._sign_of_life)

    def _say(self, message: ForMaster) -> None:
        # Bounded by what one generation can want and kill, its workers, and by the administrators that ask at a time.
        self._outbox.append(verbs.encode(message))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                self._channel.send(self._outbox[0])
                self._outbox.popleft()
            self._loop.remove_writer(self._channel.fileno())
        except BlockingIOError:
            self._loop.add_writer(self._channel.fileno(), self._flush)
        except OSError:
            self._lost()

    def _receive(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, verbs.LARGEST, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._lost()
            return
        channel = socket.socket(fileno=descriptors[0]) if descriptors else None
        self._heard(verbs.decode_for_front(packet), channel)

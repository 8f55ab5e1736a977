"""The part of systemd, played by a test: what a daemon says to it, and sockets that it hands over."""

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from support.waiting import wait_until

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_BEYOND_THREE = 64  # where a descriptor is out of the way of those that are given their number
_HAND_OVER = Path(__file__).with_name("hand_over.py")


class Message(NamedTuple):
    """A datagram: who sent it, and its lines."""

    pid: int
    values: Mapping[str, str]


class Manager:
    """A ``NOTIFY_SOCKET``, by a path in ``directory`` or, without one, by an abstract name."""

    def __init__(self, directory: Path | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("" if directory is None else str(directory / "notify"))
        name = self.socket.getsockname()
        self.name: str = f"@{name[1:].decode()}" if isinstance(name, bytes) else name
        self.messages: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def command(self, words: Sequence[str], **more: str) -> tuple[str, ...]:
        """``words`` with this manager, and ``more``, in the environment."""
        variables = {"NOTIFY_SOCKET": self.name, **more}
        return ("env", *(f"{name}={value}" for name, value in variables.items()), *words)

    def receive(self) -> list[Message]:
        """All messages so far."""
        try:
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
                pid, _, _ = _CREDENTIALS.unpack(ancillary[0][2])
                lines = dict(line.split("=", 1) for line in data.decode().splitlines())
                self.messages.append(Message(pid, lines))
        except BlockingIOError:
            return self.messages

    def said(self, name: str) -> list[str]:
        """What has been said of ``name``, in order."""
        return [message.values[name] for message in self.receive() if name in message.values]

    def wait(self, name: str, count: int = 1) -> list[str]:
        """What has been said of ``name``, once that is ``count`` values."""
        wait_until(lambda: len(self.said(name)) >= count, f"{count} of {name} in {self.receive()}")
        return self.said(name)

    def wait_status(self, text: str) -> str:
        """The status, once it holds ``text``."""

        def status() -> str:
            found = self.said("STATUS")[-1:]
            return found[0] if found and text in found[0] else ""

        try:
            return wait_until(status, text)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.said('STATUS')}") from None


def handing_over(
    words: Sequence[str], descriptors: Sequence[int], names: str = "", count: str = ""
) -> tuple[str, ...]:
    """``words`` by which these descriptors, which have to be inherited, become 3 and so on, as LISTEN_FDS says."""
    variables = [f"LISTEN_FDS={count or len(descriptors)}", f"LISTEN_FDNAMES={names}"]
    numbers = ",".join(map(str, descriptors))
    return ("env", *variables, sys.executable, "-IS", str(_HAND_OVER), numbers, *words)


def out_of_the_way(descriptor: int) -> int:
    """A copy that can be inherited, of a number that no handed over one has."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD, _BEYOND_THREE)
    os.set_inheritable(copy, True)
    return copy


class Listening:
    """A socket as a socket unit makes it, with a number to inherit it by."""

    def __init__(self, address: str, backlog: int = 1024, kind: int = socket.SOCK_STREAM) -> None:
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(address)
        if kind == socket.SOCK_STREAM:
            self.socket.listen(backlog)
        self.descriptor = out_of_the_way(self.socket.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.close(self.descriptor)

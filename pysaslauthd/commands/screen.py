"""A terminal as a screen that is drawn anew again and again, and given back as it was."""

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterable
from typing import Any, Self

from pysaslauthd.logs import escaped

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""The other screen, without a cursor, empty."""

_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

_SIZE_WITHOUT_ONE = (80, 24)
"""Of a terminal that does not say."""


def is_one() -> bool:
    """Whether standard output is a terminal on which one can draw."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


class Screen:
    """Standard output, from ``with`` to its end. Keys come from standard input, if that is a terminal."""

    def __init__(self) -> None:
        self._keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._attributes: list[Any] | None = None
        self._ours, self._theirs = socket.socketpair()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number, handler in (
            (signal.SIGWINCH, _do_nothing),  # that it came is seen at the other end
            (signal.SIGTSTP, self._suspend),
            (signal.SIGTERM, _leave),
            (signal.SIGHUP, _leave),
        ):
            self._handlers[number] = signal.signal(number, handler)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._give_back()
        self._ours.close()
        self._theirs.close()

    def draw(self, lines: Iterable[str]) -> None:
        """Show as many of ``lines`` as fit, each as far as it fits. Nothing in them can do anything else to a terminal."""
        width, height = _size()
        fitting = (
            escaped(line, delimiters="")[:width] for _, line in zip(range(height), lines, strict=False)
        )
        shown = [line + _REST_OF_LINE for line in fitting]
        self._write(_HOME + "\r\n".join(shown) + _REST_OF_SCREEN)

    def wait(self, seconds: float) -> str:
        """The key that is pressed within so many seconds; "" if none is, or if it is to be drawn anew before that."""
        watched = [self._ours] if self._keyboard is None else [self._ours, self._keyboard]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._ours in ready:
            with contextlib.suppress(BlockingIOError):
                self._ours.recv(4096)
        if self._keyboard is None or self._keyboard not in ready:
            return ""
        keys = os.read(self._keyboard, 1)
        if not keys:
            self._keyboard = None  # the terminal has gone
        return keys.decode(errors="replace")

    def _take(self) -> None:
        if self._keyboard is not None:
            self._attributes = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        self._write(_ENTER)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):  # of a terminal that has gone
            self._write(_LEAVE)
        if self._attributes is not None and self._keyboard is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._attributes)

    def _suspend(self, *_: object) -> None:
        """Ctrl-Z: the shell gets its terminal back until it lets us go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _size() -> tuple[int, int]:
    try:
        width, height = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return _SIZE_WITHOUT_ONE
    return (width, height) if width and height else _SIZE_WITHOUT_ONE


def _do_nothing(*_: object) -> None:
    pass


def _leave(*_: object) -> None:
    raise KeyboardInterrupt

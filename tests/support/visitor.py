"""Somebody of any user and groups, by number, who tries a password; to be called by root."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from support import mux
from support.daemon import LOGIN, PASSWORD


class Visitor(NamedTuple):
    """A process's user, its group and its supplementary groups."""

    user: int
    group: int
    others: Sequence[int] = ()

    def ask(self, path: Path) -> str:
        """``OK``, ``NO``, ``-`` for a close without an answer; or the name of what connecting failed with."""
        return self.do(lambda: _ask(path))

    def do(self, action: Callable[[], str]) -> str:
        """What ``action`` gives when this one does it."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                os.setgroups(self.others)
                os.setresgid(self.group, self.group, self.group)
                os.setresuid(self.user, self.user, self.user)
                os.write(write, action().encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            heard = stream.read()
        os.waitpid(pid, 0)
        return heard


def _ask(path: Path) -> str:
    try:
        return mux.ask(path, LOGIN, PASSWORD)
    except BrokenPipeError:
        return "-"  # closed before all was sent
    except ConnectionResetError:
        return "-"
    except OSError as error:
        return type(error).__name__

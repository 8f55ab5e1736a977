"""Clients that log in without pause, and a count of what they heard."""

import threading
from collections import Counter
from pathlib import Path
from typing import Self

from support import mux
from support.daemon import LOGIN, PASSWORD, WRONG

GONE = "gone"
"""The socket was not there, or refused: no daemon took the login."""


class Load:
    """``clients`` threads, each a closed loop of one right and one wrong login in turn."""

    def __init__(self, path: Path, clients: int) -> None:
        self.heard: Counter[tuple[bytes, str]] = Counter()
        self._path = path
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        """Logins with a right answer, so far."""
        with self._lock:
            return self.heard[PASSWORD, "OK"] + self.heard[WRONG, "NO"]

    @property
    def wrong_verdicts(self) -> int:
        """Wrong passwords that were accepted and right ones that were refused: never any."""
        return self.heard[WRONG, "OK"] + self.heard[PASSWORD, "NO"]

    @property
    def unanswered(self) -> int:
        """Closed without an answer."""
        return self.heard[PASSWORD, "-"] + self.heard[WRONG, "-"]

    def _run(self) -> None:
        while not self._stop.is_set():
            for password in (PASSWORD, WRONG):
                try:
                    verdict = mux.ask(self._path, LOGIN, password)
                except BrokenPipeError:
                    verdict = "-"  # it was taken, and closed before all was sent
                except OSError:
                    verdict = GONE
                with self._lock:
                    self.heard[password, verdict] += 1

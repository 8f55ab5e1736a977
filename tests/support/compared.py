"""What a daemon that compares has counted and told."""

import os
import re
import signal

from support.logged import Logged
from support.waiting import wait_until

_DIFFERENT = "compared and different: "


def counts(daemon: Logged) -> dict[str, int]:
    """How many logins came to each outcome so far; of those that did not come, nothing."""
    start = len(daemon.log)
    os.kill(daemon.pid, signal.SIGUSR1)

    def found() -> list[tuple[str, str]]:
        line = re.search(r":statistics: \[process=front\].*\n", daemon.log[start:])
        return re.findall(r"\[compared_(\w+)=(\d+)\]", line[0]) if line else []

    return {name: int(number) for name, number in wait_until(found, "the front reports") if number != "0"}


def wait_ready(daemon: Logged) -> None:
    """Until there is a worker that compares, and has said so."""
    wait_until(lambda: counts(daemon) == {} and "[process=compare]" in daemon.log, "a worker that compares")


def wait_counts(daemon: Logged, **expected: int) -> None:
    """Until exactly that is counted."""
    last: dict[str, int] = {}

    def is_counted() -> bool:
        last.clear()
        last.update(counts(daemon))
        return last == expected

    try:
        wait_until(is_counted, "the counts are right")
    except TimeoutError:
        raise AssertionError(f"expected {expected}, counted {last}:\n{daemon.log}") from None


def different(daemon: Logged) -> list[str]:
    """The differences that the log tells of, less what all such lines begin with."""
    return [line.partition(_DIFFERENT)[2] for line in daemon.log.splitlines() if _DIFFERENT in line]

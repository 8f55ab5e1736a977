"""``testpysaslauthd``: testsaslauthd's options, output and exit codes, and words for what went wrong."""

import errno
import getopt
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import client
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request

EXIT_USAGE = 1
EXIT_NOT_OK = 255

LETTERS = "u:p:r:s:a:f:R:"
WORDS = ("timeout=", "json")
"""The options, as getopt wants them."""

DEFAULTS = {
    "-r": "",
    "-s": "imap",
    "-f": str(client.DEFAULT_PATH),
    "-R": "1",
    "--timeout": f"{client.DEFAULT_TIMEOUT:g}",
}

_CONNECT_TROUBLE = {
    errno.ENOENT: "no such socket; is the daemon running, with this run path?",
    errno.ECONNREFUSED: "nobody listens: it is no socket, or a killed daemon left it behind",
    errno.EACCES: "permission denied: directory or socket do not let this user in",
}

_USAGE = """\
usage: testpysaslauthd -u username -p password
                       [-r realm] [-s servicename] [-a clientaddr]
                       [-f socket path] [-R repeatnum]
                       [--timeout seconds] [--json]
       -p - reads the password from standard input, up to the first newline"""


class UsageError(Exception):
    """The command line cannot be; the message says why."""


class Order(NamedTuple):
    """What was asked for."""

    request: Request
    path: Path
    repeat: int
    timeout: float
    as_json: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if the last repetition was accepted, 255 if not, 1 after a usage error."""
    try:
        order = _order(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"testpysaslauthd: {error}\n{_USAGE}", file=sys.stderr)
        return EXIT_USAGE
    accepted = False
    for number in range(order.repeat):
        accepted = _try(number, order)
    return 0 if accepted else EXIT_NOT_OK


def _order(arguments: Sequence[str]) -> Order:
    """By getopt, as the original: a password may begin with a dash."""
    try:
        words, _ignored = getopt.gnu_getopt(list(arguments), LETTERS, WORDS)
    except getopt.GetoptError as error:
        raise UsageError(error.msg) from None
    given = DEFAULTS | dict(words)
    if "-u" not in given or "-p" not in given:
        raise UsageError("-u and -p are needed")
    try:
        repeat, timeout = int(given["-R"]), float(given["--timeout"])
    except ValueError:
        raise UsageError("-R takes a whole number, --timeout a number of seconds") from None
    request = Request(
        login=os.fsencode(given["-u"]),
        password=_password(given["-p"]),
        service=os.fsencode(given["-s"]),
        realm=os.fsencode(given["-r"]),
        client_address=os.fsencode(given["-a"]) if "-a" in given else None,
    )
    return Order(request, Path(given["-f"]), repeat, timeout, "--json" in given)


def _password(given: str) -> Secret:
    if given != "-":
        return Secret(os.fsencode(given))
    return Secret(sys.stdin.buffer.readline().removesuffix(b"\n"))


def _try(number: int, order: Order) -> bool:
    started = time.monotonic()
    reply, trouble = None, ""
    try:
        reply = client.ask(order.request, path=order.path, timeout=order.timeout)
    except (OSError, ValueError) as error:
        trouble = _in_words(error, order)
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    accepted = reply is not None and reply.accepted
    if order.as_json:
        result = {
            "number": number,
            "accepted": accepted if reply is not None else None,
            "reply": reply.text.decode(errors="replace") if reply is not None else None,
            "error": trouble or None,
            "milliseconds": milliseconds,
        }
        print(json.dumps(result), flush=True)
    elif reply is not None:
        print(f'{number}: OK "Success."' if accepted else f'{number}: NO "authentication failed"', flush=True)
    else:
        # The bare number is the original's way to say that there was no answer.
        print(f"{number}: ", end="", flush=True)
        print(trouble, file=sys.stderr, flush=True)
    return accepted


def _in_words(error: Exception, order: Order) -> str:
    path = order.path
    match error:
        case client.NoSocketError(errno=number):
            return f"connect() : {path}: {_CONNECT_TROUBLE.get(number or 0, str(error))}"
        case client.NoReplyError():
            return f"{path}: {error.strerror}: the daemon cannot tell now, its log says why"
        case TimeoutError():
            return f"{path}: no answer within {order.timeout:g} s"
        case _:
            return str(error)


if __name__ == "__main__":
    sys.exit(main())

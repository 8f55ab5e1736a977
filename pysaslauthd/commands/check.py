"""``testpysaslauthd``: testsaslauthd's options, output and exit codes, and words for what went wrong."""

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from pysaslauthd import client
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request

EXIT_USAGE = 1
EXIT_NOT_OK = 255

_USAGE = """\
usage: testpysaslauthd -u username -p password
                       [-r realm] [-s servicename] [-a clientaddr]
                       [-f socket path] [-R repeatnum]
                       [--timeout seconds] [--json]
       -p - reads the password from standard input, up to the first newline"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        print(f"testpysaslauthd: {message}", file=sys.stderr)
        print(_USAGE, file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if the last repetition was accepted, 255 if not, 1 after a usage error."""
    given = _parser().parse_args(arguments)
    request = Request(
        login=os.fsencode(given.user),
        password=_password(given.password),
        service=os.fsencode(given.service),
        realm=os.fsencode(given.realm),
        client_address=os.fsencode(given.address) if given.address is not None else None,
    )
    accepted = False
    for number in range(given.repeat):
        accepted = _try(number, request, given)
    return 0 if accepted else EXIT_NOT_OK


def _parser() -> _Parser:
    parser = _Parser(prog="testpysaslauthd", add_help=False, allow_abbrev=False)
    parser.add_argument("-u", "--user", required=True)
    parser.add_argument("-p", "--password", required=True)
    parser.add_argument("-r", "--realm", default="")
    parser.add_argument("-s", "--service", default="imap")
    parser.add_argument("-a", "--address")
    parser.add_argument("-f", "--path", type=Path, default=client.DEFAULT_PATH)
    parser.add_argument("-R", "--repeat", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=client.DEFAULT_TIMEOUT)
    parser.add_argument("--json", action="store_true")
    return parser


def _password(given: str) -> Secret:
    if given != "-":
        return Secret(os.fsencode(given))
    return Secret(sys.stdin.buffer.readline().removesuffix(b"\n"))


def _try(number: int, request: Request, given: argparse.Namespace) -> bool:
    started = time.monotonic()
    reply, trouble = None, ""
    try:
        reply = client.ask(request, path=given.path, timeout=given.timeout)
    except (OSError, ValueError) as error:
        trouble = _in_words(error, given)
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    accepted = reply is not None and reply.accepted
    if given.json:
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


def _in_words(error: Exception, given: argparse.Namespace) -> str:
    path = given.path
    if isinstance(error, client.NoReplyError):
        return f"{path}: {error.strerror}: the daemon cannot tell now, its log says why"
    if isinstance(error, TimeoutError):
        return f"{path}: no answer within {given.timeout:g} s"
    if isinstance(error, OSError):
        return f"connect() : {path}: {_connect_trouble(error)}"
    return str(error)


def _connect_trouble(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "no such socket; is the daemon running, with this run path?"
        case errno.ECONNREFUSED:
            return "nobody listens: not a socket, or one that a killed daemon left behind"
        case errno.EACCES:
            return "permission denied: the directory or the socket does not let this user in"
        case number if number is not None:
            return os.strerror(number)
        case _:
            return str(error)


if __name__ == "__main__":
    sys.exit(main())

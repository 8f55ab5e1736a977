"""``pysaslauthctl explain``: how a login goes, step by step, for a person to read."""

import argparse
import getpass
import os
import sys
from collections.abc import Iterator

from pysaslauthd.commands.control_client import ControlError
from pysaslauthd.core.control import Line, as_text
from pysaslauthd.core.wire import LARGEST_FIELD

TIMEOUT = 600.0
"""Seconds; the daemon has limits of its own for each step, and says so when they are over."""

_ENDS = {
    "accepted": "accepted",
    "refused": "refused",
    "unavailable": "nobody can say",
    "undecided": "nothing speaks against it, as far as can be said without a password",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command."""
    parser.add_argument("login", help="the login, as the mail server sends it")
    parser.add_argument("-r", "--realm", default="", metavar="realm", help="the realm")
    parser.add_argument("-s", "--service", default="", metavar="service", help="the service, such as smtp")
    parser.add_argument("-a", "--address", metavar="address", help="the client's address, as IP;PORT")
    password = parser.add_mutually_exclusive_group()
    password.add_argument(
        "--ask-password",
        action="store_true",
        help="ask for the password, and try it: a wrong one counts towards a lock-out",
    )
    password.add_argument(
        "--password-stdin",
        action="store_true",
        help="the same with the password from standard input, up to the first newline",
    )


def order_of(given: argparse.Namespace) -> Line:
    """What is asked of the daemon.

    :raises ControlError: there is no password where one was to be had.
    """
    order: Line = {"do": "explain"}
    for name in ("login", "realm", "service", "address"):
        value = getattr(given, name)
        if value is not None:
            order[name] = as_text(os.fsencode(value))
    if given.ask_password or given.password_stdin:
        order["password"] = _password(from_terminal=given.ask_password)
    return order


def _password(*, from_terminal: bool) -> str:
    if from_terminal:
        try:
            password = getpass.getpass("password: ").encode(errors="surrogateescape")
        except EOFError:
            password = b""
    else:
        password = sys.stdin.buffer.readline(LARGEST_FIELD + 1).removesuffix(b"\n")
    if not password:
        raise ControlError("expected a password, which is not empty")
    return as_text(password)


def lines(told: Iterator[Line]) -> Iterator[str]:
    """What is printed of what the daemon says."""
    for line in told:
        time = f"{line['ms']:.1f} ms" if "ms" in line else ""
        text = line["text"] if "text" in line else _verdict(line)
        yield f"{line['part']:<8} {time:>11}  {text}"


def _verdict(line: Line) -> str:
    text = _ENDS[line["verdict"]]
    why = [line[name] for name in ("cause", "reason") if name in line]
    if why:
        text += f": {', '.join(why)}"
    return f"{text}; a client gets {line['reply']}" if "reply" in line else text

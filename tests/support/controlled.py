"""``pysaslauthctl``, run as an administrator runs it, and the socket that it asks by."""

import contextlib
import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pysaslauthd.commands import control
from support import mux

COMMAND = (sys.executable, "-m", "pysaslauthd.commands.control")


class Told(NamedTuple):
    """What the command printed, and how it ended."""

    status: int
    out: str
    error: str


def ctl(run_path: Path, *words: str, stdin: str = "") -> Told:
    result = subprocess.run(
        [*COMMAND, "-m", str(run_path), *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Told(result.returncode, result.stdout, result.stderr)


def here(run_path: Path, *words: str, stdin: str = "") -> Told:
    """The same in this process, which costs less, and for who cannot start another; see :class:`Visitor`."""
    given, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin.encode()))
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as error,
        ):
            status = control.main(["-m", str(run_path), *words])
    finally:
        sys.stdin = given
    return Told(status, out.getvalue(), error.getvalue())


def raw(path: Path, data: bytes, *, half_close: bool = False) -> list[dict[str, Any]]:
    """Send ``data`` to a control socket; the lines that come back until its end."""
    return [json.loads(line) for line in mux.exchange(path, data, half_close=half_close).splitlines()]


def order(**words: object) -> bytes:
    return json.dumps(words).encode() + b"\n"


def connect(path: Path, data: bytes = b"") -> socket.socket:
    """A client of the control socket that has said ``data`` and is to be closed."""
    connection = mux.connect(path)
    try:
        if data:
            connection.sendall(data)
    except OSError:
        connection.close()
        raise
    return connection

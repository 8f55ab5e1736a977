"""The clients that others wrote, each asked one login: ``testsaslauthd`` and libsasl itself."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from support.checkpass import EXIT_NO_LIBRARY
from support.packages import cannot_run, need_program

SASL_OK = 0
SASL_FAIL = -1
SASL_BADAUTH = -13
"""From ``sasl.h``: a mail server makes "try again later" of FAIL and "wrong password" of BADAUTH."""

_LIMIT = 60.0
_CHECKPASS = Path(__file__).with_name("checkpass.py")


class Printed(NamedTuple):
    """What a command left on its standard output, and its exit status."""

    text: str
    status: int


class Checked(NamedTuple):
    """The result code of ``sasl_checkpass`` and libsasl's own words on it."""

    code: int
    detail: str


def testsaslauthd(mux: Path, login: bytes, password: bytes, *more: str) -> Printed:
    """Debian's C program; ``more`` are further options of it."""
    program = need_program("testsaslauthd", "sasl2-bin")
    done = subprocess.run(
        [program, "-f", mux, "-u", login, "-p", password, *more],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_LIMIT,
    )
    return Printed(done.stdout.decode(), done.returncode)


testsaslauthd.__test__ = False  # type: ignore[attr-defined]  # by its name, pytest would take it for a test


def write_configuration(directory: Path, application: str, mux: Path) -> None:
    """What libsasl reads for ``application`` when ``SASL_CONF_PATH`` names ``directory``."""
    text = f"pwcheck_method: saslauthd\nsaslauthd_path: {mux}\nmech_list: PLAIN LOGIN\n"
    (directory / f"{application}.conf").write_text(text)


def checkpass(mux: Path, login: bytes, password: bytes, service: str = "smtp") -> Checked:
    """``sasl_checkpass`` of the library that sendmail, Postfix, slapd and Cyrus imapd are linked with."""
    with tempfile.TemporaryDirectory(prefix="psd-") as directory:
        write_configuration(Path(directory), "checkpass", mux)
        done = subprocess.run(
            [sys.executable, "-I", _CHECKPASS, service, login, password],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_LIMIT,
            env={**os.environ, "SASL_CONF_PATH": directory},
        )
    if done.returncode == EXIT_NO_LIBRARY:
        cannot_run("needs libsasl2.so.2, of the Debian package libsasl2-2")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return Checked(**json.loads(done.stdout))

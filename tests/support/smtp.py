"""What a mail program does to log in: the three ways of AUTH, and the MAIL that is refused without."""

import base64
import smtplib
from collections.abc import Callable
from typing import NamedTuple

HOST = "127.0.0.1"
_LIMIT = 60.0


class Codes(NamedTuple):
    """The server's replies to AUTH (0 if there was none) and to MAIL after it."""

    auth: int
    mail: int


def _encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _both(login: bytes, password: bytes) -> bytes:
    # An empty identity to act as, then the one that logs in.
    return b"\0".join((b"", login, password))


def _plain(smtp: smtplib.SMTP, login: bytes, password: bytes) -> int:
    return smtp.docmd("AUTH", "PLAIN " + _encoded(_both(login, password)))[0]


def _plain_in_two_steps(smtp: smtplib.SMTP, login: bytes, password: bytes) -> int:
    return _answer(smtp, "PLAIN", _both(login, password))


def _login(smtp: smtplib.SMTP, login: bytes, password: bytes) -> int:
    return _answer(smtp, "LOGIN", login, password)


def _answer(smtp: smtplib.SMTP, mechanism: str, *answers: bytes) -> int:
    code = smtp.docmd("AUTH", mechanism)[0]
    for answer in answers:
        if code == 334:
            code = smtp.docmd(_encoded(answer))[0]
    return code


WAYS: dict[str, Callable[[smtplib.SMTP, bytes, bytes], int]] = {
    "PLAIN": _plain,
    "PLAIN in two steps": _plain_in_two_steps,
    "LOGIN": _login,
}


def is_up(port: int) -> bool:
    """Whether a server greets there."""
    try:
        with smtplib.SMTP(HOST, port, local_hostname="client.example", timeout=_LIMIT):
            return True
    except OSError:
        return False


def session(
    port: int, way: str = "", login: bytes = b"", password: bytes = b"", *, tls: bool = False
) -> Codes:
    """One connection: AUTH in that way, or not at all, and MAIL; all behind STARTTLS if asked."""
    with smtplib.SMTP(HOST, port, local_hostname="client.example", timeout=_LIMIT) as smtp:
        smtp.ehlo()
        if tls:
            smtp.starttls()
            smtp.ehlo()
        auth = WAYS[way](smtp, login, password) if way else 0
        return Codes(auth, smtp.docmd("MAIL", "FROM:<sender@example.test>")[0])

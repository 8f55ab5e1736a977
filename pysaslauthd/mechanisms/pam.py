"""Mechanism ``pam``: the stack of the service in ``/etc/pam.d``, by python-pam.

Per login ``pam_start``, ``pam_authenticate``, ``pam_acct_mgmt`` and ``pam_end``, as the original:
never a session, never credentials. python-pam is used at its seams: an instance has its own copies
of libpam's functions, so a subclass can go between. That is how this sets PAM_RHOST, takes the
failure delay over, learns which phase failed, and answers every prompt and not only the first.

The failure delay is not slept here. A module asks libpam for it, libpam asks us, and we hand it to
the front, which answers late; the worker is free at once.
"""

import contextlib
import os
import pwd
import re
import syslog
from collections.abc import Iterator
from ctypes import CDLL, CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint, c_void_p, cast, memmove, sizeof
from pathlib import Path
from typing import Any

import pam

# The prototypes of the functions that we go between name these structures.
from pam.__internals import PamConv, PamHandle, PamResponse, conv_func

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.logs import IDENT
from pysaslauthd.mechanisms import pam_stack
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.sealed import SealedFiles

PAM_FAIL_DELAY = 10
"""From ``security/_pam_types.h``; python-pam does not have it."""

MOST_MESSAGES = 32
"""PAM_MAX_NUM_MSG: more prompts in one conversation are a broken module."""

OUR_SIDE = frozenset(
    {
        pam.PAM_ABORT,
        pam.PAM_AUTHINFO_UNAVAIL,
        pam.PAM_AUTHTOK_LOCK_BUSY,
        pam.PAM_BAD_ITEM,
        pam.PAM_BUF_ERR,
        pam.PAM_CRED_INSUFFICIENT,
        pam.PAM_CRED_UNAVAIL,
        pam.PAM_MODULE_UNKNOWN,
        pam.PAM_NO_MODULE_DATA,
        pam.PAM_OPEN_ERR,
        pam.PAM_SERVICE_ERR,
        pam.PAM_SESSION_ERR,
        pam.PAM_SYMBOL_ERR,
        pam.PAM_SYSTEM_ERR,
        pam.PAM_TRY_AGAIN,
    }
)
"""Codes that say nothing about the password: a module is missing, its server down, the memory full."""

_CAUSES = {
    pam.PAM_AUTH_ERR: Cause.WRONG_PASSWORD,
    pam.PAM_USER_UNKNOWN: Cause.UNKNOWN_USER,
}
_UNFIT_TEXT = b"one that is not shown, as it repeats the password"
_SAFE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_LIBRARY = re.compile(r"r-xp .* ((?:/usr)?/lib(?:64)?/\S+\.so\S*)$", re.MULTILINE)
"""A line of ``/proc/PID/maps`` that maps code of a library of the system."""

_NO_PASSWORD = Secret(b"")

_delay_func = CFUNCTYPE(None, c_int, c_uint, c_void_p)


class _Libraries:
    """Keeps loaded, from one login to the next, what modules need.

    libpam loads a stack's modules for each login and unloads them after it, and with them a dozen
    libraries of the system, which was half the cost of a login through pam_unix (with both kept 190
    microseconds, with the libraries 253, with neither 450; one process, MD5-crypt). The libraries,
    such as libselinux, are what any program has loaded that is linked with them. Of modules only
    those are kept that are known to have no state of their own; others are as fresh at each login as in
    the original.
    """

    MODULES = "/security/"
    KEPT_MODULES = ("pam_unix.so", "pam_deny.so", "pam_permit.so")
    """Linux-PAM's own, and in nearly every stack; loaded before the first fork, for all workers at once."""

    LOOKS = 1
    """Logins after which a worker looks for more: a look costs as much as a login, and it serves but 200."""

    def __init__(self) -> None:
        self._looks = 0
        self._known: set[str] = set()
        self._kept: list[CDLL] = []

    def load(self) -> None:
        """Load the modules that are kept, from where this libpam has its modules, and with them what they need."""
        for path in self._loaded():
            home, _, name = path.rpartition("/")
            if name.startswith("libpam.so"):
                for module in self.KEPT_MODULES:
                    self._keep(f"{home}{self.MODULES}{module}")
        self._known = self._loaded()

    def keep(self) -> None:
        """To be called while the modules of a login are loaded."""
        if self._looks < self.LOOKS:
            self._looks += 1
            for path in self._loaded() - self._known:
                self._known.add(path)
                self._keep(path)

    def _keep(self, path: str) -> None:
        # All symbols now: what is left for later is resolved anew in each worker.
        with contextlib.suppress(OSError):
            self._kept.append(CDLL(path, mode=os.RTLD_NOW))

    def _loaded(self) -> set[str]:
        """The system's libraries in this process; no modules."""
        mapped = set(_LIBRARY.findall(Path("/proc/self/maps").read_text()))
        return {path for path in mapped if self.MODULES not in path}


def _load() -> CDLL:
    """Load libpam, once, before the first fork.

    python-pam looks for it by ``ldconfig`` and, failing that, by a compiler on the PATH, which root
    must not run from wherever the caller's PATH leads.
    """
    path = os.environ.get("PATH")
    os.environ["PATH"] = _SAFE_PATH
    try:
        pam.PamAuthenticator()
        library = CDLL("libpam.so.0")
    except (OSError, AttributeError) as error:
        raise ImportError(f"libpam cannot be loaded: {error}") from None
    finally:
        if path is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = path
    library.pam_get_item.argtypes = [PamHandle, c_int, POINTER(c_void_p)]
    return library


_libpam = _load()
_libraries = _Libraries()
_libraries.load()


class _Authenticator(pam.PamAuthenticator):  # type: ignore[misc]  # python-pam has no types
    """A worker's only one, used for one login after another: its callbacks into C cost more than a login's Python.

    Of the last login, ``phase`` is what was entered last, ``delay_ms`` what the modules asked for, and
    ``texts`` what they had to say. ``steps`` takes what comes to pass, where a login is to be explained.
    """

    _steps: Steps | None
    calloc: Any
    pam_start: Any
    pam_authenticate: Any
    pam_acct_mgmt: Any
    pam_end: Any

    def __init__(self) -> None:
        super().__init__()
        self._forget()
        # Kept here, as libpam calls them and holds no reference.
        self._conversation = PamConv(conv_func(self._converse), None)
        self._delay = _delay_func(self._take_delay)
        self._really_start = self.pam_start
        self._really_authenticate = self.pam_authenticate
        self._really_check_account = self.pam_acct_mgmt
        self.pam_start = self._start
        self.pam_authenticate = self._authenticate
        self.pam_acct_mgmt = self._check_account
        self._really_end = self.pam_end
        self.pam_end = self._end

    def check(self, identity: Identity, password: Secret, service: bytes, steps: Steps | None = None) -> bool:
        """Run the stack of ``service``; whether it lets this login in."""
        self._forget()
        self._steps = steps
        self._login, self._password, self._remote_host = identity.login, password, identity.remote_host
        try:
            return bool(self.authenticate(identity.login, password.reveal(), service, resetcreds=False))
        finally:
            self._password = _NO_PASSWORD
            self._steps = None

    def _note(self, call: str, code: int) -> None:
        if self._steps is not None:
            text = self.pam_strerror(self.handle, code) or b""
            self._steps.note(f"{call}: {text.decode(errors='replace')} ({code})")

    def _forget(self) -> None:
        self.phase = "start"
        self.delay_ms = 0
        self.texts: list[bytes] = []
        self._steps = None
        self._login = b""
        self._password = _NO_PASSWORD
        self._remote_host = b""

    def _start(self, service: bytes, login: bytes, _conversation: object, handle: Any) -> int:
        code: int = self._really_start(service, login, byref(self._conversation), handle)
        if code == pam.PAM_SUCCESS:
            self.pam_set_item(self.handle, PAM_FAIL_DELAY, cast(self._delay, c_void_p))
            if self._remote_host:
                self.pam_set_item(self.handle, pam.PAM_RHOST, c_char_p(self._remote_host))
        self._note("pam_start", code)
        return code

    def _authenticate(self, handle: PamHandle, flags: int) -> int:
        self.phase = "auth"
        code: int = self._really_authenticate(handle, flags | pam.PAM_SILENT)
        self._note("pam_authenticate", code)
        return code

    def _check_account(self, handle: PamHandle, flags: int) -> int:
        self.phase = "acct"
        code: int = self._really_check_account(handle, flags | pam.PAM_SILENT)
        self._note("pam_acct_mgmt", code)
        return code

    def _end(self, handle: PamHandle, code: int) -> int:
        _libraries.keep()
        ended: int = self._really_end(handle, code)
        return ended

    def _take_delay(self, code: int, microseconds: int, _data: object) -> None:
        # libpam calls this after a success as well, with the delay that a module would have wanted.
        if code != pam.PAM_SUCCESS:
            self.delay_ms = microseconds // 1000

    def _converse(self, count: int, messages: Any, responses: Any, _data: object) -> int:
        try:
            if not 0 < count <= MOST_MESSAGES:
                return int(pam.PAM_CONV_ERR)
            asked = [(messages[i].contents.msg_style, messages[i].contents.msg or b"") for i in range(count)]
            answers = [self._answer_to(style, text) for style, text in asked]
            responses[0] = self._allocated(answers)
        except Exception:  # noqa: BLE001  (nothing may go up through libpam's C frames)
            return int(pam.PAM_CONV_ERR)
        return int(pam.PAM_SUCCESS)

    def _answer_to(self, style: int, text: bytes) -> bytes | None:
        """What a prompt gets; None for no answer.

        :raises ValueError: a style that no password program can serve.
        """
        if style == pam.PAM_PROMPT_ECHO_OFF:
            return self._password.reveal()
        if style == pam.PAM_PROMPT_ECHO_ON:
            return self._login if text == self._user_prompt() else None
        if style in {pam.PAM_TEXT_INFO, pam.PAM_ERROR_MSG}:
            shown = _UNFIT_TEXT if self._password.is_in(text) else text
            self.texts.append(shown)
            if self._steps is not None:
                self._steps.note(f"message of a module: {shown.decode(errors='replace')}")
            return None
        raise ValueError(style)

    def _user_prompt(self) -> bytes | None:
        item = c_void_p()
        if _libpam.pam_get_item(self.handle, pam.PAM_USER_PROMPT, byref(item)) != pam.PAM_SUCCESS:
            return None
        return cast(item, c_char_p).value

    def _allocated(self, answers: list[bytes | None]) -> Any:
        """The answers in memory that libpam frees."""
        array = cast(self._calloc(len(answers), sizeof(PamResponse)), POINTER(PamResponse))
        for i, answer in enumerate(answers):
            if answer is not None:
                copy = self._calloc(len(answer) + 1, 1)
                memmove(copy, answer, len(answer))
                array[i].resp = copy
        return array

    def _calloc(self, count: int, size: int) -> int:
        address: int | None = self.calloc(count, size)
        if address is None:
            raise MemoryError
        return address


class Worker:
    """The mechanism as a worker runs it."""

    def __init__(self, options: Options, _files: SealedFiles) -> None:
        # python-pam would make PAM_TTY of it.
        os.environ.pop("DISPLAY", None)
        # What modules log is by saslauthd, as it always was: else it would be by the interpreter.
        syslog.openlog(IDENT, syslog.LOG_PID, syslog.LOG_AUTH)
        self._default_service = os.fsencode(options.settings.service)
        self._authenticator = _Authenticator()

    def check(self, identity: Identity, password: Secret) -> Answer:
        """Run the stack of the service; the realm is not looked at."""
        return self._answer(identity, password, None)

    def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """See :class:`Mechanism`. Without a password no module is asked, as it might count that as an attempt."""
        service = identity.service or self._default_service
        if not identity.service:
            steps.note(f"the request names no service: {os.fsdecode(service)} is taken")
        for line in pam_stack.describe(service):
            steps.note(line)
        known = "is" if _is_known(identity.login) else "is not"
        steps.note(f"the login {known} an account of this machine; the realm is not looked at")
        if not password:
            steps.note("without a password no module is asked")
            return ACCEPTED
        answer = self._answer(identity, password, steps)
        if answer.delay:
            steps.note(f"the answer is to be held back for {answer.delay:g} s")
        return answer

    def _answer(self, identity: Identity, password: Secret, steps: Steps | None) -> Answer:
        attempt = self._authenticator
        accepted = attempt.check(identity, password, identity.service or self._default_service, steps)
        details = tuple(_details(attempt))
        if accepted:
            return ACCEPTED._replace(details=details) if details else ACCEPTED
        verdict = (
            Verdict.UNAVAILABLE if attempt.code in OUR_SIDE or attempt.phase == "start" else Verdict.REJECT
        )
        return Answer(
            verdict=verdict,
            cause=_cause(attempt, verdict),
            reason=f"PAM {attempt.phase} error",
            delay_ms=attempt.delay_ms,
            details=details,
        )


def _is_known(login: bytes) -> bool:
    try:
        pwd.getpwnam(os.fsdecode(login))
    except KeyError:
        return False
    return True


def _cause(attempt: _Authenticator, verdict: Verdict) -> Cause:
    if verdict is Verdict.UNAVAILABLE:
        return Cause.BACKEND
    if attempt.phase == "acct":
        return Cause.ACCOUNT
    return _CAUSES.get(attempt.code, Cause.ACCOUNT)


_CALLS = {"start": "pam_start", "auth": "pam_authenticate", "acct": "pam_acct_mgmt"}


def _details(attempt: _Authenticator) -> Iterator[str]:
    for text in attempt.texts:
        yield f"pam message: {text.decode(errors='replace')}"
    if attempt.code != pam.PAM_SUCCESS:
        yield f"DEBUG: auth_pam: {_CALLS[attempt.phase]} failed: {attempt.reason}"

"""Mechanism ``shadow``: the machine's own accounts, or one file in their format.

The steps and reasons are the original's: account, hash, password, then whether the account or the
password has expired. Beyond it, an unknown user and one without a usable hash cost what a wrong
password costs, or the time of an answer would tell who exists.
"""

import hmac
import time
from collections.abc import Iterator

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, Verdict, rejected, unavailable
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms import libcrypt
from pysaslauthd.mechanisms.accounts import (
    Accounts,
    AccountsUnavailableError,
    FileAccounts,
    NoAccount,
    ShadowEntry,
    SystemAccounts,
    is_hash,
)
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.sealed import SealedFiles

SECONDS_PER_DAY = 86_400
_KINDS = (
    (b"$y$", "a hash of yescrypt"),
    (b"$gy$", "a hash of gost-yescrypt"),
    (b"$7$", "a hash of scrypt"),
    (b"$2", "a hash of bcrypt"),
    (b"$6$", "a hash of SHA-512"),
    (b"$5$", "a hash of SHA-256"),
    (b"$1$", "a hash of MD5"),
    (b"$", "a hash of another kind"),
    (b"_", "a hash of DES, extended"),
    (b"", "a hash of DES"),
)
"""By its beginning, as crypt(5) has them."""

NO_NIS_PERMISSION = b"*NP*"
"""What NIS+ puts in the place of a hash that the reader may not see."""


class Worker:
    """The mechanism as a worker runs it, made when the worker has given up what it does not need."""

    def __init__(self, options: Options, _files: SealedFiles) -> None:
        file = options.settings.shadow_file
        self._accounts: Accounts = FileAccounts(file) if file is not None else SystemAccounts()
        # With no entry to take an example from, the system's own choice for new passwords.
        self._default = libcrypt.new_setting()

    def check(self, identity: Identity, password: Secret) -> Answer:
        """Look the login up and compare; realm and service are not looked at, as in the original."""
        found = self._looked_up(identity)
        if isinstance(found, ShadowEntry):
            return self._compared(found, password)
        if found.verdict is Verdict.REJECT:
            self._spend(password)
        return found

    def explain(self, identity: Identity, password: Secret, steps: Steps) -> Answer:
        """See :class:`Mechanism`."""
        steps.note(f"looked up in {self._accounts.place}; the realm is not looked at")
        found = self._looked_up(identity)
        if not isinstance(found, ShadowEntry):
            steps.note(f"not found: {found.reason}")
            return found
        steps.note(f"found; the password is stored as {kind_of(found.hash)}")
        for line in ages(found, today=_today()):
            steps.note(line)
        if not password:
            return _without_password(found)
        answer = self._compared(found, password)
        is_wrong = answer.cause is Cause.WRONG_PASSWORD
        steps.note(
            "the password is another" if is_wrong else f"compared: {answer.reason or 'the password is right'}"
        )
        return answer

    def _looked_up(self, identity: Identity) -> ShadowEntry | Answer:
        try:
            return self._accounts.look_up(identity.login)
        except NoAccount as reason:
            return rejected(Cause.UNKNOWN_USER, str(reason))
        except AccountsUnavailableError as reason:
            return unavailable(Cause.BACKEND, str(reason))

    def _compared(self, entry: ShadowEntry, password: Secret) -> Answer:
        if entry.hash == NO_NIS_PERMISSION:
            self._spend(password)
            return rejected(
                Cause.ACCOUNT, "Insufficient permission to access NIS authentication database (saslauthd)"
            )
        computed = libcrypt.hashed(password, entry.hash) if is_hash(entry.hash) else None
        if computed is None:
            self._spend(password)
        if computed is None or not hmac.compare_digest(computed, entry.hash):
            return rejected(Cause.WRONG_PASSWORD, "Incorrect password")
        return standing(entry, today=_today())

    def _spend(self, password: Secret) -> None:
        libcrypt.hashed(password, self._accounts.sample() or self._default)


def _today() -> int:
    return int(time.time()) // SECONDS_PER_DAY


def _without_password(entry: ShadowEntry) -> Answer:
    """What can be said without one."""
    if not is_hash(entry.hash):
        return rejected(Cause.ACCOUNT, "No password can be right")
    return standing(entry, today=_today())


def kind_of(stored: bytes) -> str:
    """What stands in the place of a hash, in words that give nothing of it away."""
    if not stored:
        return "nothing: there is none, and no password is right"
    if not is_hash(stored):
        return "no hash but a mark such as ! or *: the password is locked, and none is right"
    return next(name for prefix, name in _KINDS if stored.startswith(prefix))


def ages(entry: ShadowEntry, *, today: int) -> Iterator[str]:
    """A line for each date that decides."""
    if entry.expires is not None:
        what = "has expired" if today > entry.expires else "expires"
        yield f"the account {what}; its last day is {_date(entry.expires)}"
    if entry.last_change is not None and entry.maximum_age is not None:
        last = entry.last_change + entry.maximum_age
        what = "is too old" if today > last else "is not too old yet"
        yield f"the password {what}; its last day is {_date(last)}"


def _date(day: int) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(day * SECONDS_PER_DAY))
    except (OverflowError, ValueError, OSError):
        return f"{day} days after 1970-01-01"


def standing(entry: ShadowEntry, *, today: int) -> Answer:
    """Whether an account whose password was right may log in on ``today`` (days since the epoch).

    The last day still counts. A last change of 0 ("must change at the next login") alone refuses
    nobody, as in the original; together with a maximum age it is an expired password.
    """
    if entry.expires is not None and today > entry.expires:
        return rejected(Cause.ACCOUNT, "Account expired")
    if (
        entry.last_change is None
        or entry.maximum_age is None
        or entry.last_change + entry.maximum_age >= today
    ):
        return ACCEPTED
    return rejected(Cause.ACCOUNT, "Password expired")

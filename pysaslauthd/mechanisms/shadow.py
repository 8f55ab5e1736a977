"""Mechanism ``shadow``: the machine's own accounts, or one file in their format.

The steps and reasons are the original's: account, hash, password, then whether the account or the
password has expired. Beyond it, an unknown user and one without a usable hash cost what a wrong
password costs, or the time of an answer would tell who exists.
"""

import hmac
import time

from pysaslauthd.config.options import Options
from pysaslauthd.core.answer import ACCEPTED, Answer, Cause, rejected, unavailable
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
from pysaslauthd.sealed import SealedFiles

SECONDS_PER_DAY = 86_400
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
        try:
            entry = self._accounts.look_up(identity.login)
        except NoAccount as reason:
            self._spend(password)
            return rejected(Cause.UNKNOWN_USER, str(reason))
        except AccountsUnavailableError as reason:
            return unavailable(Cause.BACKEND, str(reason))
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
        return standing(entry, today=int(time.time()) // SECONDS_PER_DAY)

    def _spend(self, password: Secret) -> None:
        libcrypt.hashed(password, self._accounts.sample() or self._default)


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

"""Settings that work, and that somebody may be sorry for."""

import math
from collections.abc import Iterator

from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import JOURNAL, STDERR
from pysaslauthd.core.identity import RealmPolicy

HOUR = 3600.0
LONGEST_LOGIN = 300.0
"""Seconds. No person and no mail program waits so long for an answer."""

LONGEST_READ = 120.0
"""Seconds. A client sends its request in one write."""

LONGEST_QUEUE = 100_000
MOST_CONNECTIONS = 100_000
LARGEST_PAM_SHARE = 10_000


def weaknesses(options: Options) -> Iterator[tuple[str, str]]:
    """The name of a setting, and what may come of its value."""
    yield from _of_the_cache(options)
    yield from _of_answers(options)
    yield from _of_limits(options)
    yield from _of_other_daemons(options)
    yield from _of_the_log(options)


def _of_the_log(options: Options) -> Iterator[tuple[str, str]]:
    settings = options.settings
    if options.foreground:
        return
    if settings.log_to == {STDERR}:
        yield "log_to", "stderr alone, which nobody sees in the background: nothing is logged"
    elif settings.syslog_socket is None and JOURNAL not in settings.log_to:
        yield "syslog_socket", "none, and in the background nobody sees standard error: nothing is logged"


def _of_the_cache(options: Options) -> Iterator[tuple[str, str]]:
    if not options.cache:
        return
    if math.isinf(options.cache_timeout):
        yield "cache_timeout", "never: a password that was right once is taken until the next reload"
    elif not all(row.watches for row in options.mechanisms) and options.cache_timeout > HOUR:
        hours = options.cache_timeout / HOUR
        yield (
            "cache_timeout",
            f"nothing tells of a changed password here: the old one is taken for {hours:g} h more",
        )
    if options.settings.cache_stale > 24 * HOUR:
        hours = options.settings.cache_stale / HOUR
        yield "cache_stale", f"who was removed is let in for {hours:g} h more while the backend is down"


def _of_answers(options: Options) -> Iterator[tuple[str, str]]:
    if options.settings.unavailable == "no":
        yield "unavailable", "no: when our side breaks, mail programs ask their owners for a new password"
    if options.settings.reply_reason:
        yield "reply_reason", "yes: some clients take anything but an exact NO for success"


def _of_other_daemons(options: Options) -> Iterator[tuple[str, str]]:
    settings = options.settings
    asking = [row.name for row in options.mechanisms if row.asks]
    if asking and settings.realm_policy is not RealmPolicy.LOGIN:
        yield (
            "realm_policy",
            f"{settings.realm_policy}: what {asking[0]} asks gets the login so, and may do the same once more",
        )
    if settings.compare_rejected and settings.compare is None:
        yield "compare_rejected", "has no effect without compare"
    elif settings.compare_rejected:
        yield "compare_rejected", "yes: a wrong password counts twice towards a lock-out"


def _of_limits(options: Options) -> Iterator[tuple[str, str]]:
    settings = options.settings
    if settings.read_timeout > LONGEST_READ:
        yield "read_timeout", f"a silent client holds a place for {settings.read_timeout:g} s"
    if settings.login_timeout > LONGEST_LOGIN:
        yield "login_timeout", f"a worker that hangs is noticed after {settings.login_timeout:g} s"
    if settings.queue_timeout > LONGEST_LOGIN:
        yield "queue_timeout", f"a login waits up to {settings.queue_timeout:g} s for a worker"
    if settings.queue_length > LONGEST_QUEUE:
        yield "queue_length", f"{settings.queue_length} logins may wait, with all their passwords in memory"
    if settings.connections > MOST_CONNECTIONS:
        yield "connections", f"{settings.connections} clients at a time, each with a descriptor of the front"
    for each in options.split():
        if each.row.is_elastic and each.share > LARGEST_PAM_SHARE:
            yield "worker_share", f"a worker that leaks is replaced after {each.share} logins only"

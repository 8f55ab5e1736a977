"""The benchmarks. To add one, add a :class:`Case` to :func:`cases`, or to :data:`ATTACKED`."""

from bench.attacked import ATTACKED
from bench.model import Case, Comparison, Directory, Figure, Load, Program, Run, Server, Users
from bench.parts import (
    FEW,
    LDAP,
    LISTED,
    ORIGINAL,
    OURS,
    OWNER,
    PAM,
    PAM_NEEDS_ROOT,
    SHADOW,
    SIDES,
    side_by_side,
)
from support.accounts import SHADOW as SHADOW_FILE
from support.shadow import YESCRYPT

LOGINS = 1_000_000

_ENTRIES_PER_KIB = 1024 / 576 * 6
"""Of the cache, for ``-s``: as saslauthd has it."""

_MEMORY_NEEDS_ROOT = "the kernel tells nobody else about our processes' memory"

_FAR = 0.02
"""Seconds for a round trip: another city."""


def _shadow(clients: int) -> Case:
    return side_by_side(
        f"shadow-md5-{clients}",
        f"shadow, nothing cached, a cheap hash: {clients} clients",
        SHADOW,
        Load(clients, FEW),
        0.9,
    )


def _pam(clients: int) -> Case:
    return side_by_side(
        f"pam-md5-{clients}",
        f"PAM (pam_unix), nothing cached, a cheap hash: {clients} clients",
        PAM,
        Load(clients, FEW),
        1.0,
        PAM_NEEDS_ROOT,
    )


def _ldap(name: str, shows: str, directory: Directory, clients: int, target: float) -> Case:
    return side_by_side(
        f"ldap-{name}-{clients}",
        f"LDAP (bind), {shows}; 2,000 users, all with one password ({{SSHA}}): {clients} clients",
        LDAP,
        Load(clients, LISTED),
        target,
    )._replace(directory=directory)


def _ldap_far(clients: int, target: float) -> Case:
    return _ldap("far", "a server 20 ms away", Directory((Server(away=_FAR),)), clients, target)


def _ldap_local(clients: int) -> Case:
    return _ldap("local", "a server on this machine", Directory(), clients, 1.2)


def _cached(clients: int, target: float) -> Case:
    return side_by_side(
        f"cached-{clients}",
        f"shadow, all in the cache: {clients} clients",
        (*SHADOW, "-c"),
        Load(clients, FEW),
        target,
    )


def _at_once(clients: int) -> Case:
    """Nothing is cached: each daemon is a new one, and its first login was another user's."""
    user = Users("u", method=YESCRYPT)
    one, all_at_once = Load(1, user, logins=1), Load(clients, user, logins=1)
    arguments = (*SHADOW, "-c")
    original, alone, together = f"saslauthd, {clients} at once", "ours, one login", f"ours, {clients} at once"
    return Case(
        name=f"at-once-yescrypt-{clients}",
        shows=f"shadow: {clients} clients log in at once as one user who is not in the cache yet, a hash of today's cost",
        users=(OWNER, user),
        runs={
            original: Run(Program.ORIGINAL, arguments, all_at_once),
            alone: Run(Program.OURS, arguments, one),
            together: Run(Program.OURS, arguments, all_at_once),
        },
        comparisons=(
            Comparison(together, alone, Figure.CHECKING, target=1.5, is_limit=True),
            Comparison(together, alone, Figure.MAX, target=1.5, is_limit=True),
            Comparison(original, alone, Figure.CHECKING),
            Comparison(original, alone, Figure.MAX),
        ),
    )


def _full_cache(logins: int) -> Case:
    """The cache has room for half of the users: as they come in turn, each login displaces one, and none is a hit."""
    clients, laps = 16, 10
    each = max(1, logins // laps // clients)
    users = Users("u%d", each * clients)
    size = max(1, round(users.number / 2 / _ENTRIES_PER_KIB))
    # The system's accounts would be read from their begin for each login.
    arguments = (*SHADOW, "-c", "-s", str(size), "-o", f"shadow_file={SHADOW_FILE}")
    return Case(
        name="memory-full-cache",
        shows=f"shadow: {laps * users.number:,} logins of {users.number:,} users, {laps} each; "
        "the cache holds half of them",
        users=(users,),
        runs={OURS: Run(Program.OURS, arguments, Load(clients, users, logins=each), laps=laps)},
        # The front has the cache; what workers have read of so many users would hide it among all.
        comparisons=(
            Comparison(OURS, figure=Figure.GROWTH, target=1.02, is_limit=True),
            Comparison(OURS, figure=Figure.FRONT_GROWTH, target=1.05, is_limit=True),
        ),
        needs_root=_MEMORY_NEEDS_ROOT,
    )


def cases(logins: int = LOGINS) -> tuple[Case, ...]:
    """All of them; ``logins`` are those after which memory must not have grown."""
    return (*_CASES, _full_cache(logins))


_CASES = (
    _cached(1, 1.0),
    _cached(8, 1.2),
    _cached(64, 1.6)._replace(
        comparisons=(
            Comparison(OURS, ORIGINAL, target=1.6),
            Comparison(OURS, ORIGINAL, Figure.P99, target=0.25, is_limit=True),
        )
    ),
    Case(
        name="cached-floor-64",
        shows="the same beside a daemon that does nothing but answer",
        users=(FEW,),
        runs={
            "floor": Run(Program.FLOOR, ("2",), Load(64, FEW)),
            OURS: Run(Program.OURS, (*SHADOW, "-c"), Load(64, FEW)),
        },
        comparisons=(Comparison(OURS, "floor", target=0.7),),
    ),
    _shadow(5),
    _shadow(16),
    side_by_side(
        "shadow-yescrypt-16",
        "shadow, nothing cached, a hash of today's cost: 16 clients",
        SHADOW,
        Load(16, Users("u%d", 16, YESCRYPT)),
        0.97,
    )._replace(seconds=5.0),
    _pam(5),
    _pam(16),
    *ATTACKED,
    _ldap_far(64, 15),
    _ldap_far(256, 25),
    _ldap_local(8),
    _ldap_local(64),
    Case(
        name="ldap-one-silent",
        shows="LDAP (bind), two servers, of which the first accepts and says nothing; the same users: 8 clients",
        users=(LISTED,),
        directory=Directory((Server(is_silent=True), Server())),
        runs={
            # Its first answer is what it makes of the silent server.
            ORIGINAL: Run(Program.ORIGINAL, LDAP, Load(8, LISTED), first=""),
            OURS: Run(Program.OURS, LDAP, Load(8, LISTED)),
        },
        comparisons=(Comparison(OURS, ORIGINAL, target=100),),
        seconds=15.0,
    ),
    Case(
        name="start",
        shows="shadow: from the start of the program to the first answer",
        runs={side.value: Run(side, SHADOW, first="NO") for side in SIDES},
        comparisons=(
            Comparison(OURS, figure=Figure.START, target=0.4, is_limit=True),
            Comparison(OURS, ORIGINAL, Figure.START),
        ),
    ),
    Case(
        name="memory",
        shows="shadow: all processes together, started and idle; what they share is counted once (PSS)",
        runs={side.value: Run(side, SHADOW, first="NO") for side in SIDES},
        comparisons=(
            Comparison(OURS, figure=Figure.MEMORY, target=50, is_limit=True),
            Comparison(OURS, ORIGINAL, Figure.MEMORY),
        ),
        needs_root=_MEMORY_NEEDS_ROOT,
    ),
    _at_once(64),
)

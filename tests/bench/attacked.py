"""Cases in which somebody else disturbs: who guesses, who stays silent, and what hangs."""

from bench.model import (
    REFUSED,
    WRONG,
    Case,
    Comparison,
    Directory,
    Figure,
    Load,
    Program,
    Run,
    Trouble,
    Users,
)
from bench.parts import LDAP, LISTED, OWNER, PAM, PAM_NEEDS_ROOT, SHADOW
from support.shadow import YESCRYPT

_VICTIM = Users("victim")
_MANY = Users("u%d", 500)
_THOUSANDS = Users("u%d", 3000)
_NOBODY = Users("nobody-%d", 1_000_000_000)
"""No name comes twice."""

_KNOWN = Users("owner", method=YESCRYPT)

_LOGS = ("-o", "syslog_socket=/dev/log")

_THEIRS, _ALONE, _ATTACKED = "saslauthd, attacked", "ours, undisturbed", "ours, attacked"


def _guess(clients: int, users: Users, service: str = "bench") -> Load:
    return Load(clients, users, WRONG, REFUSED, service)


def _pam_attack(service: str) -> dict[str, Run]:
    """4 clients who know their password; 8 who guess another user's, or nobody."""
    load, attack = Load(4, OWNER, service=service), _guess(8, _VICTIM, service)
    return {
        _THEIRS: Run(Program.ORIGINAL, PAM, load, attack),
        _ALONE: Run(Program.OURS, PAM, load),
        _ATTACKED: Run(Program.OURS, PAM, load, attack),
    }


def _cached(
    name: str, shows: str, arguments: tuple[str, ...], attack: Load, trouble: Trouble | None = None
) -> Case:
    """4 clients of a user who is in the cache; all else is in trouble."""
    load, remembering = Load(4, OWNER), (*arguments, "-c")
    logging = _LOGS if trouble is Trouble.LOG_FULL else ()
    return Case(
        name=f"cached-{name}",
        shows=shows,
        users=(OWNER,),
        runs={
            _THEIRS: Run(Program.ORIGINAL, remembering, load, attack, trouble=trouble),
            _ALONE: Run(Program.OURS, remembering, load),
            _ATTACKED: Run(Program.OURS, (*remembering, *logging), load, attack, trouble=trouble),
        },
        comparisons=(
            Comparison(_ATTACKED, _ALONE, target=0.5),
            Comparison(_ATTACKED, _THEIRS),
        ),
    )


def _owner(name: str, shows: str, owner: Users, arguments: tuple[str, ...]) -> Case:
    """One client of a user who has logged in once before, and 200 who guess his password."""
    load, attack = Load(1, owner), _guess(200, owner)
    return Case(
        name=f"owner-guessed-{name}",
        shows=shows,
        users=(owner,),
        runs={
            _THEIRS: Run(Program.ORIGINAL, arguments, load, attack),
            _ALONE: Run(Program.OURS, arguments, load),
            _ATTACKED: Run(Program.OURS, arguments, load, attack),
        },
        comparisons=(
            Comparison(_ATTACKED, _ALONE, Figure.P50, target=2, is_limit=True),
            # Without a target: on a machine that others use, one of thousands waits for them and not for us.
            Comparison(_ATTACKED, _ALONE, Figure.MAX, Figure.P50),
            Comparison(_ATTACKED, _THEIRS),
        ),
        seconds=10.0,
    )


ATTACKED = (
    Case(
        name="pam-attack-8",
        shows="PAM: 4 clients log in while 8 guess another user's password; a guess is answered after 2 s",
        users=(OWNER, _VICTIM),
        runs=_pam_attack("bench"),
        comparisons=(
            Comparison(_ATTACKED, _ALONE, target=0.9),
            Comparison(_ATTACKED, _THEIRS, target=100),
        ),
        seconds=20.0,
        needs_root=PAM_NEEDS_ROOT,
    ),
    Case(
        name="pam-attack-8-nodelay",
        shows="the same on a stack that answers a guess at once, so that each costs what it costs",
        users=(OWNER, _VICTIM),
        runs=_pam_attack("bench-nodelay"),
        comparisons=(Comparison(_ATTACKED, _ALONE), Comparison(_ATTACKED, _THEIRS)),
        seconds=5.0,
        needs_root=PAM_NEEDS_ROOT,
    ),
    Case(
        name="pam-attack-500",
        shows="PAM: 4 clients log in while 500 guess the passwords of 500 users",
        users=(OWNER, _MANY),
        runs={
            _ALONE: Run(Program.OURS, PAM, Load(4, OWNER)),
            _ATTACKED: Run(Program.OURS, PAM, Load(4, OWNER), _guess(500, _MANY)),
        },
        comparisons=(Comparison(_ATTACKED, _ALONE, target=0.25),),
        seconds=20.0,
        needs_root=PAM_NEEDS_ROOT,
    ),
    _cached(
        "pam-attack-8",
        "PAM: 4 clients of a cached user log in while 8 guess another user's password; "
        "a guess is answered after 2 s",
        PAM,
        _guess(8, _VICTIM),
    )._replace(
        users=(OWNER, _VICTIM),
        comparisons=(
            Comparison(_ATTACKED, _THEIRS, target=5000),
            Comparison(_ATTACKED, _ALONE),
        ),
        seconds=10.0,
        needs_root=PAM_NEEDS_ROOT,
    ),
    _cached(
        "pam-attack-3000",
        "the same while 3,000 guess the passwords of 3,000 users",
        PAM,
        _guess(3000, _THOUSANDS),
    )._replace(users=(OWNER, _THOUSANDS), seconds=10.0, needs_root=PAM_NEEDS_ROOT),
    _cached(
        "ldap-hangs",
        "LDAP (bind): 4 clients of a cached user log in; the server hangs, and 64 ask for 64 other users",
        LDAP,
        Load(64, LISTED, expect=REFUSED),
        Trouble.DIRECTORY_HANGS,
    )._replace(users=(OWNER, LISTED), directory=Directory()),
    _cached(
        "silent-2000",
        "shadow: 4 clients of a cached user log in while 2,000 connections say nothing",
        SHADOW,
        Load(2000, _NOBODY, expect=REFUSED, is_silent=True),
    ),
    _cached(
        "log-full",
        "shadow: 4 clients of a cached user log in; nobody reads /dev/log, which is full, and 8 guess, 80 a second",
        SHADOW,
        _guess(8, _VICTIM)._replace(pause=0.1),
        Trouble.LOG_FULL,
    )._replace(users=(OWNER, _VICTIM)),
    _owner(
        "pam",
        "PAM, nothing cached: the owner of a name logs in while 200 guess his password; "
        "a guess is answered after 2 s",
        OWNER,
        PAM,
    )._replace(needs_root=PAM_NEEDS_ROOT),
    _owner(
        "yescrypt",
        "shadow, nothing cached, a hash of today's cost: the same; a guess is answered when it is checked",
        _KNOWN,
        SHADOW,
    ),
    Case(
        name="known-among-nobody",
        shows="shadow, nothing cached, a hash of today's cost: 4 clients of a user who has logged in before, "
        "while 200 log in under names that nobody has",
        users=(_KNOWN,),
        runs={
            _ALONE: Run(Program.OURS, SHADOW, Load(4, _KNOWN)),
            _ATTACKED: Run(Program.OURS, SHADOW, Load(4, _KNOWN), _guess(200, _NOBODY)),
        },
        comparisons=(Comparison(_ATTACKED, _ALONE, target=0.4),),
        seconds=10.0,
    ),
)

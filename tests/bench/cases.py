"""The benchmarks. To add one, add a :class:`Case` to :data:`CASES`."""

from bench.model import WRONG, Case, Comparison, Directory, Figure, Load, Program, Run, Server, Users
from support.shadow import YESCRYPT

_SIDES = (Program.ORIGINAL, Program.OURS)
ORIGINAL, OURS = (side.value for side in _SIDES)
"""Names of runs where each program has one."""

_PROCESSES = ("-n", "5")
_SHADOW = ("-a", "shadow", *_PROCESSES)
_PAM = ("-a", "pam", *_PROCESSES)
_LDAP = ("-a", "ldap", *_PROCESSES)

_PAM_NEEDS_ROOT = "PAM asks root's accounts"

_OWNER = Users("owner")
_FEW = Users("u%d", 16)
_MANY = Users("u%d", 500)
_LISTED = Users("u%d", 2000)

_FAR = 0.02
"""Seconds for a round trip: another city."""


def _side_by_side(
    name: str, shows: str, arguments: tuple[str, ...], load: Load, target: float, needs_root: str = ""
) -> Case:
    """The rates of both daemons, started with the same arguments, under the same load."""
    return Case(
        name=name,
        shows=shows,
        users=(load.users,),
        runs={side.value: Run(side, arguments, load) for side in _SIDES},
        comparisons=(Comparison(OURS, ORIGINAL, target=target),),
        needs_root=needs_root,
    )


def _shadow(clients: int) -> Case:
    return _side_by_side(
        f"shadow-md5-{clients}",
        f"shadow, nothing cached, a cheap hash: {clients} clients",
        _SHADOW,
        Load(clients, _FEW),
        0.9,
    )


def _pam(clients: int) -> Case:
    return _side_by_side(
        f"pam-md5-{clients}",
        f"PAM (pam_unix), nothing cached, a cheap hash: {clients} clients",
        _PAM,
        Load(clients, _FEW),
        1.0,
        _PAM_NEEDS_ROOT,
    )


def _ldap(name: str, shows: str, directory: Directory, clients: int, target: float) -> Case:
    return _side_by_side(
        f"ldap-{name}-{clients}",
        f"LDAP (bind), {shows}; 2,000 users, all with one password ({{SSHA}}): {clients} clients",
        _LDAP,
        Load(clients, _LISTED),
        target,
    )._replace(directory=directory)


def _ldap_far(clients: int, target: float) -> Case:
    return _ldap("far", "a server 20 ms away", Directory((Server(away=_FAR),)), clients, target)


def _ldap_local(clients: int) -> Case:
    return _ldap("local", "a server on this machine", Directory(), clients, 1.2)


def _pam_attack(service: str) -> dict[str, Run]:
    """4 clients who know their password; 8 who guess another user's, or nobody."""
    load = Load(4, _OWNER, service=service)
    attack = Load(8, Users("victim"), WRONG, "NO", service)
    return {
        "saslauthd, attacked": Run(Program.ORIGINAL, _PAM, load, attack),
        "ours, undisturbed": Run(Program.OURS, _PAM, load),
        "ours, attacked": Run(Program.OURS, _PAM, load, attack),
    }


def _cached(clients: int, target: float) -> Case:
    return _side_by_side(
        f"cached-{clients}",
        f"shadow, all in the cache: {clients} clients",
        (*_SHADOW, "-c"),
        Load(clients, _FEW),
        target,
    )


CASES = (
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
        users=(_FEW,),
        runs={
            "floor": Run(Program.FLOOR, ("2",), Load(64, _FEW)),
            OURS: Run(Program.OURS, (*_SHADOW, "-c"), Load(64, _FEW)),
        },
        comparisons=(Comparison(OURS, "floor", target=0.7),),
    ),
    _shadow(5),
    _shadow(16),
    _side_by_side(
        "shadow-yescrypt-16",
        "shadow, nothing cached, a hash of today's cost: 16 clients",
        _SHADOW,
        Load(16, Users("u%d", 16, YESCRYPT)),
        0.97,
    )._replace(seconds=5.0),
    _pam(5),
    _pam(16),
    Case(
        name="pam-attack-8",
        shows="PAM: 4 clients log in while 8 guess another user's password; a guess is answered after 2 s",
        users=(_OWNER, Users("victim")),
        runs=_pam_attack("bench"),
        comparisons=(
            Comparison("ours, attacked", "ours, undisturbed", target=0.9),
            Comparison("ours, attacked", "saslauthd, attacked", target=100),
        ),
        seconds=20.0,
        needs_root=_PAM_NEEDS_ROOT,
    ),
    Case(
        name="pam-attack-8-nodelay",
        shows="the same on a stack that answers a guess at once, so that each costs what it costs",
        users=(_OWNER, Users("victim")),
        runs=_pam_attack("bench-nodelay"),
        comparisons=(
            Comparison("ours, attacked", "ours, undisturbed"),
            Comparison("ours, attacked", "saslauthd, attacked"),
        ),
        seconds=5.0,
        needs_root=_PAM_NEEDS_ROOT,
    ),
    Case(
        name="pam-attack-500",
        shows="PAM: 4 clients log in while 500 guess the passwords of 500 users",
        users=(_OWNER, _MANY),
        runs={
            "ours, undisturbed": Run(Program.OURS, _PAM, Load(4, _OWNER)),
            "ours, attacked": Run(Program.OURS, _PAM, Load(4, _OWNER), Load(500, _MANY, WRONG, "NO")),
        },
        comparisons=(Comparison("ours, attacked", "ours, undisturbed", target=0.25),),
        seconds=20.0,
        needs_root=_PAM_NEEDS_ROOT,
    ),
    _ldap_far(64, 15),
    _ldap_far(256, 25),
    _ldap_local(8),
    _ldap_local(64),
    Case(
        name="ldap-one-silent",
        shows="LDAP (bind), two servers, of which the first accepts and says nothing; the same users: 8 clients",
        users=(_LISTED,),
        directory=Directory((Server(is_silent=True), Server())),
        runs={
            # Its first answer is what it makes of the silent server.
            ORIGINAL: Run(Program.ORIGINAL, _LDAP, Load(8, _LISTED), first=""),
            OURS: Run(Program.OURS, _LDAP, Load(8, _LISTED)),
        },
        comparisons=(Comparison(OURS, ORIGINAL, target=100),),
        seconds=15.0,
    ),
    Case(
        name="start",
        shows="shadow: from the start of the program to the first answer",
        runs={side.value: Run(side, _SHADOW, first="NO") for side in _SIDES},
        comparisons=(
            Comparison(OURS, figure=Figure.START, target=0.4, is_limit=True),
            Comparison(OURS, ORIGINAL, Figure.START),
        ),
    ),
    Case(
        name="memory",
        shows="shadow: all processes together, started and idle; what they share is counted once (PSS)",
        runs={side.value: Run(side, _SHADOW, first="NO") for side in _SIDES},
        comparisons=(
            Comparison(OURS, figure=Figure.MEMORY, target=50, is_limit=True),
            Comparison(OURS, ORIGINAL, Figure.MEMORY),
        ),
        needs_root="the kernel tells nobody else about our processes' memory",
    ),
)

"""What several cases are made of."""

from bench.model import Case, Comparison, Load, Program, Run, Users

SIDES = (Program.ORIGINAL, Program.OURS)
ORIGINAL, OURS = (side.value for side in SIDES)
"""Names of runs where each program has one."""

PROCESSES = ("-n", "5")
SHADOW = ("-a", "shadow", *PROCESSES)
PAM = ("-a", "pam", *PROCESSES)
LDAP = ("-a", "ldap", *PROCESSES)

PAM_NEEDS_ROOT = "PAM asks root's accounts"

OWNER = Users("owner")
FEW = Users("u%d", 16)
LISTED = Users("u%d", 2000)


def side_by_side(
    name: str, shows: str, arguments: tuple[str, ...], load: Load, target: float, needs_root: str = ""
) -> Case:
    """The rates of both daemons, started with the same arguments, under the same load."""
    return Case(
        name=name,
        shows=shows,
        users=(load.users,),
        runs={side.value: Run(side, arguments, load) for side in SIDES},
        comparisons=(Comparison(OURS, ORIGINAL, target=target),),
        needs_root=needs_root,
    )

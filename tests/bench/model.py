"""What a benchmark is, as data: the users, what runs, what is asked of it, and which figures are set side by side."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from support.shadow import MD5

RIGHT, WRONG = "right-Pass_1", "wrong-Pass_%d"
"""``%d`` becomes a number that no other login has: equal guesses at a time are one question where there is a cache."""

OK, NO, CLOSED = "ok", "no", "closed"
"""Outcomes of a login: accepted, refused, and nothing but the end of the connection, by which ours says "try again"."""

REFUSED = (NO, CLOSED)


class Program(enum.Enum):
    """What answers."""

    ORIGINAL = "saslauthd"
    OURS = "ours"
    FLOOR = "floor"
    """Says OK to everything, and does nothing else: what the machine and the load generator cost."""


class Users(NamedTuple):
    """Accounts with the password :data:`RIGHT`. ``%d`` in ``login`` becomes a number from 0."""

    login: str
    number: int = 1
    method: bytes = MD5
    """The prefix that libcrypt knows the hash method by. MD5 costs little, so what is measured is the daemon.

    In a directory all are {SSHA}.
    """

    @property
    def logins(self) -> list[str]:
        return [self.login.replace("%d", str(index)) for index in range(self.number)]


class Server(NamedTuple):
    """A server of a directory: always the same slapd, and this is the way to it."""

    away: float = 0.0
    """Seconds that each answer comes later. Connecting takes none."""
    is_silent: bool = False
    """It takes connections and reads, and says nothing."""


class Directory(NamedTuple):
    """An LDAP directory that is started for a case and holds its users. Daemons ask it by ``bind``, with an account
    of their own for the search; all else in their ``saslauthd.conf`` is left to its default."""

    servers: tuple[Server, ...] = (Server(),)
    """As ``ldap_servers`` names them."""


class Load(NamedTuple):
    """Clients, each in a closed loop: connect, one login, the reply, close."""

    clients: int
    users: Users
    password: str = RIGHT
    expect: tuple[str, ...] = (OK,)
    """The outcomes that are no surprise. The rate is that of these."""
    service: str = "bench"
    realm: str = ""
    logins: int = 0
    """Of each client, and then all is over; 0 for as many as there is time for."""
    pause: float = 0.0
    """Seconds between a client's logins."""
    is_silent: bool = False
    """They connect, say nothing, wait until they are closed, and connect again. The rest says nothing then."""


class Trouble(enum.Enum):
    """What befalls a daemon when it has answered its first login."""

    DIRECTORY_HANGS = enum.auto()
    """All servers of the case's directory: connections are made by the kernel, and nothing is said any more."""
    LOG_FULL = enum.auto()
    """``/dev/log`` holds as many lines as it can, and nobody reads them. Ours has to be told to log there."""


class Run(NamedTuple):
    """One daemon, started anew, and what is done to it. Without a load only its start is measured."""

    program: Program
    arguments: tuple[str, ...] = ()
    load: Load | None = None
    attack: Load | None = None
    """Beside ``load``, begun before it and ended after it."""
    first: str = "OK"
    """The answer to the first login, by which it is seen that the daemon is there. Empty: any.

    It is the login of the case's first user, with the right password and the service of a load that names none:
    where there is a cache, it knows him from then on."""
    trouble: Trouble | None = None
    """Before ``attack`` begins."""
    laps: int = 0
    """``load`` is done so often, a lap after the other, however long it takes, and memory is looked at all the time.
    Such a run takes no turns: once is enough."""


class Figure(enum.Enum):
    """A measured value, by its key in a measurement."""

    RATE = "rate"
    P50 = "p50"
    P99 = "p99"
    MAX = "max"
    START = "start"
    MEMORY = "memory"
    CHECKING = "checking"
    GROWTH = "growth"
    FRONT_GROWTH = "front_growth"


UNITS = {
    Figure.RATE: "logins/s",
    Figure.P50: "us (median)",
    Figure.P99: "us (99%)",
    Figure.MAX: "us (longest)",
    Figure.START: "s",
    Figure.MEMORY: "MB",
    Figure.CHECKING: "s of CPU in workers",
    Figure.GROWTH: "of its first plateau, all",
    Figure.FRONT_GROWTH: "of its first plateau, the front",
}


class Comparison(NamedTuple):
    """A figure of the run ``subject``: beside a figure of the run ``base``, or alone if there is none."""

    subject: str
    base: str = ""
    figure: Figure = Figure.RATE
    base_figure: Figure | None = None
    """None: the same."""
    target: float | None = None
    """Of the ratio of the medians, or of the figure itself without a base. None: it is only shown."""
    is_limit: bool = False
    """The target is the most that there may be, not the least."""

    @property
    def figures(self) -> tuple[Figure, Figure]:
        """Of the subject and of the base."""
        return self.figure, self.base_figure or self.figure


class Case(NamedTuple):
    """One benchmark. ``runs`` take turns in this order, so that what the machine does meanwhile hits all alike."""

    name: str
    shows: str
    runs: Mapping[str, Run]
    comparisons: tuple[Comparison, ...]
    users: tuple[Users, ...] = ()
    """None: the daemon sees the machine's own accounts, of which only an unknown one is asked for."""
    directory: Directory | None = None
    """Where the users are; without, they are accounts of the machine."""
    seconds: float = 3.0
    """How long each run is measured."""
    needs_root: str = ""
    """Why only root can measure it."""

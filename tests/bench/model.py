"""What a benchmark is, as data: the users, what runs, what is asked of it, and which figures are set side by side."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from support.shadow import MD5

RIGHT, WRONG = "right-Pass_1", "wrong-Pass_2"


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
    expect: str = "OK"
    service: str = "bench"
    realm: str = ""


class Run(NamedTuple):
    """One daemon, started anew, and what is done to it. Without a load only its start is measured."""

    program: Program
    arguments: tuple[str, ...] = ()
    load: Load | None = None
    attack: Load | None = None
    """Beside ``load``, begun before it and ended after it."""
    first: str = "OK"
    """The answer to the first login, by which it is seen that the daemon is there. Empty: any."""


class Figure(enum.Enum):
    """A measured value, by its key in a measurement."""

    RATE = "rate"
    P99 = "p99"
    START = "start"
    MEMORY = "memory"


UNITS = {Figure.RATE: "logins/s", Figure.P99: "us", Figure.START: "s", Figure.MEMORY: "MB"}


class Comparison(NamedTuple):
    """A figure of the run ``subject``: beside the same figure of the run ``base``, or alone if there is none."""

    subject: str
    base: str = ""
    figure: Figure = Figure.RATE
    target: float | None = None
    """Of the ratio of the medians, or of the figure itself without a base. None: it is only shown."""
    is_limit: bool = False
    """The target is the most that there may be, not the least."""


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

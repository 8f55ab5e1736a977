"""Not a test: the program that ``test_hostile_front`` starts. The master is the real one."""

import contextlib
import errno
import json
import os
import select
import socket
import stat
import sys
import time
from pathlib import Path

from pysaslauthd import logs
from pysaslauthd.core import verbs
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.messages import VERSION
from pysaslauthd.core.verbs import ForMaster, ToFront, ToMaster
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.master import generation, process, supervisor
from pysaslauthd.master.activation import inherited_sockets
from pysaslauthd.master.entrances import Entrances, Listened
from pysaslauthd.master.generation import FrontPlan, NotReloadedError, Plan, PoolPlan
from pysaslauthd.master.mux import OwnSocket
from pysaslauthd.master.notify import ServiceManager
from pysaslauthd.master.privileges import Rights
from pysaslauthd.master.readiness import Readiness
from pysaslauthd.master.supervisor import Supervisor

LIMIT = 6
FOREVER = 600.0

PACKETS = {
    "unknown verb": b"\xff" + bytes(7),
    "short packet": b"\1",
    "long packet": verbs.encode(ForMaster(ToMaster.WANT)) * 2,
    "empty packet": b"",
    "wrong version": verbs.encode(ForMaster(ToMaster.READY, number=77)),
    "foreign pool": verbs.encode(ForMaster(ToMaster.WANT, pool=7)),
    "foreign worker": verbs.encode(ForMaster(ToMaster.KILL, number=4242)),
    "unasked answer": verbs.encode(ForMaster(ToMaster.SERVED)),
    "unknown level": verbs.encode(ForMaster(ToMaster.LEVEL, number=3)),
    "worker zero": verbs.encode(ForMaster(ToMaster.KILL, number=0)),
}
WANT = verbs.encode(ForMaster(ToMaster.WANT))


class Front:
    def __init__(
        self, attack: str, directory: Path, channel: socket.socket, listening: socket.socket
    ) -> None:
        self.attack = attack
        self.listening = listening
        self.diary = directory / "diary"
        self.channel = channel
        self.given = 0
        self.kept: list[int] = []

    def run(self) -> None:
        self.channel.send(verbs.encode(ForMaster(ToMaster.READY, number=VERSION)))
        if self.attack == "10,000 wants":
            for _ in range(10_000):
                self.channel.send(WANT)
            while self.given < LIMIT:
                self.listen(0.1)
            self.listen(1.0)  # whether there are more
            self.note()
            self.listen(FOREVER)
        elif self.attack == "kill and want":
            begin = time.monotonic()
            self.kill_and_want(2.0)
            self.note(seconds=time.monotonic() - begin)
            self.listen(FOREVER)
        elif self.attack == "reload without end":
            self.reload_without_end()
        elif self.attack == "deaf":
            self.note()
            self.be_deaf()
        else:
            self.note()
            self.attack_once()
            time.sleep(FOREVER)

    def attack_once(self) -> None:
        if self.attack == "descriptors":
            socket.send_fds(self.channel, [WANT], [0, 1])
        elif self.attack == "shut the socket down":
            self.listening.shutdown(socket.SHUT_RDWR)
            os._exit(1)
        elif self.attack == "block standard error":
            self.block_standard_error()
            os._exit(1)
        elif self.attack == "silent":
            self.listen(FOREVER)
        elif self.attack.startswith("kill pid "):
            self.channel.send(verbs.encode(ForMaster(ToMaster.KILL, number=int(self.attack.split()[-1]))))
        else:
            self.channel.send(PACKETS[self.attack])

    def block_standard_error(self) -> None:
        """Undo what keeps a write from waiting, for all openings we have, and fill the pipe."""
        for number in open_descriptors():
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.set_blocking(number, False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(number, b"x" * 4096)
                os.set_blocking(number, True)

    def listen(self, seconds: float) -> list[int]:
        """Take what the master says; the numbers of the workers that it gave."""
        numbers = []
        deadline = time.monotonic() + seconds
        while select.select([self.channel], [], [], max(0.0, deadline - time.monotonic()))[0]:
            packet, descriptors, _, _ = socket.recv_fds(self.channel, verbs.LARGEST, 1)
            if not packet:
                break
            message = verbs.decode_for_front(packet)
            if message.verb is ToFront.DRAIN:
                os._exit(0)
            if message.verb is ToFront.WORKER:
                self.given += 1
                self.kept += descriptors
                numbers.append(message.number)
        return numbers

    def kill_and_want(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.channel.send(WANT)
            for number in self.listen(0.0):
                self.channel.send(verbs.encode(ForMaster(ToMaster.KILL, number=number)))
            while self.kept:
                os.close(self.kept.pop())

    def reload_without_end(self) -> None:
        number = 0
        while True:
            number += 1
            with contextlib.suppress(BlockingIOError):
                self.channel.send(verbs.encode(ForMaster(ToMaster.RELOAD, number=number)))
            self.listen(0.0)

    def be_deaf(self) -> None:
        """Have workers started, which leave at once, and never read of either."""
        while True:
            self.channel.send(WANT)

    def note(self, **more: float) -> None:
        with self.diary.open("a") as diary:
            diary.write(json.dumps({"given": self.given, "limit": LIMIT, **more}) + "\n")


def refuse(role: process.Role) -> int:  # noqa: ARG001  (in the place of one that uses it)
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


class Impatience(Readiness):
    """Has the fronts killed that are silent, but not the first before it is there, which would be the end of the daemon."""

    def ready(self, remark: str = "") -> None:
        super().ready(remark)
        generation.FRONT_SILENCE = 1.0


def main() -> int:
    attack, directory = sys.argv[1], Path(sys.argv[2])
    generation.FRONT_SILENCE = FOREVER
    if attack == "no process to be had":
        supervisor.STARTUP_LIMIT = 0.5
        process.start = refuse
    logs.configure(verbose=False, syslog=None, stderr=True)
    given = inherited_sockets(os.environ)
    mux = given[0] if given else OwnSocket(directory / "mux")

    def not_reloaded(_before: Plan) -> Plan:
        with (directory / "diary").open("a") as diary:
            diary.write(json.dumps({"reloads_at": time.monotonic()}) + "\n")
        raise NotReloadedError("there is nothing to read")

    def front(channel: socket.socket, entrances: tuple[Entrance, ...]) -> None:
        Front(attack, directory, channel, entrances[0].socket).run()

    def worker(channel: socket.socket) -> None:
        if attack != "deaf":
            channel.recv(1)

    plan = Plan(
        FrontPlan(Rights(None), front),
        (PoolPlan("idle", Rights(None), LIMIT, worker),),
        Entrances((Listened(mux),)),
        (),
        watches=(),
        drain_limit=10,
        summary="",
    )
    readiness = Impatience() if attack == "silent" else Readiness()
    return Supervisor(plan, readiness, not_reloaded, ServiceManager(os.environ)).run()


if __name__ == "__main__":
    sys.exit(main())

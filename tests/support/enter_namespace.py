"""A program: go into namespaces of one's own, then become another program with the same process id.

``enter_namespace.py [--hostname NAME] [--bind FROM TO]... -- PROGRAM ARGUMENT...``

Root does so directly. A plain user needs a user namespace around it, in which he stays who he is:
mapped to root, programs would try what only the real root can. mount(8) would refuse that user, the
system call does not. The capabilities are gone with the exec, so the program has a user's rights.
"""

import argparse
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWUSER = 0x1000_0000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
PR_SET_PDEATHSIG = 1

EXIT_CANNOT = 125

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostname")
    parser.add_argument("--bind", nargs=2, action="append", default=[], metavar=("FROM", "TO"))
    parser.add_argument("program", nargs="+")
    given = parser.parse_args()
    try:
        _enter(bool(given.hostname), bool(given.bind))
        if given.hostname:
            socket.sethostname(given.hostname)
        for source, target in given.bind:
            _mount(source, target, MS_BIND | MS_REC)
        # So that nothing stays when whoever started us dies without a word.
        _call("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), *[ctypes.c_ulong(0)] * 3)
        os.execvp(given.program[0], given.program)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    return EXIT_CANNOT


def _enter(own_hostname: bool, own_mounts: bool) -> None:  # noqa: FBT001  (the two kinds there are)
    user, group = os.geteuid(), os.getegid()
    flags = (CLONE_NEWUTS if own_hostname else 0) | (CLONE_NEWNS if own_mounts else 0)
    if user != 0:
        flags |= CLONE_NEWUSER
    _call("unshare", flags)
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if own_mounts:
        # Where mounts are shared, as systemd makes them, ours would show on the host.
        _mount("none", "/", MS_REC | MS_PRIVATE)


def _mount(source: str, target: str, flags: int) -> None:
    _call("mount", os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main())

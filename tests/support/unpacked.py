"""Debian packages unpacked aside, not installed: the mail servers conflict with each other, and with the host's."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support.packages import cannot_run, need_program

CACHE = Path(__file__).parents[2] / ".cache"
"""Of the checkout; git does not look at it, and ``make clean`` removes it."""

_LIMIT = 300.0


def unpacked(name: str, *packages: str) -> Path:
    """The directory ``name`` in the cache, with ``packages`` and the libraries they lack unpacked in it.

    Made once; nothing is found there that did not come whole.
    """
    root = CACHE / name
    try:
        CACHE.mkdir(exist_ok=True)
        if root.is_dir():
            return root
        with (CACHE / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.is_dir():
                _make(root, packages)
    except PermissionError as error:
        cannot_run(f"needs {', '.join(packages)}, unpacked below {CACHE}: {error.strerror}")
    return root


def library_path(root: Path) -> str:
    """For ``LD_LIBRARY_PATH``: where the libraries of an unpacked package are, which the loader does not know."""
    return ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-*")))


def _make(root: Path, packages: Sequence[str]) -> None:
    for tool, package in (("apt-get", "apt"), ("apt-cache", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar")):
        need_program(tool, package)
    working = Path(tempfile.mkdtemp(prefix=f"{root.name}-", dir=CACHE))
    try:
        archives, tree = working / "archives", working / "tree"
        archives.mkdir()
        tree.mkdir()
        _download(packages, archives)
        for archive in archives.glob("*.deb"):
            _unpack(archive, tree)
        tree.rename(root)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _download(packages: Sequence[str], directory: Path) -> None:
    problem = _try_download(packages, directory, [])
    if problem:
        # The system's lists are missing or old. Lists of our own need no root and change nothing there.
        lists = directory.parent / "lists"
        (lists / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={directory.parent}"]
        problem = _run(["apt-get", "-q", *own, "update"]) or _try_download(packages, directory, own)
    if problem:
        cannot_run(f"needs the Debian packages {' '.join(packages)}, and apt-get says: {problem}")


def _try_download(packages: Sequence[str], directory: Path, options: Sequence[str]) -> str:
    wanted = [*packages, *_missing_libraries(packages, options)]
    # As root, apt would download as a user of its own, who cannot come here.
    command = ["apt-get", "-q", *options, "-o", "APT::Sandbox::User=root", "download", *wanted]
    return _run(command, directory)


def _missing_libraries(packages: Sequence[str], options: Sequence[str]) -> list[str]:
    """What ``packages`` need directly or not, as far as it is libraries, and is not installed."""
    found: list[str] = []
    waiting = list(packages)
    while waiting:
        output = _output(["apt-cache", *options, "depends", "--important", *waiting])
        words = [line.split() for line in output.splitlines() if "Depends: lib" in line]
        waiting = [w[-1] for w in words if w[-1] not in {*found, *packages} and not _is_installed(w[-1])]
        waiting = list(dict.fromkeys(waiting))
        found += waiting
    return found


def _is_installed(package: str) -> bool:
    return _output(["dpkg-query", "-W", "-f", "${db:Status-Status}", package]) == "installed"


def _unpack(archive: Path, tree: Path) -> None:
    # Not dpkg-deb -x: it would give files away to users who are others here, or nobody at all.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as contents:
        subprocess.run(
            ["tar", "--no-same-owner", "-x", "-C", tree], stdin=contents.stdout, check=True, timeout=_LIMIT
        )
    assert contents.returncode == 0, archive


def _run(command: Sequence[str], directory: Path | None = None) -> str:
    """What went wrong, on one line; nothing if nothing did."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=_LIMIT,
    )
    return "" if done.returncode == 0 else " ".join(done.stdout.decode(errors="replace").split())[-300:]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_LIMIT)
    return done.stdout.decode(errors="replace")

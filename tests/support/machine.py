"""A Debian of a test's own, with packages really installed, that leaves the host as it was.

Mail servers conflict with each other and with the host's, and what a package does to a machine can only be seen on
one. So a test gets a file system of layers: Debian's smallest system, made once; on it what some packages
install, made once for each set; on top what the test itself does, which is gone with it. It lives in namespaces of its
own: its mounts, its processes and its loopback, on which port 25 is free, are nobody else's and end with it, however the test ends.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from support.namespaces import in_network_of
from support.packages import cannot_run, need_program, need_root
from support.unpacked import CACHE, unpacked
from support.waiting import wait_until

HOSTNAME = "mx.example.test"
"""With a dot: sendmail waits a minute at its start for a better name than one without."""

_BASE = ("ca-certificates", "iproute2", "netbase", "procps", "python3")
_SUITE = "bookworm"
_MAKING_LIMIT = 600.0
_RUN_LIMIT = 120.0

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

_BOOT = r"""
set -e
root=$1 layers=$2 upper=$3 work=$4 hostname=$5
shift 5
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
while [ $# -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : >>"$root$2"; fi
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
    shift 2
done
hostname "$hostname"
printf '127.0.0.1 localhost %s\n' "$hostname" >"$root/etc/hosts"
chroot "$root" ip link set lo up
: >"$root/dev/booted"
"""


class Layer(NamedTuple):
    """Directories of files, the last of which lies on top."""

    directories: tuple[Path, ...]


class Machine:
    """``with Machine(layer) as machine`` has it run. Needs root.

    ``binds`` maps places in it, as absolute paths, to files or directories of the host, which are there to be read.
    With ``network`` it shares the host's, which is for downloads.
    """

    # It reaps whom others leave behind: with CHLD ignored, the kernel does it for it. (A trap does not do: dash keeps CHLD
    # for itself.) Who is not reaped counts as running for init scripts.
    first_program = """exec env --ignore-signal=CHLD chroot "$root" sleep infinity"""
    """By which the shell that made the machine, ``$root``, becomes its first process."""

    def __init__(
        self, layer: Layer, *, binds: Mapping[str, Path] | None = None, network: bool = False
    ) -> None:
        self._layer = layer
        self._binds = dict(binds or {})
        self._network = network
        self.directory = _working_directory()
        self.changes = self.directory / "upper"
        """What has been written in it, as files on the host."""
        self._holder: subprocess.Popen[bytes] | None = None
        self._first = 0
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for name in ("root", "upper", "work"):
            (self.directory / name).mkdir()
        if self._network:
            self._binds["/etc/resolv.conf"] = Path("/etc/resolv.conf")
        binds = [str(word) for place, file in self._binds.items() for word in (file, place)]
        layers = ":".join(str(each) for each in reversed(self._layer.directories))
        places = [self.directory / "root", layers, self.changes, self.directory / "work"]
        boot = ["sh", "-c", _BOOT + self.first_program, "sh", *map(str, places), HOSTNAME, *binds]
        namespaces = ["--mount", "--uts", "--ipc", "--pid", *(() if self._network else ("--net",))]
        with (self.directory / "boot.log").open("wb") as log:
            # Whatever becomes of us, nothing of it stays.
            self._holder = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork", "--kill-child", *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._has_booted, "the machine is up")
        except (TimeoutError, ChildProcessError) as error:
            text = (self.directory / "boot.log").read_text(errors="replace").strip()
            self.stop()
            cannot_run(f"needs namespaces and overlay mounts, and gets: {error}: {text}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _has_booted(self) -> bool:
        assert self._holder is not None
        if self._holder.poll() is not None:
            raise ChildProcessError(f"exit status {self._holder.returncode}")
        pid = self._holder.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/root/dev/booted").exists():
                self._first = int(children[0])
        return bool(self._first)

    def stop(self) -> None:
        """End all that runs there, and remove what it wrote."""
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            for process in self._started:
                process.wait()
        _remove(self.directory)

    @property
    def root(self) -> Path:
        """Its files as the host finds them: with what is mounted there, and sockets that can be connected to.

        No directory on the way may be a symbolic link such as ``var/run``: the host would follow it on its own disk.
        """
        return Path(f"/proc/{self._first}/root")

    def command(self, command: Sequence[str | Path], *, user: str = "") -> list[str]:
        """The command line that runs ``command`` there, by root or by ``user`` with all of his groups."""
        assert self._first
        words = ["nsenter", "--target", str(self._first), "--mount", "--uts", "--ipc", "--net", "--pid"]
        words += ["--root", "--wd", "--", "env", "-i", *(f"{k}={v}" for k, v in _ENVIRONMENT.items())]
        if user:
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*words, *map(str, command)]

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        given: str = "",
        user: str = "",
        limit: float = _RUN_LIMIT,
    ) -> "subprocess.CompletedProcess[str]":
        """Run it there to its end, with ``given`` on its standard input.

        With ``check`` it has to succeed, or what it printed is the failure.
        """
        done = subprocess.run(
            self.command(command, user=user),
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def shell(self, script: str, *, check: bool = True, user: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a script of the shell there."""
        return self.run("sh", "-euc" if check else "-uc", script, check=check, user=user)

    def start(self, *command: str | Path, log: Path, user: str = "") -> "subprocess.Popen[bytes]":
        """Run it there until the machine stops, if it does not end before; what it prints goes to ``log`` on the host."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(command, user=user),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Have a file there, and its directory."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", given=text)

    def read(self, path: str) -> str:
        """What a file there holds."""
        return self.run("cat", path).stdout

    def loopback(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what this thread connects to is on the loopback there."""
        return in_network_of(self._first)

    def has(self, path: str) -> bool:
        """Whether something has this name there."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def install(self, *packages: str | Path) -> None:
        """Install Debian packages, by name or from files there. Their services are not started; needs the network."""
        policy = "/usr/sbin/policy-rc.d"
        self.write(policy, "#!/bin/sh\nexit 101\n", 0o755)
        self.run("apt-get", "-qq", "update", limit=_MAKING_LIMIT)
        command = ("apt-get", "-y", "-qq", "--no-install-recommends", "install", *packages)
        self.run(*command, limit=_MAKING_LIMIT)
        self.run("rm", policy)


def debian(*packages: str) -> Layer:
    """Debian with these packages, besides the few that every machine here has. Downloaded once."""
    need_root()
    base = _made("debian", _make_base)
    if not packages:
        return base
    wanted = sorted(packages)
    return layer(f"debian-{'-'.join(wanted)}", base, lambda machine: machine.install(*wanted))


def layer(
    name: str, below: Layer, make: Callable[[Machine], None], *, binds: Mapping[str, Path] | None = None
) -> Layer:
    """What ``make`` did to a machine with ``below``, which has the network then. Made once under this name."""

    def build(target: Path) -> None:
        with Machine(below, binds=binds, network=True) as machine:
            make(machine)
            machine.run("apt-get", "clean")
            machine.changes.rename(target)

    return Layer((*below.directories, *_made(name, build).directories))


def _made(name: str, make: Callable[[Path], None]) -> Layer:
    """The directory ``name`` in the cache, where nothing is found that did not come whole."""
    CACHE.mkdir(exist_ok=True)
    place = CACHE / name
    if not place.is_dir():
        with (CACHE / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                with _scratch() as scratch:
                    make(scratch / name)
                    (scratch / name).rename(place)
    return Layer((place,))


def _make_base(target: Path) -> None:
    need_program("apt-get", "apt")
    program = shutil.which("mmdebstrap") or unpacked("mmdebstrap", "mmdebstrap") / "usr/bin/mmdebstrap"
    target.mkdir()
    done = subprocess.run(
        [program, "--quiet", "--variant=minbase", f"--include={','.join(_BASE)}", _SUITE, target],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_MAKING_LIMIT,
    )
    if done.returncode != 0:
        cannot_run(f"needs a Debian of its own, and mmdebstrap says: {done.stdout.strip()[-500:]}")


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    directory = _working_directory()
    try:
        yield directory
    finally:
        _remove(directory)


def _working_directory() -> Path:
    # Beside the layers: a directory is moved there, and what lies on an overlay can be no layer of another.
    CACHE.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="machine-", dir=CACHE))


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    assert not directory.exists() or os.geteuid() != 0, f"{directory} could not be removed"

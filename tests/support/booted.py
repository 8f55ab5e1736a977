"""A machine of a test's own whose first process is a real systemd, booted as in a container.

It has a group of processes (cgroup v2) of its own, in a hierarchy that is mounted nowhere but there, and may not load
modules, set the clock or write the host's kernel settings. It is powered off at the end, and nothing of it stays.
"""

import contextlib
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from support.machine import Layer, Machine
from support.packages import cannot_run
from support.waiting import wait_until

PACKAGES = ("dbus", "systemd", "systemd-sysv")
"""What a layer needs to be booted."""

_FIRST_PROGRAM = r"""
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t cgroup2 cgroup2 "$root/mnt"
mkdir "$root/mnt/@group@"
echo 0 >"$root/mnt/@group@/cgroup.procs"
umount "$root/mnt"
: >"$root/etc/machine-id"
# Not chroot alone: what systemd mounts has to reach its services, by shared mounts below a root of their own.
cd "$root"
pivot_root . mnt
exec unshare --cgroup chroot . sh -c '
    umount -l /mnt
    mount --make-rshared /
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
        env -i container=test /lib/systemd/systemd'
"""
_REMOVE_GROUP = 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'

_POWER_OFF_LIMIT = 60.0


class BootedMachine(Machine):
    """``with BootedMachine(layer) as machine`` has booted; the layer has :data:`PACKAGES`."""

    def __init__(self, layer: Layer, *, binds: Mapping[str, Path] | None = None) -> None:
        super().__init__(layer, binds=binds)
        self._group = f"pysaslauthd-test-{uuid.uuid4().hex[:12]}"
        self.first_program = _FIRST_PROGRAM.replace("@group@", self._group)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            wait_until(self._is_up, "systemd has booted")
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            log = (self.directory / "boot.log").read_text(errors="replace").strip()
            self.stop()
            cannot_run(f"needs to boot a systemd, and: {error}: {log}")
        return self

    def _is_up(self) -> bool:
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in {"running", "degraded"}

    def stop(self) -> None:
        """Power it off."""
        assert self._holder is not None
        if self._holder.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("systemctl", "poweroff", "--no-wall", check=False, limit=_POWER_OFF_LIMIT)
                self._holder.wait(_POWER_OFF_LIMIT)
            self._holder.kill()
            self._holder.wait()
        words = [
            "unshare",
            "--mount",
            "sh",
            "-euc",
            _REMOVE_GROUP,
            "sh",
            str(self.directory / "root"),
            self._group,
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_POWER_OFF_LIMIT)
        super().stop()
        assert done.returncode == 0, f"{self._group} could not be removed: {done.stderr}"

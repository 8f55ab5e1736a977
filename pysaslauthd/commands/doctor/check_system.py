"""The machine around the daemon: what starts it, and what the kernel's rules may forbid. Pure but for :func:`guards_of`."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor import cures
from pysaslauthd.commands.doctor.findings import Finding, fine, problem, warning
from pysaslauthd.commands.doctor.own import Own
from pysaslauthd.commands.doctor.tree import Tree
from pysaslauthd.config.complaints import Complaints
from pysaslauthd.config.shell_file import read_shell

LABEL = "saslauthd_var_run_t"
"""What SELinux' policy calls the run directory and what is in it."""

_PROFILE = re.compile(r"^(\S+) \((\w+)\)$")
_PROFILES = Path("/sys/kernel/security/apparmor/profiles")


def check_start(path: Path, text: str, *, is_ours: bool) -> Iterator[Finding]:
    """Whether an init script starts anything by this file: ours unless it says no, Debian's only if it says yes."""
    variables = read_shell(text, Complaints(str(path), "errors"), Complaints(str(path), "warnings"))
    start = variables.get("START")
    if start is not None and start.value != "yes":
        yield problem(
            "start-missing",
            f"{path}:{start.line}: START is {start.value or 'empty'} and not yes, so the init script starts nothing",
            *cures.replace_line(path, start.line, "START=yes"),
        )
    elif start is None and not is_ours:
        yield problem(
            "start-missing",
            f"{path} has no START=yes, so the init script starts nothing",
            *cures.append(path, "START=yes"),
        )
    else:
        yield fine("start", f"the init script starts what {path} says")


class Guards(NamedTuple):
    """The kernel's further rules. ``label`` is SELinux' of the run directory: None where there is no directory."""

    selinux_enforces: bool
    label: str | None
    confined: tuple[str, ...]
    """Programs that AppArmor confines, as its profiles name them."""
    allowed: tuple[str, ...]
    """Those of them whose profile speaks of saslauthd."""


def guards_of(tree: Tree, run_path: Path) -> Guards:
    """Look at what the kernel shows."""
    label = "" if tree.has(run_path) else None
    with contextlib.suppress(OSError):
        label = os.getxattr(tree.real(run_path), "security.selinux").decode(errors="replace").rstrip("\0")
    confined = []
    for line in (tree.read(_PROFILES) or "").splitlines():
        match = _PROFILE.match(line)
        if match and match[2] == "enforce":
            confined.append(match[1])
    allowed = tuple(name for name in confined if "saslauthd" in (_profile(tree, name) or ""))
    enforces = (tree.read(Path("/sys/fs/selinux/enforce")) or "").strip() == "1"
    return Guards(enforces, label, tuple(confined), allowed)


def _profile(tree: Tree, name: str) -> str | None:
    """The text of a profile and of what the administrator added to it."""
    file = name.strip("/").replace("/", ".")
    texts = [tree.read(Path("/etc/apparmor.d", each, file)) for each in (".", "local")]
    return "\n".join(filter(None, texts))


def check_guards(guards: Guards, own: Own, programs: dict[str, tuple[str, str]]) -> Iterator[Finding]:
    """Whether a denial is likely. ``programs``: for each that asks, the word by which a profile is its, and its socket."""
    if guards.selinux_enforces and guards.label is not None and LABEL not in guards.label:
        path = cures.quoted(own.run_path)
        yield warning(
            "selinux",
            f"SELinux enforces its policy, and {own.run_path} is labelled {guards.label or 'nothing'} and not {LABEL}:"
            " mail servers are likely to be denied",
            "ausearch -m AVC -ts recent",
            f"semanage fcontext -a -t {LABEL} {cures.quoted(Path(f'{own.run_path}(/.*)?'))}",
            f"restorecon -Rv {path}",
        )
    for name in guards.confined:
        for program, (word, path) in programs.items():
            if word in Path(name).name and name not in guards.allowed:
                file = f"/etc/apparmor.d/local/{name.strip('/').replace('/', '.')}"
                yield warning(
                    "apparmor",
                    f"AppArmor confines {program} ({name}), and its profile says nothing of saslauthd: it is likely to be"
                    f" denied {path}",
                    "journalctl -k -g apparmor=.DENIED",
                    *cures.append(Path(file), f"{path} rw,"),
                    f"apparmor_parser -r {cures.quoted(Path('/etc/apparmor.d', Path(file).name))}",
                )

"""A Debian with the project installed as an administrator has it: programs, init script, units and default file in their places."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.machine import Layer, Machine, debian, layer
from support.packages import cannot_run
from support.unpacked import CACHE

CHECKOUT = Path(__file__).parents[2]

_SOURCES = (
    "pysaslauthd",
    "initscripts",
    "systemd",
    "packaging/requirements.txt",
    "tests/support/installed.py",
)
_PYTHON = "3.11"
"""Of that Debian, whatever runs the tests."""

_LIBRARIES = "usr/lib/pysaslauthd"
_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{libraries}")
from pysaslauthd.commands.{module} import main

sys.exit(main())
"""
_PROGRAMS = {"pysaslauthd": "daemon", "pysaslauthctl": "control", "testpysaslauthd": "check"}

_FINISH = """
cp -a --no-preserve=ownership /mnt/staged/. /
python3 -m compileall -q /usr/lib/pysaslauthd
useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pysaslauthd
"""


def installed_layer(*packages: str) -> Layer:
    """Debian with these packages, and ours. Made once for the sources as they are; those of older ones are removed."""
    below = debian(*packages)
    name = "-".join(("installed", *sorted(packages)))
    full_name = f"{name}+{_digest()}"
    if not (CACHE / full_name).is_dir():
        for old in CACHE.glob(f"{name}+*"):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="psd-installed-") as scratch:
        staged = Path(scratch)

        def make(machine: Machine) -> None:
            machine.shell(_FINISH)

        if not (CACHE / full_name).is_dir():
            _stage(staged)
        return layer(full_name, below, make, binds={"/mnt/staged": staged})


def _digest() -> str:
    """Of all that is installed."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        path = CHECKOUT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(CHECKOUT)} {os.access(file, os.X_OK)}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _stage(root: Path) -> None:
    """All files, in their places below ``root``."""
    root.chmod(0o755)
    libraries = root / _LIBRARIES
    _fetch_libraries(libraries)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "pysaslauthd", libraries / "pysaslauthd", ignore=ignored)
    for program, module in _PROGRAMS.items():
        launcher = _LAUNCHER.format(libraries=_LIBRARIES, module=module)
        _put(root / "usr/sbin" / program, launcher.encode(), 0o755)
    script = CHECKOUT / "initscripts/pysaslauthd"
    _put(root / "etc/init.d/pysaslauthd", script.read_bytes(), 0o755)
    _put(root / "etc/default/pysaslauthd", script.with_suffix(".default").read_bytes())
    units = root / "usr/lib/systemd/system"
    for unit in (CHECKOUT / "systemd").glob("pysaslauthd*.*"):
        if unit.suffix in {".service", ".socket"}:
            _put(units / unit.name, unit.read_bytes())
    sandbox = CHECKOUT / "systemd/pysaslauthd.service.d/10-sandbox.conf"
    for service in ("pysaslauthd", "pysaslauthd@"):
        _put(units / f"{service}.service.d" / sandbox.name, sandbox.read_bytes())
    for kind in ("sysusers", "tmpfiles"):
        file = CHECKOUT / "systemd" / f"pysaslauthd.{kind}"
        _put(root / f"usr/lib/{kind}.d/pysaslauthd.conf", file.read_bytes())


def _put(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _fetch_libraries(directory: Path) -> None:
    """The pinned libraries, each checked by its hash, for the Python that Debian has."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    which = ["--python-version", _PYTHON, "--implementation", "cp", "--only-binary", ":all:"]
    what = ["--no-deps", "--require-hashes", "-r", str(CHECKOUT / "packaging/requirements.txt")]
    done = subprocess.run(
        [*pip, *which, "--target", str(directory), *what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        cannot_run(f"needs the project's libraries, and pip says: {done.stdout.strip()[-500:]}")

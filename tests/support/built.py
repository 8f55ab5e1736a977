"""Our packages, built once from the checkout as it is now, in a Debian of their own."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support import guides
from support.machine import Layer, Machine, debian, layer
from support.packages import need_root
from support.unpacked import CACHE

ROOT = Path(__file__).parents[2]

LOWER = "0.0.9"
"""The version of the packages that are built to be upgraded."""

GUIDE = "debian-package"
"""Of the README: how a Debian package is built and installed."""

_MAKE, *INSTALL = guides.blocks(GUIDE)[1].text.splitlines()
_PLACE = "packages"
_LIMIT = 300.0

# The lower version comes of the same tree, as there is no older one with packages.
_BUILD = f"""
export DEBFULLNAME="A test/of & names" DEBEMAIL=test@example.com
cp -r /source /tmp/source
cd /tmp/source
touch build/wheels
{_MAKE}
make rpm
mv dist /{_PLACE}
sed -i 's/^__version__ = .*/__version__ = "{LOWER}"/' pysaslauthd/__init__.py
make deb rpm
mv dist /{_PLACE}/lower
rm -r /tmp/source
"""


def builder() -> Layer:
    """A Debian with all that building needs."""
    return debian(*guides.packages(GUIDE), "lintian", "rpm")


def packages() -> Path:
    """The directory of the packages; those of a lower version are in ``lower`` in it."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="psd-source-") as scratch:
        source = Path(scratch) / "source"
        _call("source.sh", wheels(), source)
        name = f"built-{_digest(source)}"
        made = layer(name, builder(), _build, binds={"/source": source})
    _forget_all_but(name)
    return made.directories[-1] / _PLACE


def debian_package(name: str = "pysaslauthd", directory: str = ".") -> Path:
    """The file of a Debian package."""
    (found,) = (packages() / directory).glob(f"{name}_*.deb")
    return found


def wheels() -> Path:
    """The libraries that go into packages, downloaded once for each list of them, for the Python of a machine."""
    requirements = ROOT / "packaging/requirements.txt"
    directory = CACHE / f"wheels-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    if not directory.is_dir():
        scratch = directory.with_suffix(".part")
        _call("wheels.sh", sys.executable, scratch, "3.11")
        scratch.rename(directory)
    return directory


def _build(machine: Machine) -> None:
    machine.run("sh", "-euc", _BUILD, limit=_LIMIT)


def _digest(source: Path) -> str:
    """Of all files that may go into a package, and of how they are built."""
    summed = hashlib.sha256(_BUILD.encode())
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        summed.update(f"{file.relative_to(source)}\0{file.stat().st_mode:o}\0".encode())
        summed.update(file.read_bytes())
    return summed.hexdigest()[:16]


def _call(script: str, *arguments: str | Path) -> None:
    subprocess.run([ROOT / "packaging" / script, *arguments], check=True, timeout=_LIMIT)


def _forget_all_but(name: str) -> None:
    """Builds of what the checkout was once are of no use to anybody."""
    for old in CACHE.glob("built-*"):
        if not old.name.startswith(name):
            shutil.rmtree(old) if old.is_dir() else old.unlink()

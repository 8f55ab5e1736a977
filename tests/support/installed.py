"""A Debian with the project installed as an administrator has it: by its package."""

import hashlib
import shutil
from pathlib import Path

from support.built import debian_package
from support.machine import Layer, Machine, debian, layer
from support.unpacked import CACHE

CHECKOUT = Path(__file__).parents[2]

_PACKAGE = "/mnt/pysaslauthd.deb"


def installed_layer(*packages: str) -> Layer:
    """Debian with these packages, and ours. Made once for the sources as they are; those of older ones are removed."""
    package = debian_package()
    name = "-".join(("installed", *sorted(packages)))
    full_name = f"{name}+{hashlib.sha256(package.read_bytes()).hexdigest()[:16]}"
    for old in CACHE.glob(f"{name}+*"):
        if not old.name.startswith(full_name):
            shutil.rmtree(old, ignore_errors=True)

    def make(machine: Machine) -> None:
        machine.install(_PACKAGE)

    return layer(full_name, debian(*packages), make, binds={_PACKAGE: package})

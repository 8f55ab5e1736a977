"""The profile for AppArmor and the module for SELinux are taken by their own compilers. Neither is enforced in any test."""

import pytest

from support.built import ROOT
from support.machine import Machine, debian

pytestmark = pytest.mark.timeout(1200)  # The first to come makes a machine.

TOOLS = ("apparmor", "selinux-policy-dev")


def test_apparmor_takes_the_profile() -> None:
    with Machine(debian(*TOOLS), binds={"/policies": ROOT / "packaging/apparmor"}) as machine:
        machine.run("apparmor_parser", "-Q", "-K", "/policies/usr.sbin.pysaslauthd")


def test_selinux_takes_the_module() -> None:
    with Machine(debian(*TOOLS), binds={"/policies": ROOT / "packaging/selinux"}) as machine:
        machine.shell(
            "cp -r /policies /tmp/module; cd /tmp/module; make -f /usr/share/selinux/devel/Makefile pysaslauthd.pp"
        )
        assert machine.has("/tmp/module/pysaslauthd.pp")

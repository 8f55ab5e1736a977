"""The files by which distributions start saslauthd, as they come with its package."""

from pathlib import Path

from support.packages import cannot_run

DEBIAN = """\
# What Debian's /etc/default/saslauthd assigns, less its explanations.

DESC="SASL Authentication Daemon"
NAME="saslauthd"

# Example: MECHANISMS="pam"
MECHANISMS="pam"
MECH_OPTIONS=""
THREADS=5
OPTIONS="-c -m /var/run/saslauthd"
"""

RED_HAT = """\
# What Red Hat's /etc/sysconfig/saslauthd assigns, less its explanations.
SOCKETDIR=/run/saslauthd

MECH=pam

# Further flags.
FLAGS=
"""

INSTALLED = Path("/etc/default/saslauthd")


def installed() -> bytes:
    """The file of Debian's package sasl2-bin, as it is on this machine."""
    if not INSTALLED.exists():
        cannot_run(f"needs {INSTALLED}, of the Debian package sasl2-bin")
    return INSTALLED.read_bytes()

"""What PAM modules write to the log is found under the original's name."""

import pytest

from support.machine_daemon import IGOR, MUX, WRONG, daemon
from support.program_machines import Machines

pytestmark = pytest.mark.timeout(1200)  # The first to come builds the package and a machine.


def test_a_module_is_saslauthd_and_not_the_interpreter(machines: Machines) -> None:
    served = machines["postfix"]
    ask = ("testpysaslauthd", "-f", f"/{MUX}", "-u", IGOR, "-p", WRONG, "-s", "smtp")
    with daemon(served.machine, "pam"):
        assert "NO" in served.machine.run(*ask, check=False).stdout
        assert b" saslauthd[" in served.log.find(b"pam_unix(smtp:auth): authentication failure;")

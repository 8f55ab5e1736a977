"""Debian's sendmail on a port of the loopback, run where it was unpacked, as whoever runs the tests.

sendmail finds everything by its configuration file, so it needs neither an installation nor a
changed root; the file is made for each run from Debian's own m4 macros.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from support import smtp
from support.background import Background
from support.namespaces import inside, need_namespaces
from support.packages import need_program
from support.sasl_clients import write_configuration
from support.tcp_ports import free_port
from support.unpacked import library_path, unpacked

PACKAGES = ("sendmail-bin", "sendmail-cf", "sendmail-base")

# With a host name that has no dot, sendmail waits a minute at its start for a better one.
HOSTNAME = "mx.example.test"

# TRUSTED_USER: a user other than root may run the daemon only as that. M=Ea: nothing goes without AUTH.
# The load of the machine is no reason to refuse a test. An E line sets the environment, which
# sendmail has cleared before it comes to libsasl.
_MACROS = """\
divert(0)dnl
define(`_CF_DIR_', `{macros}/')dnl
include(`{macros}/m4/cf.m4')dnl
define(`confDOMAIN_NAME', `{hostname}')dnl
OSTYPE(`linux')dnl
define(`confEBINDIR', `/nonexistent')dnl
define(`LOCAL_MAILER_PATH', `/bin/false')dnl
define(`ALIAS_FILE', `{directory}/aliases')dnl
define(`confCW_FILE', `{directory}/local-host-names')dnl
define(`confSERVICE_SWITCH_FILE', `{directory}/service.switch')dnl
define(`QUEUE_DIR', `{directory}/queue')dnl
define(`STATUS_FILE', `{directory}/statistics')dnl
define(`HELP_FILE', `{directory}/helpfile')dnl
define(`confPID_FILE', `{directory}/sendmail.pid')dnl
define(`confTRUSTED_USER', `{user}')dnl
define(`confDELIVERY_MODE', `queueonly')dnl
define(`confREFUSE_LA', `10000')dnl
define(`confQUEUE_LA', `10000')dnl
define(`confTO_IDENT', `0')dnl
define(`confDONT_BLAME_SENDMAIL',
  `GroupWritableDirPathSafe,GroupWritableForwardFileSafe,WorldWritableAliasFile,TrustStickyBit')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=MSA, Port={port}, Addr={host}, M=Ea')dnl
define(`confAUTH_OPTIONS', `A')dnl
define(`confAUTH_MECHANISMS', `LOGIN PLAIN')dnl
TRUST_AUTH_MECH(`LOGIN PLAIN')dnl
FEATURE(`accept_unresolvable_domains')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
ESASL_CONF_PATH={directory}/sasl2
"""


class Sendmail:
    """``with Sendmail(mux) as sendmail`` has it ask the daemon on ``mux`` for every AUTH on ``sendmail.port``."""

    def __init__(self, mux: Path) -> None:
        m4 = need_program("m4", "m4")
        need_namespaces()
        root = unpacked("sendmail", *PACKAGES)
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self._program = self._own_program(root)
        self._libraries = library_path(root)
        self.port = free_port()
        self._write_files(mux)
        macros = _MACROS.format(
            macros=root / "usr/share/sendmail/cf",
            directory=self.directory,
            hostname=HOSTNAME,
            user=os.geteuid(),
            port=self.port,
            host=smtp.HOST,
        )
        self._configuration = self.directory / "sendmail.cf"
        with self._configuration.open("wb") as file:
            subprocess.run([m4], input=macros.encode(), stdout=file, check=True, timeout=60)
        self._background: Background | None = None

    def __enter__(self) -> Self:
        command = inside([self._program, f"-C{self._configuration}", "-bD"], hostname=HOSTNAME)
        environment = {"LD_LIBRARY_PATH": self._libraries}
        try:
            self._background = Background(command, self.directory / "log", environment)
            self._background.wait_ready(lambda: smtp.is_up(self.port), "sendmail greets")
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._background is not None
        try:
            # It has a process for each connection, which may outlast the connection by a moment.
            self._background.wait_childless()
        finally:
            try:
                self._background.stop()
            finally:
                shutil.rmtree(self.directory)

    def _own_program(self, root: Path) -> Path:
        # libsasl ignores SASL_CONF_PATH in a set-group-id program, which Debian's is.
        program = self.directory / "sendmail"
        shutil.copyfile(root / "usr/libexec/sendmail/sendmail", program)
        program.chmod(0o755)
        return program

    def _write_files(self, mux: Path) -> None:
        (self.directory / "queue").mkdir(mode=0o700)
        (self.directory / "sasl2").mkdir()
        write_configuration(self.directory / "sasl2", "Sendmail", mux)
        (self.directory / "aliases").touch()
        (self.directory / "local-host-names").touch()
        (self.directory / "service.switch").write_text("hosts files\naliases files\n")

"""What PAM reads, of a test's own: the service files, the accounts and whatever a module is told to use."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from support.accounts import Account, write_databases

PAM_D = Path("/etc/pam.d")

PERMIT = "auth required pam_permit.so\naccount required pam_permit.so\n"
DENY = "auth required pam_deny.so\naccount required pam_deny.so\n"
UNIX = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n"


class PamFiles:
    """``with PamFiles(accounts) as files``: a directory that is gone afterwards.

    ``binds`` says which of it takes the place of what. There are the services ``permit``, ``deny``
    and ``unix``, and ``other``, which denies.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        # Not pytest's tmp_path: another user has to come to it where root starts a daemon as one.
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.directory.chmod(0o755)
        self._services = self.directory / "pam.d"
        self._services.mkdir()
        self.binds = {PAM_D: self._services}
        own = list(accounts)
        if own:
            self.binds |= write_databases(self.directory, own)
        for name, stack in (("permit", PERMIT), ("deny", DENY), ("other", DENY), ("unix", UNIX)):
            self.service(name, stack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory)

    def service(self, name: str, stack: str) -> None:
        """Write the service ``name``; PAM reads it at each login."""
        (self._services / name).write_text(stack)

    def file(self, name: str, text: str = "") -> Path:
        """Write a file for a module to read, or one that it may write."""
        path = self.directory / name
        path.write_text(text)
        return path

    def script(self, name: str, text: str) -> Path:
        """Write a program for ``/bin/sh``."""
        path = self.file(name, f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

"""The run directory.

It is created if its parent exists, and never chmodded or chowned: who may ask for passwords is
decided by its mode, and that is the administrator's. But nobody else may be able to write it.
"""

import os
from pathlib import Path

from pysaslauthd.config.options import SOCKET_NAME
from pysaslauthd.config.settings import LONGEST_SOCKET_PATH
from pysaslauthd.master import places
from pysaslauthd.master.places import UnsafePlaceError

DIRECTORY_MODE = 0o755


class RunPathError(Exception):
    """The run directory or a socket cannot be had; the message is in the original's words."""


def hint(what: str) -> str:
    """The original's two lines of advice."""
    return f"Check to make sure the {what} exists and is\nwriteable by the user this process runs as."


def enter(path: Path) -> None:
    """Create the directory if need be (one level, mode 0755 less the umask) and go there.

    :raises RunPathError: it cannot be created or entered, or somebody else can write it.
    """
    if len(os.fsencode(path / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
        raise RunPathError(
            f"run path too long: {path}\nthe socket's path, {SOCKET_NAME} included, may have {LONGEST_SOCKET_PATH} bytes"
        )
    try:
        path.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        pass
    except OSError as error:
        raise RunPathError(
            f"can not mkdir: {path}\nmkdir: {error.strerror}\n{hint('parent directory')}"
        ) from None
    try:
        places.make_sure_of(path)
        os.chdir(path)
    except UnsafePlaceError as error:
        raise RunPathError(f"run path is not safe: {path}\n{error}") from None
    except OSError as error:
        raise RunPathError(
            f"could not chdir to: {path}\nchdir: {error.strerror}\n{hint('directory')}"
        ) from None

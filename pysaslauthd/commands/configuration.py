"""The files that say how to run: read at the start and again at each reload, on top of the same command line.

They are read by root. That is right for files that only root can write, as who writes them decides
what runs as root; so any other is refused. (``saslauthd.conf`` is another thing: it tells of a
directory, comes from whoever runs that, and is looked into by a process without rights.)
"""

import os
import stat
from pathlib import Path

from pysaslauthd.config.command_line import DEFAULT_FILE, CommandLine
from pysaslauthd.config.defaults_file import Defaults, read_defaults
from pysaslauthd.config.given import Effective, Found, combined
from pysaslauthd.config.options import DEFAULT_RUN_PATH
from pysaslauthd.config.toml_file import read_toml

LARGEST_FILE = 1 << 20
"""Bytes that are read of a file; each kind has a limit of its own below that."""


class Configuration:
    """What the command line and the files that it names say together, each time it is asked."""

    def __init__(self, line: CommandLine) -> None:
        self._line = line

    def read(self) -> Effective:
        """What counts now: a flag before a defaults file's flag, before the configuration file, before the default.

        :raises OptionError: one line for each thing that is wrong, in all of them.
        """
        sources, foreground = self._sources()
        return combined(sources, foreground=foreground)

    def run_path(self) -> tuple[Path, list[str]]:
        """Where a daemon is that was started by this, and what is wrong by now where that should be said.

        Who wants to stop it has to find it whatever else is wrong.
        """
        path, errors = DEFAULT_RUN_PATH, list[str]()
        for source in self._sources()[0]:
            named = [each.value for each in source.given if each.name == "run_path"]
            if named:
                assert isinstance(named[-1], Path)
                path, errors = named[-1], []
            else:
                errors += source.errors
        return path, errors

    def _sources(self) -> tuple[tuple[Found, ...], bool]:
        """What each source gives, the one that counts most last; and whether to stay in the foreground."""
        line = self._line
        defaults = _defaults(line.defaults) if line.defaults else Defaults(Found())
        settings = _settings(line.config or defaults.config)
        return (settings, defaults.found, line.found), line.foreground or defaults.foreground


def _settings(named: Path | None) -> Found:
    path = named or DEFAULT_FILE
    try:
        return read_toml(_trusted(path), str(path))
    except FileNotFoundError as error:
        return Found() if named is None else _unreadable(path, error)
    except OSError as error:
        return _unreadable(path, error)


def _defaults(path: Path) -> Defaults:
    try:
        return read_defaults(_trusted(path), str(path))
    except OSError as error:
        return Defaults(_unreadable(path, error))


def _unreadable(path: Path, error: OSError) -> Found:
    return Found(errors=(f"{path}: {error.strerror}",))


def _trusted(path: Path) -> bytes:
    """What a file holds that belongs to root or to this user, and that nobody else can write.

    :raises OSError: it is another file, or cannot be read; ``strerror`` says why.
    """
    # Without O_NONBLOCK a named pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _refuse_untrusted(os.fstat(descriptor))
        return os.read(descriptor, LARGEST_FILE)
    finally:
        os.close(descriptor)


def _refuse_untrusted(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise OSError(0, f"expected a file of root's, found one of the user with id {status.st_uid}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        raise OSError(0, f"expected a file that its owner alone can write, found mode {mode:04o}")

"""PAM modules of the tests' own, compiled with the system's compiler."""

import subprocess
from pathlib import Path

from support.packages import cannot_run, need_program

_SOURCES = Path(__file__).with_name("modules")

_MATRIX = "usr/lib/*/pam_wrapper/pam_matrix.so"


def compiled(name: str, directory: Path) -> Path:
    """The module of ``modules/NAME.c``, built in ``directory``.

    No header of PAM is needed: the sources declare what they use. libpam is linked by its file's
    name, as the one without a version belongs to the development package.
    """
    compiler = need_program("cc", "gcc")
    module = directory / f"{name}.so"
    source = _SOURCES / f"{name}.c"
    options = ("-Wall", "-Wextra", "-shared", "-fPIC")
    command = [compiler, *options, "-o", module, source, "-l:libpam.so.0"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return module


def matrix() -> Path:
    """The module that checks passwords against a text file."""
    found = next(Path("/").glob(_MATRIX), None)
    if found is None:
        cannot_run("needs pam_matrix.so, of the Debian package libpam-wrapper")
    return found

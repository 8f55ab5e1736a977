"""The programs in C, compiled on the spot."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from bench.errors import BenchError
from support.packages import need_program
from support.unpacked import CACHE

_FLAGS = ("-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")


def compiled(name: str) -> Path:
    """The program made of ``name.c``, in the checkout's cache; made again when a source is another."""
    source = Path(__file__).with_name(f"{name}.c")
    sources = [source, *sorted(source.parent.glob("*.h"))]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]
    program = CACHE / "bench" / f"{name}-{digest}"
    if not program.exists():
        _compile(source, program)
    return program


def _compile(source: Path, program: Path) -> None:
    compiler = need_program("gcc", "gcc")
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when whole, as others may look for it meanwhile.
        descriptor, working = tempfile.mkstemp(dir=program.parent)
    except PermissionError as error:
        raise BenchError(f"cannot write to {program.parent}: {error.strerror}") from None
    os.close(descriptor)
    done = subprocess.run(
        [compiler, *_FLAGS, "-o", working, source], capture_output=True, check=False, timeout=120
    )
    if done.returncode != 0:
        Path(working).unlink()
        raise BenchError(
            f"cannot compile {source} (needs the Debian package libc6-dev):\n"
            + done.stderr.decode(errors="replace")
        )
    Path(working).rename(program)

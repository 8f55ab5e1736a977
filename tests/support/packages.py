"""What a test needs of the system, and what it says when that is not there."""

import os
import shutil
from pathlib import Path
from typing import Never

import pytest

TEST_ALL = "PYSASLAUTHD_TEST_ALL"
"""In the environment: a test that cannot run is a failure, not a skip."""


def cannot_run(reason: str) -> Never:
    """Skip the test, or fail it where all have to run."""
    if os.environ.get(TEST_ALL):
        pytest.fail(f"{TEST_ALL} is set, and this test cannot run: {reason}")
    pytest.skip(reason)


def need_root() -> None:
    """The test is about what root gives up, so it needs root."""
    if os.geteuid() != 0:
        cannot_run("needs root")


def need_program(name: str, package: str) -> Path:
    """The path of a program that a Debian package brings."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        cannot_run(f"needs {name}, of the Debian package {package}")
    return Path(found)

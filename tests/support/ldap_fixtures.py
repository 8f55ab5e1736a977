"""Fixtures: one authority and one slapd for all tests that only ask them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Certificates
from support.slapd import Options, Slapd


@pytest.fixture(scope="session")
def certificates() -> Iterator[Certificates]:
    directory = Path(tempfile.mkdtemp(prefix="psd-"))
    try:
        yield Certificates(directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def slapd(certificates: Certificates) -> Iterator[Slapd]:
    """With TLS and :func:`support.ldap_directory.directory`. Who stops or changes one starts his own."""
    with Slapd(Options(certificates=certificates)) as running:
        yield running

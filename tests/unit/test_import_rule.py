"""The folders are processes with their privileges; what may import what keeps them apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pysaslauthd

PACKAGE = Path(pysaslauthd.__file__).parent
ANYWHERE = {"__version__", "core", "config", "deadlines", "descriptors", "logs", "sealed"}
ALLOWED = {
    "core": {"core"},
    "config": {"__version__", "config", "core"},
    "front": ANYWHERE | {"front"},
    "mechanisms": ANYWHERE | {"mechanisms"},
    "workers": ANYWHERE | {"mechanisms", "workers"},
    "master": ANYWHERE | {"master"},
    "commands": ANYWHERE | {"client", "commands", "front", "master", "workers"},
    "logs": {"logs", "sealed"},
    "": {"core"},
}
"""What the modules of a folder may import of ours; "" is the package itself, so ``client`` and ``sealed``. All write
to ``logs``, which know of nobody; what they lend to the journal has to be sealed."""

IMPORTERS = {
    "uvloop": {"front/process.py", "workers/concurrent.py"},
    "structlog": {"logs/formats.py", "logs/setup.py"},
    "pam": {"mechanisms/pam.py"},
    "prometheus_client": {"front/metrics_http.py"},
    "argon2": {"mechanisms/ldap/passwords.py"},
    "ldap3": {"mechanisms/ldap/connect.py", "mechanisms/ldap/filter_parser.py"},
}
"""Packages that few modules of ours deal with, so that they can be judged and replaced there."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_folder_imports_what_its_process_must_not_know(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    folder = relative.parts[0] if len(relative.parts) > 1 else ""
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "pysaslauthd" and rest:
            assert rest.split(".")[0] in ALLOWED[folder]
        assert str(relative) in IMPORTERS.get(package, {str(relative)})


def test_the_rule_sees_an_import_that_it_forbids(tmp_path: Path) -> None:
    module = tmp_path / "x.py"
    module.write_text("def f():\n    from pysaslauthd.master import kernel\n")
    assert "pysaslauthd.master" in set(imports(module))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outgrows_its_design(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500

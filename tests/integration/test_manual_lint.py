"""mandoc finds nothing to say about the manual pages."""

import re
import subprocess
from pathlib import Path

import pytest

from support.packages import need_program

PAGES = sorted((Path(__file__).parents[2] / "packaging/man").iterdir())
MESSAGE = re.compile(r"^mandoc: [^:]+:\d+:\d+: (?!STYLE: referenced manual not found).*", re.MULTILINE)
"""Which other pages there are is the machine's business."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_clean(page: Path) -> None:
    mandoc = need_program("mandoc", "mandoc")
    done = subprocess.run(
        [mandoc, "-Tlint", "-Wstyle", page], capture_output=True, text=True, check=False, timeout=60
    )
    assert MESSAGE.findall(done.stdout + done.stderr) == []
    text = subprocess.run([mandoc, "-Tutf8", page], capture_output=True, text=True, check=True, timeout=60)
    assert text.stdout.startswith(page.stem.upper())

"""What the kernel says of how much wants to run."""

import os
from pathlib import Path

import pytest

from pysaslauthd.front import processor


@pytest.mark.parametrize(
    ("more_than_processors", "is_busy"), [(-100, False), (0, False), (1, False), (2, True), (30, True)]
)
def test_is_busy_when_more_wants_to_run_than_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more_than_processors: int, *, is_busy: bool
) -> None:
    file = tmp_path / "loadavg"
    file.write_text(
        f"0.50 1.00 2.00 {max(1, len(os.sched_getaffinity(0)) + more_than_processors)}/345 6789\n"
    )
    monkeypatch.setattr(processor, "LOADAVG", file)
    assert processor.is_busy() is is_busy


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 many/few 5"])
def test_is_not_known_to_be_busy_where_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "loadavg"
    file.write_text(text)
    monkeypatch.setattr(processor, "LOADAVG", file)
    assert not processor.is_busy()
    monkeypatch.setattr(processor, "LOADAVG", tmp_path / "none")
    assert not processor.is_busy()


def test_reads_what_the_kernel_writes() -> None:
    assert isinstance(processor.is_busy(), bool)
    int(processor.LOADAVG.read_text().split()[3].partition("/")[0])

"""The file for the textfile collector: whole or not there, and never in anybody's way."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from pysaslauthd.front import metrics_file
from pysaslauthd.front.metrics_file import MetricsFile
from support.packages import cannot_run, need_root
from support.waiting import LIMIT, wait_until

SAID = "cannot write metrics_file"


class Stage:
    """A loop, a file, and the log of what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.text = "one\n"
        self.said: list[str] = []
        self.loop = uvloop.new_event_loop()
        self.keep(path)

    def keep(self, path: Path) -> None:
        """Another place for it."""
        self.path = path
        self.file = MetricsFile(self.loop, path, lambda: self.text)

    def until(self, condition: Callable[[], object], what: str) -> None:
        def holds() -> object:
            self.loop.run_until_complete(asyncio.sleep(0))
            return condition()

        wait_until(holds, what)

    def write(self) -> None:
        """Have it written, or not, once."""
        self.file.write()
        self.until(lambda: self.file._pending is None, "it has been tried")  # noqa: SLF001  (the result is what counts)

    def begin(self) -> None:
        self.file.begin()
        self.until(lambda: self.file._pending is None, "it has been tried")  # noqa: SLF001  (see above)

    def until_it_holds(self, text: str) -> None:
        self.until(lambda: self.path.exists() and self.path.read_text() == text, f"it holds {text!r}")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(tmp_path / "x.prom")
    for level in ("error", "info"):
        monkeypatch.setattr(f"pysaslauthd.front.metrics_file.log.{level}", made.said.append, raising=False)
    umask = os.umask(0o077)  # the daemon's
    yield made
    os.umask(umask)
    made.file.end()
    made.file.wait()
    made.loop.close()


class TestTheFile:
    def test_holds_what_there_is_to_say(self, stage: Stage) -> None:
        stage.begin()
        assert stage.path.read_text() == "one\n"
        stage.text = "two\n" * 10_000
        stage.write()
        assert stage.path.read_text() == stage.text
        assert stage.path.stat().st_mode & 0o7777 == 0o644
        assert stage.said == []

    def test_is_written_again_and_again(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(metrics_file, "INTERVAL", 0.01)
        stage.begin()
        stage.text = "two\n"
        stage.until_it_holds("two\n")

    def test_is_whole_whenever_it_is_there(self, stage: Stage) -> None:
        stage.text = "x" * 5_000_000 + "\n"
        seen = set()
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                if stage.path.exists():
                    seen.add(len(stage.path.read_bytes()))

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(10):
            stage.write()
        wait_until(lambda: bool(seen), "it has been read")
        stop.set()
        reader.join()
        assert seen == {len(stage.text)}

    def test_goes_with_the_front(self, stage: Stage) -> None:
        stage.begin()
        stage.file.end()
        stage.file.wait()
        assert list(stage.path.parent.iterdir()) == []

    def test_stays_if_it_is_the_next_fronts(self, stage: Stage) -> None:
        stage.begin()
        fresh = stage.path.with_suffix(".next")
        fresh.write_text("another's\n")
        fresh.rename(stage.path)
        stage.file.end()
        stage.file.wait()
        assert stage.path.read_text() == "another's\n"

    def test_replaces_a_link_and_does_not_follow_it(self, stage: Stage) -> None:
        precious = stage.path.with_name("precious")
        precious.write_text("precious\n")
        stage.path.symlink_to(precious)
        stage.path.with_name(f"x.prom.{os.getpid()}").symlink_to(precious)
        stage.write()
        assert stage.path.read_text() == "one\n"
        assert precious.read_text() == "precious\n"
        assert sorted(each.name for each in stage.path.parent.iterdir()) == ["precious", "x.prom"]


class TestWhatGoesWrong:
    def test_is_said_once_and_so_is_its_end(self, stage: Stage) -> None:
        directory = stage.path.parent / "later"
        stage.keep(directory / "x.prom")
        for _ in range(3):
            stage.write()
        assert stage.said == [f"{SAID} {stage.path}: No such file or directory"]
        directory.mkdir()
        for _ in range(3):
            stage.write()
        assert stage.said[1:] == [f"metrics_file {stage.path} can be written again"]
        assert stage.path.read_text() == "one\n"

    def test_a_full_disk_leaves_the_old_file_and_nothing_else(self, stage: Stage) -> None:
        need_root()
        disk = stage.path.parent / "disk"
        disk.mkdir()
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False
        )
        if mount.returncode:
            cannot_run(f"needs to mount: {mount.stderr.decode(errors='replace').strip()}")
        try:
            stage.keep(disk / "x.prom")
            stage.write()
            stage.text = "too much\n" * 20_000
            stage.write()
            assert stage.said == [f"{SAID} {stage.path}: No space left on device"]
            assert stage.path.read_text() == "one\n"
            assert [each.name for each in disk.iterdir()] == ["x.prom"]
            stage.text = "three\n"
            stage.write()
            assert stage.path.read_text() == "three\n"
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_a_bug_in_what_is_to_be_written_costs_only_that(self, stage: Stage) -> None:
        stage.file = MetricsFile(stage.loop, stage.path, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        stage.write()
        (said,) = stage.said
        assert f"{SAID} {stage.path}: internal error: ZeroDivisionError" in said

    def test_a_file_system_that_hangs_keeps_nobody_waiting(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        goes_on = threading.Event()
        unlink = Path.unlink

        def hang(path: Path, *, missing_ok: bool = False) -> None:
            goes_on.wait(LIMIT)
            unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", hang)
        stage.file.write()
        stage.file.write()
        assert stage.said == [f"{SAID} {stage.path}: it has taken more than {metrics_file.INTERVAL:g} s"]
        goes_on.set()
        stage.until_it_holds("one\n")

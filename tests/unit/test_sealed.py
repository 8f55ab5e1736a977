"""Copies of files for those who may not read them, and the process that looks into them."""

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd import sealed
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.master import inspection, process
from pysaslauthd.master.inspection import inspected
from pysaslauthd.master.privileges import Rights
from pysaslauthd.sealed import Inspection, SealedFiles
from support.certificates import Certificates

RIGHTS = Rights(None)


@pytest.fixture
def files() -> Iterator[SealedFiles]:
    made = SealedFiles()
    yield made
    made.close()


class TestACopy:
    def test_holds_what_the_file_held(self, tmp_path: Path, files: SealedFiles) -> None:
        path = tmp_path / "conf"
        path.write_bytes(b"ldap_password: x\xff\0y")
        files.add(path)
        path.write_bytes(b"another")
        assert files.read(path) == files.read(path) == b"ldap_password: x\xff\0y"

    def test_cannot_be_changed(self, tmp_path: Path, files: SealedFiles) -> None:
        path = tmp_path / "conf"
        path.write_text("text")
        files.add(path)
        (descriptor,) = files.descriptors
        with pytest.raises(PermissionError):
            os.write(descriptor, b"x")
        with pytest.raises(PermissionError):
            os.truncate(descriptor, 0)

    def test_has_a_place_that_a_library_can_open(
        self, files: SealedFiles, certificates: Certificates
    ) -> None:
        key, certificate = certificates.client.key, certificates.client.certificate
        for path in (key, certificate):
            files.add(path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for _ in range(2):  # each opens it at its begin
            context.load_cert_chain(files.place(certificate), files.place(key))

    @pytest.mark.parametrize("kind", ["nothing", "directory", "pipe", "large"])
    def test_that_cannot_be_says_why(self, tmp_path: Path, files: SealedFiles, kind: str) -> None:
        path = tmp_path / kind
        if kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "large":
            path.write_bytes(b"x" * (sealed.LARGEST_FILE + 1))
        files.add(path)
        reasons = {
            "nothing": "No such file or directory",
            "directory": "not a regular file",
            "pipe": "not a regular file",
            "large": "larger than 1048576 bytes",
        }
        with pytest.raises(OSError) as raised:
            files.read(path)
        assert raised.value.strerror == reasons[kind]
        assert files.has(path)
        assert files.descriptors == ()

    def test_is_closed_with_the_others(self, tmp_path: Path) -> None:
        before = open_descriptors()
        files = SealedFiles()
        for name in ("a", "b", "missing"):
            if name != "missing":
                (tmp_path / name).write_text(name)
            files.add(tmp_path / name)
        assert len(open_descriptors()) == len(before) + 2
        files.close()
        assert open_descriptors() == before


class TestAnInspection:
    def test_says_what_was_found(self, files: SealedFiles) -> None:
        found = Inspection(errors=("a: ä\udcff",), warnings=("b", "c"))
        assert inspected(files, lambda _: found, RIGHTS) == found

    def test_is_made_by_another_process(self, files: SealedFiles) -> None:
        report = inspected(files, lambda _: Inspection(warnings=(str(os.getpid()),)), RIGHTS)
        assert report.warnings != (str(os.getpid()),)
        with pytest.raises(ProcessLookupError):
            os.kill(int(report.warnings[0]), 0)

    def test_goes_on_with_the_files_that_it_asks_for(self, tmp_path: Path, files: SealedFiles) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        first.write_text("first")
        second.write_text("second")
        files.add(first)

        def inspect(copies: SealedFiles) -> Inspection:
            if not copies.has(second):
                return Inspection(further=(second,))
            return Inspection(warnings=(copies.read(first).decode(), copies.read(second).decode()))

        assert inspected(files, inspect, RIGHTS).warnings == ("first", "second")

    def test_that_asks_without_end_ends(self, tmp_path: Path, files: SealedFiles) -> None:
        asked = 0

        def inspect(copies: SealedFiles) -> Inspection:
            return Inspection(
                further=tuple(tmp_path / str(i) for i in range(10) if not copies.has(tmp_path / str(i)))[:1]
            )

        inspected(files, inspect, RIGHTS)
        asked = sum(files.has(tmp_path / str(i)) for i in range(10))
        assert asked == inspection.MOST_ROUNDS

    def test_that_fails_is_an_error(self, files: SealedFiles) -> None:
        def inspect(_: SealedFiles) -> Inspection:
            raise KeyError("secret")

        (error,) = inspected(files, inspect, RIGHTS).errors
        assert error.startswith("internal error: KeyError")
        assert "secret" not in error

    @pytest.mark.parametrize("end", ["killed", "silent"])
    def test_that_never_ends_is_an_error_too(
        self, files: SealedFiles, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        monkeypatch.setattr(inspection, "LIMIT", 0.3)

        def inspect(_: SealedFiles) -> Inspection:
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
            return Inspection()

        before, children = open_descriptors(), process.children()
        (error,) = inspected(files, inspect, RIGHTS).errors
        assert error == "the process that inspects the configuration died, or took 0.3 s"
        assert open_descriptors() == before
        assert process.children() == children

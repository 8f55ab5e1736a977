"""What of a request reaches a PAM module, and what of the daemon's surroundings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespaces import need_namespaces
from support.pam_daemon import PamDaemon, ours
from support.pam_files import DENY, PERMIT, PamFiles
from support.pam_modules import compiled
from support.waiting import wait_until

LOGIN, PASSWORD = b"alice", b"secret"


@pytest.fixture
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        yield made


class TestService:
    @pytest.fixture
    def daemon(self, files: PamFiles) -> Iterator[PamDaemon]:
        with ours(files, "-n", "1") as running:
            yield running

    def test_without_a_file_is_the_one_for_all_others(self, files: PamFiles, daemon: PamDaemon) -> None:
        assert daemon.ask(LOGIN, PASSWORD, b"no-such-service") == "NO"
        files.service("other", PERMIT)
        assert daemon.ask(LOGIN, PASSWORD, b"no-such-service") == "OK"

    def test_that_is_empty_is_saslauthd(self, files: PamFiles, daemon: PamDaemon) -> None:
        assert daemon.ask(LOGIN, PASSWORD, b"") == "NO"
        files.service("saslauthd", PERMIT)
        assert daemon.ask(LOGIN, PASSWORD, b"") == "OK"

    def test_that_is_empty_and_has_no_file_either(self, files: PamFiles, daemon: PamDaemon) -> None:
        files.service("other", PERMIT)
        assert daemon.ask(LOGIN, PASSWORD, b"") == "OK"

    def test_that_is_empty_can_be_given_a_name(self, files: PamFiles) -> None:
        files.service("saslauthd", DENY)
        with ours(files, "-n", "1", "-o", "service=permit") as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"") == "OK"
            assert daemon.ask(LOGIN, PASSWORD, b"saslauthd") == "NO"

    @pytest.mark.parametrize("service", [b"PERMIT", b"Permit"])
    def test_in_other_letters_is_the_same(self, daemon: PamDaemon, service: bytes) -> None:
        assert daemon.ask(LOGIN, PASSWORD, service) == "OK"

    @pytest.mark.parametrize(
        "service",
        [
            b"/etc/pam.d/permit",
            b"../pam.d/permit",
            b"x/permit",
            b"permit/",
            b"/",
            b".permit",
            b".",
            b"..",
            b"permit\n",
            b"per\x1bmit",
            b"permit\x7f",
        ],
    )
    def test_that_is_no_name_of_a_file_never_reaches_pam(
        self, files: PamFiles, daemon: PamDaemon, service: bytes
    ) -> None:
        for name in ("other", ".permit"):
            files.service(name, PERMIT)
        offset = len(daemon.log)
        assert daemon.ask(LOGIN, PASSWORD, service) == "NO"
        wait_until(lambda: "[reason=service is no name of a file]" in daemon.log[offset:], "it is logged")

    @pytest.mark.parametrize("service", [b"two words", b"b\xfccher", b"p" * 256, b"-permit", b"permit."])
    def test_of_any_other_form_is_for_pam_to_find(
        self, files: PamFiles, daemon: PamDaemon, service: bytes
    ) -> None:
        assert daemon.ask(LOGIN, PASSWORD, service) == "NO"
        files.service("other", PERMIT)
        assert daemon.ask(LOGIN, PASSWORD, service) == "OK"


class TestItems:
    @pytest.fixture
    def written(self, files: PamFiles) -> Path:
        """What a program that PAM runs sees of the items."""
        output = files.file("items")
        script = files.script("items.sh", f"/usr/bin/env > {output}")
        stack = f"auth required pam_exec.so {script}\naccount required pam_permit.so\n"
        files.service("Items".lower(), stack)
        return output

    def items(self, written: Path) -> dict[str, str]:
        lines = written.read_text(errors="surrogateescape").splitlines()
        return dict(line.split("=", 1) for line in lines if line.startswith("PAM_"))

    def test_are_what_the_request_says_and_nothing_else(self, files: PamFiles, written: Path) -> None:
        with ours(files, "-n", "1", environment={"DISPLAY": ":9"}) as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"ITEMS", b"ex.org", b"192.0.2.7;99") == "OK"
        assert self.items(written) == {
            "PAM_SERVICE": "items",
            "PAM_USER": "alice",
            "PAM_RHOST": "192.0.2.7",
            "PAM_TYPE": "auth",
        }

    @pytest.mark.parametrize("address", [None, b"", b";99"])
    def test_have_no_host_where_the_request_has_none(
        self, files: PamFiles, written: Path, address: bytes | None
    ) -> None:
        with ours(files, "-n", "1") as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"items", b"", address) == "OK"
        assert "PAM_RHOST" not in self.items(written)

    def test_have_no_host_of_the_login_before(self, files: PamFiles, written: Path) -> None:
        with ours(files, "-n", "1") as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"items", b"", b"2001:db8::1;99") == "OK"
            assert self.items(written)["PAM_RHOST"] == "2001:db8::1"
            assert daemon.ask(LOGIN, PASSWORD, b"items") == "OK"
            assert "PAM_RHOST" not in self.items(written)

    def test_have_the_realm_in_the_user_where_it_is_appended(self, files: PamFiles, written: Path) -> None:
        with ours(files, "-n", "1", "-r") as daemon:
            for login, realm, user in (
                (b"alice", b"ex.org", "alice@ex.org"),
                (b"alice", b"", "alice"),
                (b"alice@a.org", b"ex.org", "alice@a.org@ex.org"),
            ):
                assert daemon.ask(login, PASSWORD, b"items", realm) == "OK"
                assert self.items(written)["PAM_USER"] == user


class TestSurroundings:
    NAMES = ("KRB5_KTNAME", "DISPLAY", "LD_PRELOAD")

    def test_keep_what_was_exported_but_no_display(self, files: PamFiles) -> None:
        output = files.file("surroundings")
        module = compiled("surroundings", files.directory)
        names = " ".join(self.NAMES)
        stack = f"auth required {module} {output} {names}\naccount required pam_permit.so\n"
        files.service("surroundings", stack)
        environment = {"KRB5_KTNAME": "FILE:/etc/mail.keytab", "DISPLAY": ":9"}
        with ours(files, "-n", "1", environment=environment) as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"surroundings") == "OK"
        assert output.read_text().split()[2:] == [
            "terminal=0",
            "KRB5_KTNAME=FILE:/etc/mail.keytab",
            "DISPLAY=-",
            "LD_PRELOAD=-",
        ]

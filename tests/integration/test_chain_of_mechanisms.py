"""Several mechanisms, real ones, and which of them is asked."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import mux, shadow
from support.exchanges import unread
from support.ldap_daemon import LdapDaemon
from support.ldap_daemon import ours as ldap
from support.ldap_directory import U0
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import PamDaemon
from support.pam_daemon import ours as pam
from support.pam_files import PamFiles
from support.slapd import Slapd
from support.waiting import wait_until

ALICE, SECRET, WRONG = b"alice", b"alice's own", b"no password"
DEAD = "ldap_servers: ldap://127.0.0.1:1/\nldap_search_base: dc=test\n"
"""Nobody listens on port 1."""


@pytest.fixture
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        yield made


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Alice, Eve, whose account has expired, and whom PAM's daemon is asked for until it answers."""
    path = tmp_path / "shadow"
    entries = [
        shadow.entry("alice", shadow.hashed(SECRET)),
        shadow.entry("anybody", shadow.hashed(b"anything")),
        shadow.entry("eve", shadow.hashed(SECRET), expire="1"),
    ]
    path.write_text("".join(entries))
    tmp_path.chmod(0o755)
    path.chmod(0o644)
    return path


def chain(users: Path, *names: str, next_on: str = "") -> list[str]:
    options = [f"mechanism={','.join(names)}", f"shadow_file={users}"]
    if next_on:
        options.append(f"next_on={next_on}")
    return [word for option in options for word in ("-o", option)]


def heard(daemon: PamDaemon | LdapDaemon, login: bytes, password: bytes, service: bytes = b"imap") -> str:
    return mux.ask(daemon.mux, login, password, service)


class TestAfterAWrongPassword:
    def test_the_next_is_asked(self, files: PamFiles, users: Path) -> None:
        with pam(files, *chain(users, "shadow", "pam")) as daemon:
            assert heard(daemon, ALICE, SECRET, b"deny") == "OK"
            assert heard(daemon, ALICE, WRONG, b"permit") == "OK"
            assert heard(daemon, ALICE, WRONG, b"deny") == "NO"
            assert "auth success: [user=alice] [service=deny] [realm=] [mech=shadow]" in daemon.log
            assert "auth success: [user=alice] [service=permit] [realm=] [mech=pam]" in daemon.log

    def test_it_is_not_where_that_is_no_reason(self, files: PamFiles, users: Path) -> None:
        with pam(files, *chain(users, "shadow", "pam", next_on="unknown,unavailable")) as daemon:
            assert heard(daemon, ALICE, WRONG, b"permit") == "NO"
            assert heard(daemon, b"nobody1", WRONG, b"permit") == "OK"


class TestAfterAnUnknownUser:
    def test_the_next_is_asked(self, files: PamFiles, users: Path) -> None:
        with pam(files, *chain(users, "shadow", "pam")) as daemon:
            assert heard(daemon, b"bob", WRONG, b"permit") == "OK"
            assert heard(daemon, b"bob", WRONG, b"deny") == "NO"

    def test_it_is_not_where_that_is_no_reason(self, files: PamFiles, users: Path) -> None:
        with pam(files, *chain(users, "shadow", "pam", next_on="reject")) as daemon:
            assert heard(daemon, b"bob", WRONG, b"permit") == "NO"
            assert heard(daemon, ALICE, WRONG, b"permit") == "OK"


class TestWhileOneIsUnavailable:
    def test_the_next_is_asked_and_its_no_is_not_believed(self, users: Path) -> None:
        with ldap(DEAD, *chain(users, "ldap", "shadow")) as daemon:
            assert heard(daemon, ALICE, SECRET) == "OK"
            assert heard(daemon, ALICE, WRONG) == "-"
            assert "auth unavailable: [user=alice] [service=imap] [realm=] [mech=ldap]" in daemon.log

    def test_it_is_not_where_that_is_no_reason(self, users: Path) -> None:
        with ldap(DEAD, *chain(users, "ldap", "shadow", next_on="reject,unknown")) as daemon:
            assert heard(daemon, ALICE, SECRET) == "-"

    def test_a_worker_that_dies_is_no_different(self, files: PamFiles, users: Path) -> None:
        with pam(files, "-n", "1", *chain(users, "shadow", "pam")) as daemon, ExitStack() as stack:
            (worker,) = daemon.children("pysasl-shadow")
            worker.send(signal.SIGSTOP)
            client = stack.enter_context(mux.connect(daemon.mux))
            client.sendall(mux.request(ALICE, WRONG, b"permit"))
            wait_until(lambda: unread(client) == 0, "the worker has it")
            worker.send(signal.SIGKILL)
            assert mux.read_to_end(client) == b"\0\2OK"


def test_who_is_locked_out_is_not_let_in_by_the_next(files: PamFiles, users: Path) -> None:
    with pam(files, *chain(users, "shadow", "pam")) as daemon:
        assert heard(daemon, b"eve", SECRET, b"permit") == "NO"
        assert "[user=eve] [service=permit] [realm=] [mech=shadow] [reason=Account expired]" in daemon.log


def test_a_directory_and_accounts_serve_their_own_users(users: Path) -> None:
    with Slapd() as slapd:
        text = f"ldap_servers: {slapd.ldap}\nldap_search_base: dc=example,dc=test\n"
        with ldap(text, "-c", *chain(users, "shadow", "ldap")) as daemon:
            for _ in range(2):
                assert heard(daemon, ALICE, SECRET) == "OK"
                assert heard(daemon, U0.login.encode(), U0.password) == "OK"
                assert heard(daemon, U0.login.encode(), SECRET) == "NO"
            slapd.stop()
            assert heard(daemon, U0.login.encode(), U0.password) == "OK", "from the cache"
            assert heard(daemon, ALICE, SECRET, b"smtp") == "OK"
            assert heard(daemon, ALICE, WRONG, b"smtp") == "-"


def test_services_and_realms_have_their_own(files: PamFiles, users: Path, tmp_path: Path) -> None:
    file = tmp_path / "pysaslauthd.toml"
    tables = """
        [[chain]]
        services = ["imap"]
        mechanism = "shadow"
        [[chain]]
        realms = ["both.org"]
        mechanism = ["shadow", "pam"]
        next_on = ["unknown"]
    """
    file.write_text(f'mechanism = "pam"\nshadow_file = "{users}"\n{tables}')
    with pam(files, "--config", str(file)) as daemon:

        def asked(password: bytes, service: bytes, login: bytes = ALICE) -> str:
            return mux.ask(daemon.mux, login, password, service, realm)

        realm = b""
        assert [asked(SECRET, b"imap"), asked(SECRET, b"IMAP"), asked(WRONG, b"imap")] == ["OK", "OK", "NO"]
        assert [asked(SECRET, b"permit"), asked(WRONG, b"permit"), asked(SECRET, b"deny")] == [
            "OK",
            "OK",
            "NO",
        ]
        realm = b"Both.org"
        assert [asked(SECRET, b"deny"), asked(WRONG, b"permit")] == ["OK", "NO"]
        assert [asked(WRONG, b"permit", b"bob"), asked(WRONG, b"deny", b"bob")] == ["OK", "NO"]
        assert "[user=alice] [service=imap] [realm=] [mech=shadow] [reason=" in daemon.log
        assert "[user=bob] [service=deny] [realm=Both.org] [mech=pam] [reason=" in daemon.log


def test_each_has_its_own_rights(files: PamFiles, users: Path) -> None:
    need_root()
    with pam(files, "-n", "2", *chain(users, "shadow", "pam")) as daemon:
        names = ["pysasl-front", *["pysasl-pam"] * 2, *["pysasl-shadow"] * 2]
        wait_until(lambda: sorted(child.name for child in daemon.children()) == names, "all are there")
        effective = {
            child.name: Path(f"/proc/{child.pid}/status").read_text().partition("Uid:")[2].split()[1]
            for child in daemon.children()
        }
        assert effective["pysasl-pam"] == "0"
        assert "0" not in {effective["pysasl-shadow"], effective["pysasl-front"]}


def test_a_reload_keeps_all_of_them(files: PamFiles, users: Path) -> None:
    with pam(files, "-n", "1", *chain(users, "shadow", "pam")) as daemon:
        before = daemon.children()
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: not any(child.is_alive for child in before), "all are new")
        assert heard(daemon, ALICE, SECRET, b"deny") == "OK"
        assert heard(daemon, ALICE, WRONG, b"permit") == "OK"

"""``pysaslauthctl explain``: the step at which a login fails, for every mechanism, and never a secret."""

import contextlib
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysaslauthd.master.mux import is_live
from support import mux, processes, shadow
from support.accounts import Account
from support.configured import Configured
from support.controlled import COMMAND, connect, ctl, here, order, raw
from support.daemon import WORKER, Daemon
from support.fake_daemon import FakeDaemon
from support.ldap_clients import configuration, uri_of
from support.ldap_daemon import LdapDaemon
from support.ldap_daemon import ours as ldap
from support.ldap_directory import NOBODY, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, STAFF, U0, U1
from support.namespaces import need_namespaces
from support.packages import need_root
from support.pam_daemon import PamDaemon
from support.pam_daemon import ours as pam
from support.pam_files import PamFiles
from support.scraped import metrics
from support.slapd import Slapd
from support.tcp_ports import free_port, listening
from support.waiting import wait_until

SECRET, WRONG = "Zaubertrank-1", "Hexenkessel-2"
TODAY = int(time.time()) // 86_400
TRY = "--password-stdin"
CLOSED = " a client gets a close without an answer"
UNDECIDED = "nothing speaks against it, as far as can be said without a password"


class Explained:
    """What the command printed: texts by part, and the last of them."""

    def __init__(self, run_path: Path, *words: str, password: str = "") -> None:
        wait_until(
            lambda: is_live(run_path / "control"), "the control socket is there, which comes after mux"
        )
        given = [TRY] if password else []
        told = here(run_path, "explain", *given, *words, stdin=f"{password}\nnot this line\n")
        assert (told.status, told.error) == (0, "")
        self.out = told.out
        rows = [(line[:8].strip(), line[22:]) for line in told.out.splitlines()]
        self.parts: dict[str, list[str]] = {}
        for part, text in rows:
            if not text.startswith("waited "):  # for a worker, as it may have to
                self.parts.setdefault(part, []).append(text)
        assert rows[-1][0] == "verdict"
        self.verdict = rows[-1][1]

    def __getitem__(self, part: str) -> list[str]:
        return self.parts.get(part, [])


def in_hand(daemon: Daemon) -> int:
    """How many logins the workers have."""
    line, *_ = raw(daemon.run_path / "control", order(do="status"))
    (mechanism,) = line["mechanisms"]
    logins: int = mechanism["logins"]
    return logins


@pytest.fixture(scope="module")
def shadowed() -> Iterator[Daemon]:
    daemon = Daemon("-c", settings={"cache_rejected": "60s"})
    stored = shadow.hashed(SECRET.encode())
    entries = [
        shadow.entry("alice", stored),
        shadow.entry("new", shadow.hashed(SECRET.encode(), shadow.YESCRYPT, 1)),
        shadow.entry("locked", f"!{stored}"),
        shadow.entry("nothing", ""),
        shadow.entry("expired", stored, expire=str(TODAY - 1)),
        shadow.entry("aged", stored, change="1", maximum="10"),
        "broken:x\n",
    ]
    daemon.shadow_file.write_text("".join(entries))
    with daemon:
        yield daemon


class TestShadow:
    @pytest.mark.parametrize(
        ("login", "password", "step", "verdict"),
        [
            ("alice", SECRET, "compared: the password is right", "accepted; a client gets OK"),
            (
                "alice",
                WRONG,
                "the password is another",
                "refused: wrong password, Incorrect password; a client gets NO",
            ),
            ("alice", "", "found; the password is stored as a hash of MD5", UNDECIDED),
            ("new", "", "found; the password is stored as a hash of yescrypt", UNDECIDED),
            (
                "bob",
                WRONG,
                "not found: Invalid username",
                "refused: unknown user, Invalid username; a client gets NO",
            ),
            (
                "bob",
                "",
                "not found: Invalid username",
                "refused: unknown user, Invalid username; a client gets NO",
            ),
            (
                "locked",
                "",
                "found; the password is stored as no hash but a mark such as ! or *: the password is locked, and none is right",
                "refused: account, No password can be right; a client gets NO",
            ),
            (
                "locked",
                SECRET,
                "the password is another",
                "refused: wrong password, Incorrect password; a client gets NO",
            ),
            (
                "nothing",
                "",
                "found; the password is stored as nothing: there is none, and no password is right",
                "refused: account, No password can be right; a client gets NO",
            ),
            (
                "expired",
                SECRET,
                f"the account has expired; its last day is {time.strftime('%Y-%m-%d', time.gmtime((TODAY - 1) * 86_400))}",
                "refused: account, Account expired; a client gets NO",
            ),
            (
                "aged",
                "",
                "the password is too old; its last day is 1970-01-12",
                "refused: account, Password expired; a client gets NO",
            ),
            (
                "broken",
                "",
                "not found: shadow_file {file} line 7: expected 9 fields with ':' between them, found 2",
                "nobody can say: backend, shadow_file {file} line 7: expected 9 fields with ':' between them, found 2;"
                + CLOSED,
            ),
        ],
    )
    def test_shows_the_step(
        self, shadowed: Daemon, login: str, password: str, step: str, verdict: str
    ) -> None:
        explained = Explained(shadowed.run_path, login, password=password)
        assert step.format(file=shadowed.shadow_file) in explained["shadow"]
        assert explained.verdict == verdict.format(file=shadowed.shadow_file)

    def test_remembers_nothing_and_counts_nothing(self, shadowed: Daemon) -> None:
        def front() -> dict[str, str]:
            (report,) = (each for each in shadowed.statistics() if each["process"] == "front")
            return {name: count for name, count in report.items() if name != "descriptors"}

        before, counted = front(), metrics(shadowed)
        for password in (SECRET, WRONG, WRONG, ""):
            assert Explained(shadowed.run_path, "alice", password=password)["cache"] == [
                "it has no entry; an explanation does not use it"
            ]
        assert front() == before
        after = metrics(shadowed)
        for name in ("logins_total", "wait_seconds_count", "mechanism_seconds_count"):
            assert after.since(counted, name) == 0

    def test_says_what_the_cache_has_and_asks_all_the_same(self, shadowed: Daemon) -> None:
        for password in (SECRET, WRONG):
            shadowed.ask(b"new", password.encode())
        worker = "compared: the password is right"
        for password, known in (
            (SECRET, "this password as right"),
            (WRONG, "this password as wrong"),
            ("x", "an entry, of another password"),
            ("", "an entry"),
        ):
            explained = Explained(shadowed.run_path, "new", "-s", "imap", password=password)
            assert explained["cache"][0].startswith(f"it has {known}, ")
            assert (worker in explained["shadow"]) == (password == SECRET)
        assert "accepted" in Explained(shadowed.run_path, "new", password=SECRET).verdict

    def test_takes_no_place_for_ever(self, shadowed: Daemon) -> None:
        """Ten explanations and the login itself, one name's places being five."""
        for _ in range(10):
            Explained(shadowed.run_path, "alice", password=WRONG)
        assert shadowed.ask(b"alice", SECRET.encode()) == "OK"


class TestLdap:
    @pytest.fixture
    def daemon(self, slapd: Slapd) -> Iterator[LdapDaemon]:
        with ldap(configuration(slapd.ldap, timeout=60)) as running:
            yield running

    def test_shows_search_bind_and_verdict(self, daemon: LdapDaemon, slapd: Slapd) -> None:
        explained = Explained(daemon.directory, "u0", password=U0.password.decode())
        assert explained["ldap"] == [
            f"method bind; servers {slapd.ldap}",
            f"user search below {PEOPLE}, scope sub, filter (uid=u0)",
            f"answered by {slapd.ldap}",
            f"found {U0.dn}",
            f"answered by {slapd.ldap}",
            f"bind as {U0.dn}: success (0)",
            "accepted",
        ]
        assert explained.verdict == "accepted; a client gets OK"

    def test_shows_a_wrong_password(self, daemon: LdapDaemon) -> None:
        explained = Explained(daemon.directory, "u0", password=WRONG)
        assert f"bind as {U0.dn}: invalid credentials (49)" in explained["ldap"]
        assert explained.verdict == "refused: wrong password, Invalid password; a client gets NO"

    @pytest.mark.parametrize("password", [WRONG, ""])
    def test_shows_that_nobody_is_found_with_a_filter_that_holds(
        self, daemon: LdapDaemon, password: str
    ) -> None:
        explained = Explained(daemon.directory, "*)(uid=u0", password=password)
        assert f"user search below {PEOPLE}, scope sub, filter (uid=\\2a\\29\\28uid=u0)" in explained["ldap"]
        assert f"ldap: *)(uid=u0: user search below {PEOPLE}: no entry" in explained["ldap"]
        assert explained.verdict == "refused: unknown user, User not found; a client gets NO"

    def test_without_a_password_finds_the_user_and_does_not_bind(self, daemon: LdapDaemon) -> None:
        explained = Explained(daemon.directory, "u0")
        assert f"found {U0.dn}" in explained["ldap"]
        assert "bind as" not in explained.out
        assert explained.verdict == UNDECIDED

    @pytest.mark.parametrize("password", [U1.password.decode(), ""])
    @pytest.mark.parametrize(
        ("more", "step"),
        [
            (f"ldap_group_dn: {STAFF}\n", f"group {STAFF}: has uniqueMember the value {U1.dn}?"),
            (
                f"ldap_group_match_method: filter\nldap_group_search_base: {NOBODY}\nldap_group_filter: (uniqueMember=%D)\n",
                f"group search below {NOBODY}, scope sub, filter (uniqueMember={U1.dn})",
            ),
        ],
    )
    def test_shows_that_the_group_has_others(self, slapd: Slapd, more: str, step: str, password: str) -> None:
        with ldap(configuration(slapd.ldap, timeout=60, more=more)) as daemon:
            explained = Explained(daemon.directory, "u1", password=password)
        assert step in explained["ldap"]
        assert explained["ldap"][-2].startswith("ldap: u1: group ")
        assert explained.verdict == "refused: account, Group member check failed; a client gets NO"

    def test_shows_how_the_password_is_stored_with_method_custom(self, slapd: Slapd) -> None:
        more = f"ldap_auth_method: custom\nldap_bind_dn: {SERVICE_DN}\nldap_bind_pw: {SERVICE_PASSWORD.decode()}\n"
        with ldap(configuration(slapd.ldap, timeout=60, more=more)) as daemon:
            for password in (WRONG, ""):
                explained = Explained(daemon.directory, "u0", password=password)
                assert "userPassword has 1 values: clear text" in explained["ldap"]
                assert U0.password.decode() not in explained.out
            assert "accepted" in Explained(daemon.directory, "u0", password=U0.password.decode()).verdict

    def test_shows_why_no_server_answers(self) -> None:
        port = free_port()
        with ldap(configuration(uri_of(port))) as daemon:
            explained = Explained(daemon.directory, "u0", password=SECRET)
        assert any("connect" in text.lower() and uri_of(port) in text for text in explained["ldap"][2:])
        assert explained.verdict.startswith("nobody can say: backend, ldap: ")
        assert explained.verdict.endswith("; a client gets a close without an answer")

    def test_shows_where_a_silent_server_was_waited_for(self) -> None:
        with listening(free_port()) as silent:
            uri = uri_of(silent.getsockname()[1])
            with ldap(configuration(uri, timeout=30), "-o", "login_timeout=2s") as daemon:
                explained = Explained(daemon.directory, "u0", password=SECRET)
        assert explained["ldap"][1].startswith("user search below ")
        assert explained.verdict.startswith("nobody can say: deadline, no answer within ")

    def test_says_that_the_file_will_not_do(self) -> None:
        with ldap("ldap_servers: nonsense\n") as daemon:
            explained = Explained(daemon.directory, "u0", password=SECRET)
            assert explained["ldap"][0] == f"{daemon.file} cannot be used"
        assert explained.verdict.startswith("nobody can say: backend, ")


@pytest.fixture(scope="module")
def pammed() -> Iterator[PamDaemon]:
    need_root()
    need_namespaces()
    alice = Account(b"alice", SECRET.encode(), shadow.hashed(SECRET.encode()).encode())
    expired = alice._replace(login=b"expired", expire=str(TODAY - 1))
    with PamFiles([alice, expired]) as files:
        files.service("missing", "auth required pam_gone.so\naccount required pam_permit.so\n")
        files.service("included", "@include unix\n# auth required pam_x.so\nauth include permit\n")
        files.service(
            "arguments", f"auth required pam_unix.so secret={SECRET}\naccount required pam_unix.so\n"
        )
        files.service(
            "slow",
            "auth required pam_faildelay.so delay=300000\nauth required pam_unix.so\naccount required pam_unix.so\n",
        )
        with pam(files) as running:
            yield running


class TestPam:
    @pytest.mark.parametrize(
        ("words", "password", "steps", "verdict"),
        [
            (
                ("alice", "-s", "unix"),
                SECRET,
                ["service unix: /etc/pam.d/unix", "auth required pam_unix.so", "pam_acct_mgmt: Success (0)"],
                "accepted; a client gets OK",
            ),
            (
                ("alice", "-s", "unix"),
                WRONG,
                ["pam_start: Success (0)", "pam_authenticate: Authentication failure (7)"],
                "refused: wrong password, PAM auth error; a client gets NO",
            ),
            (
                ("alice", "-s", "slow"),
                WRONG,
                ["the answer is to be held back for "],
                "refused: wrong password, PAM auth error; a client gets NO after ",
            ),
            (
                ("bob", "-s", "unix"),
                WRONG,
                ["the login is not an account of this machine; the realm is not looked at"],
                "refused: unknown user, PAM auth error; a client gets NO",
            ),
            (
                ("expired", "-s", "unix"),
                SECRET,
                ["pam_authenticate: Success (0)", "pam_acct_mgmt: User account has expired (13)"],
                "refused: account, PAM acct error; a client gets NO",
            ),
            (
                ("alice", "-s", "Nowhere"),
                SECRET,
                [
                    "service nowhere: there is no file of that name, so /etc/pam.d/other counts",
                    "auth required pam_deny.so",
                    "pam_authenticate: Authentication failure (7)",
                ],
                "refused: wrong password, PAM auth error; a client gets NO",
            ),
            (
                ("alice",),
                SECRET,
                ["the request names no service: saslauthd is taken"],
                "refused: wrong password, PAM auth error; a client gets NO",
            ),
            (
                ("alice", "-s", "missing"),
                SECRET,
                ["pam_authenticate: Module is unknown (28)"],
                "nobody can say: backend, PAM auth error; a client gets a close without an answer",
            ),
            (
                ("alice", "-s", "included"),
                "",
                [
                    "auth required pam_unix.so",
                    "account required pam_unix.so",
                    "auth required pam_permit.so",
                    "without a password no module is asked",
                ],
                UNDECIDED,
            ),
            (("alice", "-s", "arguments"), "", ["auth required pam_unix.so"], UNDECIDED),
        ],
    )
    def test_shows_the_step(
        self, pammed: PamDaemon, words: tuple[str, ...], password: str, steps: list[str], verdict: str
    ) -> None:
        explained = Explained(pammed.directory, *words, password=password)
        told = iter(explained["pam"])
        for step in steps:  # in this order
            assert any(text.startswith(step) for text in told), (step, explained.out)
        assert explained.verdict.startswith(verdict)
        assert SECRET not in explained.out
        assert "pam_x" not in explained.out


class TestProxy:
    @pytest.fixture
    def there(self) -> Iterator[Configured]:
        with Configured() as configured:
            yield configured

    @pytest.mark.parametrize(
        ("reply", "password", "step", "verdict"),
        [
            (b"OK", SECRET, "it says OK", "accepted; a client gets OK"),
            (
                b"NO PAM auth error",
                WRONG,
                "it says NO PAM auth error",
                "refused: wrong password, PAM auth error; a client gets NO",
            ),
            (b"NO " + WRONG.encode(), WRONG, "it says NO", "refused: wrong password; a client gets NO"),
            (b"", WRONG, "cannot ask {mux}: ", "nobody can say: backend, cannot ask {mux}: "),
            (b"OK", "", "it can be connected; without a password it is asked nothing", UNDECIDED),
        ],
    )
    def test_shows_what_the_other_says(
        self, there: Configured, reply: bytes, password: str, step: str, verdict: str
    ) -> None:
        with FakeDaemon(reply) as fake:
            basis = there.basis.replace('"shadow"', '"proxy"', 1)
            there.write(f'{basis}proxy_socket = "{fake.mux}"\n')
            there.start("--config", str(there.file), "-d")
            explained = Explained(there.run_path, "alice", "-r", "ex.org", password=password)
            assert (
                explained["proxy"][0]
                == f"the daemon at {fake.mux} is told login, service and realm as they are"
            )
            assert explained["proxy"][1].startswith(step.format(mux=fake.mux))
            assert explained.verdict.startswith(verdict.format(mux=fake.mux))
            assert len(fake.requests) == bool(password)
        assert WRONG not in explained.out

    def test_without_a_password_shows_that_nobody_is_there(self, there: Configured) -> None:
        basis = there.basis.replace('"shadow"', '"proxy"', 1)
        there.write(f'{basis}proxy_socket = "{there.directory}/none"\n')
        there.start("--config", str(there.file), "-d")
        explained = Explained(there.run_path, "alice")
        assert explained["proxy"][1] == "it cannot be asked: No such file or directory"
        assert explained.verdict.startswith("nobody can say: backend, cannot ask ")


class TestBeforeAnyMechanism:
    def test_shows_what_libsasl_and_the_realm_policy_make_of_a_login(self) -> None:
        with Daemon("-r") as daemon:
            explained = Explained(daemon.run_path, "a@b@ex.org")
            assert (
                explained["request"][1]
                == "libsasl2 splits this at the last @ and sends login a@b, realm ex.org"
            )
            explained = Explained(daemon.run_path, "alice", "-r", "ex.org", "-a", "192.0.2.1;99")
        assert explained["request"] == [
            "login alice, service (none), realm ex.org, address 192.0.2.1;99, without a password"
        ]
        assert explained["login"] == ["the mechanism sees alice@ex.org; the realm policy is: login@realm"]
        assert explained["realm"] == ["ex.org; accepted"]

    def test_shows_that_the_realm_is_refused(self) -> None:
        with Daemon(settings={"realms": "ex.org"}) as daemon:
            explained = Explained(daemon.run_path, "alice", "-r", "other.org", password=SECRET)
        assert explained["realm"] == ["other.org"]
        assert explained["refused"] == ["realm is not accepted; nobody is asked"]
        assert not explained["shadow"]
        assert explained.verdict == "refused: request, realm is not accepted; a client gets NO"

    def test_shows_that_the_service_is_no_name_of_a_file(self) -> None:
        with Daemon(settings={"mechanism": "pam,shadow"}) as daemon:
            explained = Explained(daemon.run_path, "alice", "-s", "../x", password=SECRET)
        assert explained["refused"] == ["service is no name of a file; nobody is asked"]
        assert not explained["pam"]

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ({}, "login: expected one"),
            ({"login": ""}, "login: expected one"),
            ({"login": 7}, "login: expected a text"),
            ({"login": "a\0b"}, "login: expected no NUL in it"),
            ({"login": "a" * 257}, "login: expected at most 256 bytes"),
            ({"login": "a", "password": ""}, "password: expected one that is not empty, or none at all"),
            ({"login": "a", "password": SECRET * 700}, "password: expected at most 8192 bytes"),
            ({"login": "\ud800"}, "expected text that is Unicode"),
        ],
    )
    def test_says_what_is_no_request(self, words: dict[str, object], error: str) -> None:
        with Daemon() as daemon:
            assert raw(daemon.run_path / "control", order(do="explain", **words)) == [{"error": error}]


class TestAChain:
    @pytest.fixture(params=["unknown"])
    def daemon(self, request: pytest.FixtureRequest) -> Iterator[LdapDaemon]:
        dead = f"ldap_servers: {uri_of(free_port())}\nldap_search_base: dc=test\nldap_timeout: 1\n"
        with contextlib.ExitStack() as stack:
            running = ldap(dead, "-o", "mechanism=shadow,ldap", "-o", f"next_on={request.param}")
            users = running.directory / "users"
            running.directory.chmod(0o755)
            shadow.write(users, {"alice": SECRET.encode()}).chmod(0o644)
            running._command = [*running._command, "-o", f"shadow_file={users}"]  # noqa: SLF001
            yield stack.enter_context(running)

    def test_asks_as_a_login_would(self, daemon: LdapDaemon) -> None:
        explained = Explained(daemon.directory, "alice", password=WRONG)
        assert explained["chain"] == ["shadow,ldap"]
        assert explained["ldap"] == ["not asked: the matter has ended before"]
        assert explained.verdict == "refused: wrong password, Incorrect password; a client gets NO"
        explained = Explained(daemon.directory, "bob", password=WRONG)
        assert explained["shadow"][-1] == "refused: unknown user, Invalid username"
        assert explained["ldap"][-1].startswith("nobody can say: backend, ")
        assert explained.verdict.startswith("nobody can say: backend, ldap: ")

    def test_without_a_password_tells_of_each(self, daemon: LdapDaemon) -> None:
        explained = Explained(daemon.directory, "alice")
        assert explained["shadow"][-1] == UNDECIDED
        assert explained["ldap"][-1].startswith("nobody can say: backend, ")
        assert explained.verdict == UNDECIDED

    @pytest.mark.parametrize("daemon", ["reject,unavailable"], indirect=True)
    def test_without_a_password_ends_where_any_would(self, daemon: LdapDaemon) -> None:
        explained = Explained(daemon.directory, "bob")
        assert explained["shadow"][-1] == "refused: unknown user, Invalid username"
        assert explained["ldap"] == ["not asked: the matter has ended before"]
        assert explained.verdict == "refused: unknown user, Invalid username; a client gets NO"


class TestSecrets:
    """Passwords of its own: those above are in names of tests, which pytest has in the environment."""

    RIGHT, WRONG = "Irrlicht-4", "Nachtmahr-5"

    def test_are_nowhere(self) -> None:
        with Daemon("-V", "-n", "2", users={"alice": self.RIGHT.encode()}) as daemon:
            stored = daemon.shadow_file.read_text().split(":")[1].split("$")[-1]
            wait_until(lambda: len(daemon.children(WORKER)) == 2, "both workers are there")
            out = [
                Explained(daemon.run_path, "alice", password=each).out
                for each in (self.RIGHT, self.WRONG, "")
            ]
            everywhere: list[bytes] = []
            for worker in daemon.children(WORKER):
                worker.send(signal.SIGSTOP)
            with subprocess.Popen(
                [*COMMAND, "-m", str(daemon.run_path), "explain", TRY, "alice"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as running:
                assert running.stdin is not None
                assert running.stdout is not None
                running.stdin.write(f"{self.RIGHT}\n".encode())
                running.stdin.close()
                # It has been told what comes before the mechanism, so the daemon has the password.
                out += [running.stdout.readline().decode() for _ in range(5)]
                wait_until(lambda: in_hand(daemon) == 1, "a worker has the login")
                for process in processes.all_processes():
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            everywhere.append(Path(f"/proc/{process.pid}/{name}").read_bytes())
                for worker in daemon.children(WORKER):
                    worker.send(signal.SIGKILL)
                out.append(running.stdout.read().decode())
            assert "nobody can say: crash, worker died" in out[-1]
            everywhere += [daemon.log.encode(), *(each.encode() for each in out)]
        for secret in (self.RIGHT, self.WRONG, stored):
            assert not [text for text in everywhere if secret.encode() in text]

    def test_are_asked_for_on_the_terminal_and_not_shown_there(self) -> None:
        with Daemon(users={"alice": self.RIGHT.encode()}) as daemon:
            pid, terminal = pty.fork()
            if pid == 0:
                words = [*COMMAND, "-m", str(daemon.run_path), "explain", "--ask-password", "alice"]
                os.execv(words[0], words)
            shown = b""
            while b"password: " not in shown:
                shown += os.read(terminal, 1000)
            os.write(terminal, f"{self.RIGHT}\n".encode())
            with contextlib.suppress(OSError):
                while chunk := os.read(terminal, 1000):
                    shown += chunk
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert b"accepted; a client gets OK" in shown
        assert self.RIGHT.encode() not in shown

    def test_that_are_none_are_told(self) -> None:
        with Daemon() as daemon:
            told = ctl(daemon.run_path, "explain", TRY, "alice", stdin="\n")
        assert (told.status, told.error) == (1, "pysaslauthctl: expected a password, which is not empty\n")


def test_a_terminal_gets_nothing_that_a_login_or_a_server_made_up() -> None:
    with Daemon(users={"alice": SECRET.encode()}) as daemon:
        told = ctl(daemon.run_path, "explain", "\x1b[2J\nx\x9b\u202e")
        assert told.out.isprintable() or all(line.isprintable() for line in told.out.splitlines())
        assert "\\x1b[2J\\x0ax" in told.out


def test_it_waits_for_a_worker_as_a_login_does_and_is_not_for_ever() -> None:
    with Daemon("-n", "1", settings={"queue_timeout": "1s"}) as daemon:
        (worker,) = daemon.children(WORKER)
        worker.send(signal.SIGSTOP)
        with connect(daemon.mux, mux.request(b"a", b"b")):
            wait_until(lambda: in_hand(daemon) == 1, "the worker has the login")
            explained = Explained(daemon.run_path, "alice", password=WRONG)
        worker.send(signal.SIGCONT)
    assert explained.verdict == (
        "nobody can say: shed, no worker was free within 1 s; a client gets a close without an answer"
    )

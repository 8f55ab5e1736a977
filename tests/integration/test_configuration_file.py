"""A daemon that goes by its configuration file: at the start, under flags, and after a hangup."""

import contextlib
import os
import pwd
from collections.abc import Iterator

import pytest

from support import processes, shadow
from support.configured import NOT_RELOADED, Configured
from support.daemon import FRONT, LOGIN, PASSWORD, WORKER, WRONG
from support.packages import need_root
from support.pam_daemon import PLAIN_USER
from support.waiting import wait_until

NEW = b"another-Pass_3"


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        configured.write(configured.basis)
        yield configured


def wait_workers(there: Configured, count: int) -> None:
    wait_until(lambda: len(there.children(WORKER)) == count, f"{count} workers are there")


def users(there: Configured) -> set[int]:
    """The ids that front and workers have, in any of their ways to be a user."""
    found: set[int] = set()
    for child in (*there.children(FRONT), *there.children(WORKER)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found.update(map(int, processes.status(child.pid)["Uid"].split()))
    return found


class TestAtTheStart:
    def test_the_file_alone_is_enough(self, there: Configured) -> None:
        there.write(there.basis + "processes = 2\nrealm_policy = 'login@realm'\n")
        shadow.write(there.shadow_file, {"alice@ex.org": PASSWORD})
        there.start("--config", str(there.file), "-f")
        assert there.ask(LOGIN, PASSWORD, realm=b"ex.org") == "OK"
        assert there.ask(LOGIN, WRONG, realm=b"ex.org") == "NO"
        wait_workers(there, 2)

    def test_flags_win(self, there: Configured) -> None:
        elsewhere = there.directory / "elsewhere"
        there.write(there.basis.replace(str(there.run_path), str(elsewhere)) + "processes = 2\n")
        there.start("--config", str(there.file), "-f", "-n", "1", "-m", str(there.run_path))
        assert there.ask() == "OK"
        wait_workers(there, 1)
        assert not elsewhere.exists()

    def test_a_file_named_by_a_relative_path_is_found_again(self, there: Configured) -> None:
        """The daemon goes to its run path, where there is another one of that name."""
        there.start("--config", there.file.name, "-f")
        there.write("chache = true\n", f"run/{there.file.name}")
        there.write(there.basis + "processes = 1\n")
        there.reload()
        wait_workers(there, 1)

    @pytest.mark.parametrize("action", [[], ["--check"], ["--show-config"]])
    def test_all_that_is_wrong_is_told(self, there: Configured, action: list[str]) -> None:
        there.write("mechanism = pam\nrun_path = 'x'\nchache = true\n")
        defaults = there.write("MECH=rimap\nFLAGS=-x\n", "defaults")
        result = there.command(
            "--config",
            str(there.file),
            "--defaults",
            str(defaults),
            "-n",
            "x",
            "-o",
            "syslog_socket=",
            *action,
        )
        assert result.returncode == 1
        told = [
            line.partition(" :")[2] or line.removeprefix("error: ") for line in result.stderr.splitlines()
        ]
        assert told == [
            f"{there.file}:1: expected a value: a text in quotes, a number, true or false, or a list",
            f"{there.file}:2: run_path: expected an absolute path, found 'x'",
            f"{there.file}:3: chache: no such setting; did you mean cache?",
            f"{defaults}:1: MECH: unknown authentication mechanism: rimap",
            f"{defaults}:1: MECH: this version has: ldap pam proxy shadow; saslauthd's others by asking it: -a proxy",
            f"{defaults}:2: FLAGS: option -x not recognized",
            "invalid number of worker processes defined",
        ]
        assert not there.run_path.exists()

    def test_a_mechanism_that_nobody_names_is_a_usage_error(self, there: Configured) -> None:
        there.write("processes = 2\n")
        result = there.command("--config", str(there.file))
        assert result.returncode == 64
        assert result.stderr.startswith(
            "no authentication mechanism specified\nusage: pysaslauthd [options]\n"
        )

    def test_a_service_without_a_mechanism_says_where_one_is_missing(self, there: Configured) -> None:
        there.write("processes = 2\n")
        defaults = there.directory / "defaults"
        defaults.write_text("MECHANISMS=\n")
        result = there.command("--config", str(there.file), "--defaults", str(defaults))
        assert result.returncode == 64
        assert [line.partition(" :")[2] for line in result.stderr.splitlines()] == [
            f"no authentication mechanism specified: neither {defaults} nor {there.file} has one"
        ]


class TestAFileThatIsNotTrusted:
    @pytest.mark.parametrize("flag", ["--config", "--defaults"])
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("missing", "No such file or directory"),
            ("directory", "not a regular file"),
            ("pipe", "not a regular file"),
            ("group", "expected a file that its owner alone can write, found mode 0664"),
            ("others", "expected a file that its owner alone can write, found mode 0646"),
        ],
    )
    def test_is_refused(self, there: Configured, flag: str, kind: str, reason: str) -> None:
        path = there.directory / kind
        match kind:
            case "directory":
                path.mkdir(0o700)
            case "pipe":
                os.mkfifo(path, 0o600)
            case "group" | "others":
                path.write_text(there.basis if flag == "--config" else "MECH=shadow\n")
                path.chmod(0o664 if kind == "group" else 0o646)
        result = there.command(flag, str(path), "--check", "-a", "shadow")
        assert result.returncode == 1
        assert result.stderr == f"error: {path}: {reason}\n"

    def test_is_refused_when_another_owns_it(self, there: Configured) -> None:
        need_root()
        os.chown(there.file, 1, 1)
        result = there.command("--config", str(there.file), "--check")
        assert result.returncode == 1
        assert "expected a file of root's, found one of the user with id 1" in result.stderr

    def test_is_refused_at_a_hangup_too(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f")
        there.file.chmod(0o666)
        log = there.reload(NOT_RELOADED)
        assert f"{there.file}: expected a file that its owner alone can write, found mode 0666" in log
        assert there.ask() == "OK"


class TestAHangup:
    def test_brings_what_the_file_says_now(self, there: Configured) -> None:
        there.write(there.basis + "processes = 1\n")
        there.start("--config", str(there.file), "-f")
        assert there.ask() == "OK"
        other = shadow.write(there.directory / "other", {LOGIN.decode(): NEW})
        there.write(
            there.basis.replace(str(there.shadow_file), str(other)) + "processes = 3\nqueue_timeout = 5\n"
        )
        there.reload()
        wait_workers(there, 3)
        assert (there.ask(LOGIN, PASSWORD), there.ask(LOGIN, NEW)) == ("NO", "OK")

    def test_does_not_bring_what_a_flag_says_otherwise(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f", "-n", "1")
        there.write(there.basis + "processes = 3\n")
        there.reload()
        wait_workers(there, 1)

    def test_with_a_broken_file_changes_nothing_and_says_all(self, there: Configured) -> None:
        there.write(there.basis + "processes = 1\n")
        there.start("--config", str(there.file), "-f")
        (front,) = there.children(FRONT)
        there.write(there.basis + "processes = many\nchache = true\n")
        log = there.reload(NOT_RELOADED)
        assert f"{there.file}:5: expected a value" in log
        assert f"{there.file}:6: chache: no such setting; did you mean cache?" in log
        there.file.unlink()
        assert f"{there.file}: No such file or directory" in there.reload(NOT_RELOADED)
        there.write("processes = 2\n")
        assert "no authentication mechanism specified" in there.reload(NOT_RELOADED)
        assert there.ask() == "OK"
        assert there.children(FRONT) == [front]
        there.write(there.basis + "processes = 2\n")
        there.reload()
        wait_workers(there, 2)

    def test_keeps_what_needs_a_restart_and_says_so(self, there: Configured) -> None:
        there.start("--config", str(there.file), "-f")
        text = f"mechanism = 'pam'\nrun_path = '{there.directory}/elsewhere'\nverbose = true\n"
        there.write(f"{text}shadow_file = '{there.shadow_file}'\nsyslog_socket = '/nonexistent/log'\n")
        log = there.reload()
        for line, name in ((1, "mechanism"), (2, "run_path"), (3, "verbose"), (5, "syslog_socket")):
            assert f"{name} ({there.file}:{line}) needs a restart; what was in force stays so" in log
        assert there.ask() == "OK"
        assert "auth success" not in there.log

    def test_watches_the_file_that_counts_now(self, there: Configured) -> None:
        """With the cache on since the hangup, and another file of passwords."""
        there.start("--config", str(there.file), "-f")
        other = shadow.write(there.directory / "other", {LOGIN.decode(): PASSWORD})
        there.write(there.basis.replace(str(there.shadow_file), str(other)) + "cache = true\n")
        there.reload()
        assert there.ask() == "OK"
        shadow.write(other, {LOGIN.decode(): NEW})
        wait_until(lambda: f"{other} has changed; the cache is emptied" in there.log, "the change is noticed")
        wait_until(lambda: there.ask() == "NO", "the old password is refused")
        assert there.ask(LOGIN, NEW) == "OK"

    def test_changes_the_user(self, there: Configured) -> None:
        need_root()
        there.write(there.basis + 'user = "nobody"\n')
        there.start("--config", str(there.file), "-f")
        there.write(there.basis + f'user = "{PLAIN_USER}"\n')
        there.reload()
        wait_until(lambda: users(there) == {pwd.getpwnam(PLAIN_USER).pw_uid}, "all are of the new user")
        there.write(there.basis + 'user = "root"\n')
        assert "user root is root" in there.reload(NOT_RELOADED)
        assert there.ask() == "OK"


class TestADefaultsFile:
    def test_is_read_anew_at_a_hangup(self, there: Configured) -> None:
        flags = f"-m {there.run_path} -o shadow_file={there.shadow_file} -o syslog_socket="
        defaults = there.write(f'MECHANISMS=shadow\nTHREADS=1\nOPTIONS="{flags}"\n', "defaults")
        there.start("--defaults", str(defaults), "-f")
        assert there.ask() == "OK"
        wait_workers(there, 1)
        there.write(f'MECHANISMS=shadow\nTHREADS=2\nOPTIONS="{flags}"\n', "defaults")
        there.reload()
        wait_workers(there, 2)
        there.write("MECHANISMS=`id`\n", "defaults")
        assert f"{defaults}:1: expected quotes around '`'" in there.reload(NOT_RELOADED)

    def test_stands_between_the_file_and_the_flags(self, there: Configured) -> None:
        there.write(there.basis + "processes = 1\nverbose = true\n")
        defaults = there.write(f"SOCKETDIR={there.run_path}\nMECH=shadow\nFLAGS='-n 2 -c'\n", "defaults")
        there.start("--config", str(there.file), "--defaults", str(defaults), "-f", "-n", "3")
        assert there.ask() == "OK"
        wait_workers(there, 3)

    def test_may_name_the_configuration_file_and_stay_in_the_foreground(self, there: Configured) -> None:
        defaults = there.write(f"MECH=shadow\nFLAGS='-d --config {there.file}'\n", "defaults")
        there.start("--defaults", str(defaults))
        assert there.ask() == "OK"
        assert f"run_path   : {there.run_path}" in there.log

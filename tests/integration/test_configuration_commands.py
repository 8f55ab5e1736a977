"""--check, --show-config and --import; and the files of distributions as they come, end to end."""

import os
import shlex
import sys
from collections.abc import Iterator

import pytest

from support import stock_files
from support.configured import Configured
from support.daemon import FRONT
from support.ldap_clients import configuration
from support.ldap_directory import U0
from support.packages import need_root
from support.pam_daemon import PLAIN_ID, RUN_AS_USER
from support.slapd import Slapd

NO_USER = "no user pysaslauthd here: the unprivileged parts run as nobody"
SECRET = "5ecret-of-the-directory"


@pytest.fixture
def there() -> Iterator[Configured]:
    with Configured() as configured:
        configured.write(configured.basis)
        yield configured


def lines(text: str) -> list[str]:
    """What was told, less what hangs on the users of this machine."""
    return [line for line in text.splitlines() if line != f"warning: {NO_USER}"]


def _settings(shown: str) -> list[str]:
    """What was shown, less who gave it."""
    return [line.split("  # ")[0] for line in shown.splitlines()]


class TestCheck:
    def test_of_what_is_right_says_nothing_and_starts_nothing(self, there: Configured) -> None:
        there.write(there.basis.replace('syslog_socket = ""\n', ""))
        result = there.command("--config", str(there.file), "--check")
        assert (result.returncode, lines(result.stderr)) == (0, [])
        assert result.stdout.startswith("errors: 0, warnings: ")
        assert not there.run_path.exists()

    def test_of_what_is_weak_warns(self, there: Configured) -> None:
        there.write(there.basis + "unavailable = 'no'\ncache = true\n")
        result = there.command("--config", str(there.file), "--check", "-t", "-1")
        assert result.returncode == 0
        assert lines(result.stderr) == [
            "warning: cache_timeout (-t): never: a password that was right once is taken until the next reload",
            f"warning: unavailable ({there.file}:5): no: when our side breaks, mail programs ask their owners for a new password",
            f"warning: syslog_socket ({there.file}:4): none, and in the background nobody sees standard error: nothing is logged",
        ]

    def test_of_what_has_no_effect_warns(self, there: Configured) -> None:
        result = there.command("--config", str(there.file), "--check", "-f", "-O", "x", "-T")
        assert result.returncode == 0
        told = [line.partition(":")[2].split(" has")[0] for line in lines(result.stderr)]
        assert told == [" -T", " -O"]

    def test_looks_at_the_places_that_settings_name(self, there: Configured) -> None:
        there.shadow_file.chmod(0o644)
        result = there.command("--config", str(there.file), "--check", "-f")
        assert result.returncode == 0
        told = f"warning: shadow_file ({there.file}:3): {there.shadow_file} can be read by everybody"
        assert told in lines(result.stderr)
        there.shadow_file.unlink()
        words = ("--config", str(there.file), "--check", "-f", "-m")
        result = there.command(*words, str(there.directory / "a" / "b"))
        assert result.returncode == 1
        assert lines(result.stderr)[:2] == [
            f"error: run_path (-m): {there.directory}/a is no directory",
            f"error: shadow_file ({there.file}:3): {there.shadow_file}: No such file or directory",
        ]
        result = there.command(*words, "/" + "x" * 102)
        assert f"error: run_path (-m): /{'x' * 102}: the socket's path, mux included" not in result.stderr
        result = there.command(*words, "/" + "x" * 103)
        assert f"error: run_path (-m): /{'x' * 103}: the socket's path, mux included" in result.stderr

    def test_looks_into_the_file_of_the_mechanism(self, there: Configured) -> None:
        conf = there.write(f"ldap_servers: x\nldap_password: {SECRET}\nldap_timeout: abc\n", "saslauthd.conf")
        there.write(f'mechanism = "ldap"\nmechanism_option = "{conf}"\n')
        result = there.command("--config", str(there.file), "--check")
        assert result.returncode == 1
        assert lines(result.stderr) == [
            f"error: {conf}:1: ldap_servers: expected ldap://HOST/, ldaps://HOST/ or ldapi://PATH/, found 'x'",
            f"error: {conf}:3: ldap_timeout: expected a whole number from 1 to 86400, found 'abc'",
        ]
        there.write("ldap_start_tls: yes\nldap_tls_check_peer: no\n", "saslauthd.conf")
        result = there.command("--config", str(there.file), "--check")
        assert result.returncode == 0
        assert "servers are not verified" in result.stderr
        conf.unlink()
        result = there.command("--config", str(there.file), "--check")
        assert result.returncode == 1
        assert f"Could not open saslauthd config file: {conf} (No such file or directory)" in result.stderr

    def test_by_a_user_who_cannot_read_that_file_says_so(self, there: Configured) -> None:
        need_root()
        conf = there.write("nonsense", "saslauthd.conf")
        conf.chmod(0o600)
        as_user = RUN_AS_USER[2].replace("mechanisms.pam", "mechanisms.ldap.mechanism")
        words = [sys.executable, "-c", as_user, "--check", "-a", "ldap", "-O", str(conf)]
        result = there.run(words)
        assert result.returncode == 0
        assert f"warning: {conf}: not checked, as this user cannot read it" in result.stderr
        there.directory.chmod(0o700)
        assert f"warning: {conf}: not checked" in there.run(words).stderr
        there.directory.chmod(0o755)
        os.chown(conf, PLAIN_ID, PLAIN_ID)
        assert there.run(words).returncode == 1

    def test_of_a_user_that_cannot_be_is_an_error(self, there: Configured) -> None:
        need_root()
        result = there.command("--config", str(there.file), "--check", "-u", "root")
        assert result.returncode == 1
        assert "error: user root is root" in result.stderr


class TestShowConfig:
    def test_names_the_origin_of_every_value(self, there: Configured) -> None:
        defaults = there.write("MECH=shadow\nFLAGS='-c -t 60'\n", "defaults")
        there.write(there.basis + "\nworker_growth = '1 GiB'\ncache_timeout = '1h'\n")
        words = ("--config", str(there.file), "--defaults", str(defaults), "--show-config", "-n", "3")
        result = there.command(*words, "-o", "read_timeout=1500ms")
        assert (result.returncode, result.stderr) == (0, "")
        shown = dict(line.split("  # ") for line in result.stdout.splitlines())
        shown = {setting.strip(): origin for setting, origin in shown.items()}
        assert shown["processes = 3"] == "-n"
        assert shown['read_timeout = "1500ms"'] == "-o"
        assert shown["cache = true"] == f"{defaults}:2"
        assert shown['cache_timeout = "1m"'] == f"{defaults}:2"
        assert shown['mechanism = "shadow"'] == f"{defaults}:1"
        assert shown['worker_growth = "1 GiB"'] == f"{there.file}:6"
        assert shown[f'shadow_file = "{there.shadow_file}"'] == f"{there.file}:3"
        assert shown['syslog_socket = ""'] == f"{there.file}:4"
        assert shown['user = "pysaslauthd"'] == shown["verbose = false"] == "default"
        assert not there.run_path.exists()

    def test_shows_what_can_be_the_file(self, there: Configured) -> None:
        first = there.command("--config", str(there.file), "--show-config", "-n", "3")
        there.write(first.stdout, "shown.toml")
        second = there.command("--config", str(there.directory / "shown.toml"), "--show-config")
        assert _settings(second.stdout) == _settings(first.stdout)

    def test_shows_no_password(self, there: Configured) -> None:
        conf = there.write(f"ldap_password: {SECRET}\nldap_bind_dn: cn=x\n", "saslauthd.conf")
        result = there.command("--show-config", "-a", "ldap", "-O", str(conf))
        assert result.returncode == 0
        assert f"# mechanism ldap reads {conf}, of which nothing is shown" in result.stdout
        assert SECRET not in result.stdout + result.stderr


class TestImport:
    def test_prints_what_the_file_gives(self, there: Configured) -> None:
        text = stock_files.DEBIAN.replace('OPTIONS="-c', 'OPTIONS="-d -T -c')
        defaults = there.write(text, "defaults")
        result = there.command("--import", str(defaults))
        assert result.returncode == 0
        assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
            'mechanism = "pam"',
            'run_path = "/var/run/saslauthd"',
            "processes = 5",
            "cache = true",
            "verbose = true",
            "# -d or -f stays a flag: it is for who starts the daemon",
        ]
        assert result.stderr.startswith(f"warning: {defaults}:10: OPTIONS: -T has no effect")

    def test_of_what_is_wrong_prints_no_configuration(self, there: Configured) -> None:
        defaults = there.write("MECH=$X\nFLAGS=-x\n", "defaults")
        for path, told in (
            (
                defaults,
                [
                    f"{defaults}:1: expected X to be assigned above",
                    f"{defaults}:2: FLAGS: option -x not recognized",
                ],
            ),
            (there.directory / "none", [f"{there.directory}/none: No such file or directory"]),
            (there.directory, [f"{there.directory}: Is a directory"]),
        ):
            result = there.command("--import", str(path))
            assert result.returncode == 1
            assert result.stderr.splitlines() == [f"error: {line}" for line in told]
            assert " = " not in result.stdout

    def test_runs_nothing_of_the_file(self, there: Configured) -> None:
        proof = there.directory / "proof"
        program = shlex.join([sys.executable, "-c", f"open({str(proof)!r}, 'w')"])
        defaults = there.write(
            f'A=`{program}`\nB=$({program})\nC="$({program})"\n{program}\nMECH=pam\n', "defaults"
        )
        assert there.command("--import", str(defaults)).returncode == 1
        assert not proof.exists()


STOCK = {"debian": stock_files.DEBIAN, "red-hat": stock_files.RED_HAT}


@pytest.mark.parametrize("way", ["as it stands", "imported"])
class TestAStockFile:
    """In a place where ``/run`` is a directory of the test's own: the files name theirs."""

    @pytest.mark.parametrize("kind", [*STOCK, "installed"])
    def test_starts_a_daemon(self, kind: str, way: str) -> None:
        text = STOCK[kind] if kind in STOCK else stock_files.installed().decode()
        with Configured() as there:
            there.run_path = there.directory / "saslauthd"
            there.mux = there.run_path / "mux"
            there.start(*self._words(there, text, way), "-f", "-o", "syslog_socket=", own_run=True)
            assert there.ask(b"nobody-at-all", b"x") == "NO"
            assert there.children(FRONT)
            assert there.children("pysasl-pam")

    @pytest.mark.parametrize("kind", STOCK)
    def test_with_ldap_and_its_file_asks_the_directory(self, kind: str, way: str, slapd: Slapd) -> None:
        with Configured() as there:
            conf = there.write(configuration(slapd.ldap), "saslauthd.conf")
            text = (
                STOCK[kind].replace("MECH=pam", "MECH=ldap").replace('MECHANISMS="pam"', 'MECHANISMS="ldap"')
            )
            text = text.replace('MECH_OPTIONS=""', f'MECH_OPTIONS="{conf}"').replace(
                "FLAGS=", f"FLAGS=-O {conf}"
            )
            words = self._words(there, text, way)
            there.start(*words, "-f", "-o", "syslog_socket=", "-m", str(there.run_path))
            assert there.ask(U0.login.encode(), U0.password) == "OK"
            assert there.ask(U0.login.encode(), b"wrong") == "NO"

    @staticmethod
    def _words(there: Configured, text: str, way: str) -> list[str]:
        defaults = there.write(text, "defaults")
        if way == "as it stands":
            assert there.command("--defaults", str(defaults), "--show-config").returncode == 0
            return ["--defaults", str(defaults)]
        result = there.command("--import", str(defaults))
        assert result.returncode == 0
        return ["--config", str(there.write(result.stdout))]

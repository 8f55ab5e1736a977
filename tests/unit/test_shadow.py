"""The mechanism on a private file; what it says of the system's accounts is compared with the original elsewhere."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from pysaslauthd.config.settings import Settings
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms import libcrypt, shadow
from pysaslauthd.mechanisms.accounts import AccountsUnavailableError, NoAccount, ShadowEntry, SystemAccounts
from pysaslauthd.sealed import SealedFiles
from support.shadow import BCRYPT, MD5, SHA512, YESCRYPT, entry, hashed

TODAY = 20_000
PASSWORD = Secret(b"p\xc3\xa4ss \xff word")


def worker_for(file: Path) -> shadow.Worker:
    options = Options(mechanism=(MECHANISMS["shadow"],), settings=Settings(shadow_file=file))
    return shadow.Worker(options, SealedFiles())


def check(file: Path, login: bytes, password: Secret = PASSWORD) -> Answer:
    return worker_for(file).check(Identity(login, b"imap", b"", None), password)


def verdict(file: Path, login: bytes, password: Secret = PASSWORD) -> tuple[Verdict, str]:
    answer = check(file, login, password)
    return answer.verdict, answer.reason


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shadow"


class TestPasswords:
    @pytest.mark.parametrize("method", [YESCRYPT, SHA512, BCRYPT, MD5, b"$5$", b"$7$", b"$gy$", b""])
    def test_of_every_method_are_right_or_wrong(self, file: Path, method: bytes) -> None:
        file.write_text(entry("alice", hashed(PASSWORD.reveal()[:8], method)))
        assert verdict(file, b"alice", Secret(PASSWORD.reveal()[:8])) == (Verdict.ACCEPT, "")
        assert verdict(file, b"alice", Secret(b"wrong")) == (Verdict.REJECT, "Incorrect password")

    @pytest.mark.parametrize(
        "stored", ["!", "*", "", "!!", "x", "unknown", "$nosuch$salt$hash", "*0", "*1", "!{}"]
    )
    def test_never_fit_what_is_no_hash(self, file: Path, stored: str) -> None:
        file.write_text(entry("alice", stored.format(hashed(PASSWORD.reveal()))))
        for password in (PASSWORD, Secret(stored.encode() or b"x"), Secret(b"*0")):
            assert verdict(file, b"alice", password) == (Verdict.REJECT, "Incorrect password")

    def test_longer_than_libcrypt_takes_are_wrong(self, file: Path) -> None:
        file.write_text(entry("alice", hashed(b"x" * 511)))
        assert verdict(file, b"alice", Secret(b"x" * 511))[0] is Verdict.ACCEPT
        assert verdict(file, b"alice", Secret(b"x" * 8192)) == (Verdict.REJECT, "Incorrect password")

    def test_of_nis_that_we_may_not_see_are_refused_for_that(self, file: Path) -> None:
        file.write_text(entry("alice", "*NP*"))
        assert verdict(file, b"alice") == (
            Verdict.REJECT,
            "Insufficient permission to access NIS authentication database (saslauthd)",
        )


class TestAccounts:
    def test_that_do_not_exist_are_refused(self, file: Path) -> None:
        file.write_text(entry("alice", hashed(PASSWORD.reveal())))
        answer = check(file, b"bob")
        assert (answer.verdict, answer.cause, answer.reason) == (
            Verdict.REJECT,
            Cause.UNKNOWN_USER,
            "Invalid username",
        )

    @pytest.mark.parametrize("login", [b"alice:", b"#alice", b"", b"alice\n", b"+", b"\xff"])
    def test_have_no_odd_names(self, file: Path, login: bytes) -> None:
        file.write_text("#" + entry("alice", hashed(PASSWORD.reveal())) + "+::::::::\n")
        assert verdict(file, login) == (Verdict.REJECT, "Invalid username")

    @pytest.mark.parametrize(
        ("change", "maximum", "expires", "reason"),
        [
            (None, None, None, ""),
            (None, None, TODAY, ""),
            (None, None, TODAY - 1, "Account expired"),
            (None, None, 0, "Account expired"),
            (TODAY - 90, 90, None, ""),
            (TODAY - 91, 90, None, "Password expired"),
            (0, None, None, ""),
            (0, 99_999, None, ""),
            (0, 90, None, "Password expired"),
            (None, 90, None, ""),
            (TODAY - 91, 90, TODAY - 1, "Account expired"),
        ],
    )
    def test_expire_when_the_originals_do(
        self, change: int | None, maximum: int | None, expires: int | None, reason: str
    ) -> None:
        answer = shadow.standing(ShadowEntry(b"", change, maximum, expires), today=TODAY)
        assert answer.reason == reason
        assert answer.verdict is (Verdict.REJECT if reason else Verdict.ACCEPT)

    def test_tell_of_their_expiry_only_who_knows_the_password(self, file: Path) -> None:
        file.write_text(entry("alice", hashed(PASSWORD.reveal()), expire="0"))
        assert verdict(file, b"alice", Secret(b"wrong")) == (Verdict.REJECT, "Incorrect password")
        assert verdict(file, b"alice") == (Verdict.REJECT, "Account expired")


class TestTheCostOfAnUnknownUser:
    """By counting hashes and their methods, as no time is a verdict."""

    @pytest.fixture
    def settings_used(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        used: list[bytes] = []
        original = libcrypt.hashed

        def recording(password: Secret, setting: bytes) -> bytes | None:
            result = original(password, setting)
            if result is not None:
                used.append(setting[:3])
            return result

        monkeypatch.setattr(libcrypt, "hashed", recording)
        return used

    @pytest.mark.parametrize("method", [YESCRYPT, SHA512, MD5])
    @pytest.mark.parametrize(
        "login", [b"alice", b"locked", b"star", b"empty", b"odd", b"nis", b"nobody-here"]
    )
    def test_is_that_of_a_wrong_password(
        self, file: Path, settings_used: list[bytes], method: bytes, login: bytes
    ) -> None:
        others = "".join(
            entry(name, stored) for name, stored in [("locked", "!"), ("star", "*"), ("empty", "")]
        )
        odd = entry("odd", "$nosuch$x") + entry("nis", "*NP*") + entry("old", hashed(b"x", BCRYPT, 4))
        users = "".join(entry(name, hashed(b"x", method)) for name in ("alice", "carol"))
        file.write_text(others + odd + users)
        assert check(file, login, Secret(b"wrong")).verdict is Verdict.REJECT
        assert settings_used == [method[:3]]

    def test_is_the_systems_own_method_where_nobody_has_a_hash(
        self, file: Path, settings_used: list[bytes]
    ) -> None:
        file.write_text("")
        check(file, b"bob", Secret(b"wrong"))
        assert settings_used == [libcrypt.new_setting()[:3]]


class TestTheFile:
    def test_counts_at_once_when_it_was_replaced(self, file: Path) -> None:
        worker = worker_for(file)
        identity = Identity(b"alice", b"", b"", None)
        for password in (b"first", b"secnd"):
            new = file.with_suffix(".new")
            new.write_text(entry("alice", hashed(password)))
            new.replace(file)
            assert worker.check(identity, Secret(password)).verdict is Verdict.ACCEPT
            assert worker.check(identity, Secret(b"other")).verdict is Verdict.REJECT

    def test_that_is_missing_makes_logins_unavailable_until_it_is_there(self, file: Path) -> None:
        worker = worker_for(file)
        identity = Identity(b"alice", b"", b"", None)
        answer = worker.check(identity, PASSWORD)
        assert (answer.verdict, answer.cause) == (Verdict.UNAVAILABLE, Cause.BACKEND)
        assert answer.reason == f"shadow_file {file}: No such file or directory"
        file.write_text(entry("alice", hashed(PASSWORD.reveal())))
        assert worker.check(identity, PASSWORD).verdict is Verdict.ACCEPT
        file.unlink()
        assert worker.check(identity, PASSWORD).verdict is Verdict.UNAVAILABLE

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_that_is_no_file_does_not_hold_the_worker(self, file: Path, make: object) -> None:
        make(file)  # type: ignore[operator]
        answer = check(file, b"alice")
        assert answer.verdict is Verdict.UNAVAILABLE
        assert "not a regular file" in answer.reason or "Is a directory" in answer.reason

    def test_has_broken_lines_that_concern_their_user_only(self, file: Path) -> None:
        stored = hashed(PASSWORD.reveal())
        file.write_text(f"bob:{stored}\ncarol:{stored}:x::::::\ndave\n\n" + entry("alice", stored))
        assert verdict(file, b"alice")[0] is Verdict.ACCEPT
        assert verdict(file, b"bob") == (
            Verdict.UNAVAILABLE,
            f"shadow_file {file} line 1: expected 9 fields with ':' between them, found 2",
        )
        assert verdict(file, b"carol") == (
            Verdict.UNAVAILABLE,
            f"shadow_file {file} line 2: expected a number of days or nothing in a field of the password's age",
        )
        assert verdict(file, b"dave")[0] is Verdict.UNAVAILABLE

    def test_may_have_the_line_ends_of_another_system(self, file: Path) -> None:
        file.write_bytes(entry("alice", hashed(PASSWORD.reveal())).replace("\n", "\r\n").encode())
        assert verdict(file, b"alice")[0] is Verdict.ACCEPT

    def test_has_its_first_entry_of_a_name_count(self, file: Path) -> None:
        file.write_text(entry("alice", hashed(PASSWORD.reveal())) + entry("alice", hashed(b"other")))
        assert verdict(file, b"alice")[0] is Verdict.ACCEPT
        assert verdict(file, b"alice", Secret(b"other"))[0] is Verdict.REJECT


class TestTheSystemsAccounts:
    def test_do_not_have_a_user_that_nobody_made(self) -> None:
        for login in (b"no-such-user-here", b"\xff\xfe", b"a" * 256):
            with pytest.raises(NoAccount, match="Invalid username"):
                SystemAccounts().look_up(login)

    def test_that_may_not_be_read_are_not_taken_for_empty(self) -> None:
        assert in_a_child_without_rights(self._reason_for_root) == "Username shadow lookup failure"

    @staticmethod
    def _reason_for_root() -> str:
        with pytest.raises(AccountsUnavailableError, match="Permission denied") as caught:
            SystemAccounts().look_up(b"root")
        return str(caught.value).partition(":")[0]


def in_a_child_without_rights(call: Callable[[], str]) -> str:
    """What ``call`` returns in a process that is not root."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            os.write(write, call().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        result = stream.read()
    os.waitpid(pid, 0)
    return result

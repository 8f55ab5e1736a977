"""How the prompts of modules are answered. Nothing here needs root."""

from collections.abc import Iterator

import pytest

from support.namespaces import need_namespaces
from support.pam_daemon import PamDaemon, ours
from support.pam_files import PamFiles
from support.pam_modules import compiled, matrix
from support.waiting import wait_until

LOGIN, PASSWORD = b"alice", b"secret"
HIDDEN, VISIBLE, ERROR, INFO, RADIO, BINARY = 1, 2, 3, 4, 5, 7
NONE = None


class Talk:
    """A service whose module holds one conversation, and what it was answered."""

    def __init__(self, files: PamFiles) -> None:
        self._files = files
        self._module = compiled("conversation", files.directory)
        self._answers = files.file("answers")

    def says(self, *messages: tuple[int, str], user_prompt: str = "") -> None:
        words = [f"[{style}:{text}]" for style, text in messages]
        if user_prompt:
            words.append(f"[user_prompt={user_prompt}]")
        stack = f"auth required {self._module} {self._answers} {' '.join(words)}\n"
        self._files.service("talk", stack + "account required pam_permit.so\n")
        self._answers.write_text("")

    @property
    def heard(self) -> list[bytes | None]:
        lines = self._answers.read_text().splitlines()
        return [None if line == "none" else bytes.fromhex(line) for line in lines]


@pytest.fixture(scope="module")
def files() -> Iterator[PamFiles]:
    need_namespaces()
    with PamFiles() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(files: PamFiles) -> Iterator[PamDaemon]:
    with ours(files, "-n", "1") as running:
        yield running


@pytest.fixture(scope="module")
def talk(files: PamFiles) -> Talk:
    return Talk(files)


class TestPrompts:
    @pytest.mark.parametrize("count", [1, 2, 5, 32])
    def test_that_hide_the_answer_get_the_password_each(
        self, daemon: PamDaemon, talk: Talk, count: int
    ) -> None:
        talk.says(*[(HIDDEN, f"secret {number}: ") for number in range(count)])
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "OK"
        assert talk.heard == [PASSWORD] * count

    def test_for_the_user_get_the_login_and_other_visible_ones_nothing(
        self, daemon: PamDaemon, talk: Talk
    ) -> None:
        talk.says((VISIBLE, "who: "), (VISIBLE, "token: "), (HIDDEN, "who: "), user_prompt="who: ")
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "OK"
        assert talk.heard == [LOGIN, NONE, PASSWORD]

    def test_for_the_user_of_which_pam_does_not_know_get_nothing(self, daemon: PamDaemon, talk: Talk) -> None:
        talk.says((VISIBLE, "login: "), (VISIBLE, ""))
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "OK"
        assert talk.heard == [NONE, NONE]

    @pytest.mark.parametrize(
        "password",
        [b"\xff\xfe", b"gr\xfc\xdfe", "grüße-€".encode(), b" \t\r\n\x01\x7f", b"%s%n", b"p" * 8192],
        ids=["no-text", "latin", "utf-8", "control", "format", "long"],
    )
    def test_pass_the_bytes_on_as_they_are(self, daemon: PamDaemon, talk: Talk, password: bytes) -> None:
        talk.says((HIDDEN, "secret: "))
        assert daemon.ask(LOGIN, password, b"talk") == "OK"
        assert talk.heard == [password]

    def test_pass_on_a_login_that_is_no_text(self, daemon: PamDaemon, talk: Talk) -> None:
        talk.says((VISIBLE, "who: "), user_prompt="who: ")
        assert daemon.ask(b"j\xf6rg\xff", PASSWORD, b"talk") == "OK"
        assert talk.heard == [b"j\xf6rg\xff"]

    @pytest.mark.parametrize("style", [RADIO, BINARY, 0, 6, -1, 1000])
    def test_of_another_style_end_the_login(self, daemon: PamDaemon, talk: Talk, style: int) -> None:
        talk.says((HIDDEN, "secret: "), (style, "what is this"))
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "NO"
        assert talk.heard == []

    @pytest.mark.parametrize("count", [0, 33])
    def test_none_at_all_or_too_many_end_the_login(self, daemon: PamDaemon, talk: Talk, count: int) -> None:
        talk.says(*[(HIDDEN, "secret: ")] * count)
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "NO"
        assert talk.heard == []


class TestTexts:
    def test_are_in_the_log_among_the_details(self, daemon: PamDaemon, talk: Talk) -> None:
        talk.says((INFO, "the weather is fine"), (HIDDEN, "secret: "), (ERROR, "storm later"))
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "OK"
        assert talk.heard == [NONE, PASSWORD, NONE]
        for text in ("the weather is fine", "storm later"):
            wait_until(lambda text=text: f"pam message: {text}" in daemon.log, text)  # type: ignore[misc]

    def test_are_not_there_unless_details_are_wanted(self, files: PamFiles, talk: Talk) -> None:
        talk.says((INFO, "the weather is fine"), (HIDDEN, "secret: "), (BINARY, "no"))
        with ours(files, "-n", "1", foreground="-f") as daemon:
            assert daemon.ask(LOGIN, PASSWORD, b"talk") == "NO"
            wait_until(lambda: "auth failure" in daemon.log, "the refusal is in the log")
            assert "weather" not in daemon.log
            assert "DEBUG" not in daemon.log

    def test_cannot_begin_a_line_of_their_own(self, daemon: PamDaemon, talk: Talk) -> None:
        talk.says((INFO, "first\x1b[31m\r second"), (HIDDEN, "secret: "))
        assert daemon.ask(LOGIN, PASSWORD, b"talk") == "OK"
        wait_until(lambda: "pam message: first" in daemon.log, "it is in the log")
        assert "\x1b" not in daemon.log
        assert "\r" not in daemon.log

    def test_hold_no_password(self, daemon: PamDaemon, talk: Talk) -> None:
        talk.says((HIDDEN, "secret: "), (HIDDEN, "again: "))
        assert daemon.ask(LOGIN, b"Never-In-A-Log", b"talk") == "OK"
        talk.says((HIDDEN, "secret: "), (INFO, "you said Never-In-A-Log"), (INFO, "and no more"))
        assert daemon.ask(LOGIN, b"Never-In-A-Log", b"talk") == "OK"
        wait_until(lambda: "pam message: and no more" in daemon.log, "what follows is in the log")
        assert "Never-In-A-Log" not in daemon.log


class TestMatrix:
    """The module with which others test programs that use PAM: a file of passwords in plain text."""

    @pytest.fixture
    def _stack(self, files: PamFiles) -> None:
        passwords = files.file("passwords")
        passwords.write_bytes(b"neo:Right-1:smtp\ntrinity:other:imap\nj\xf6rg:gr\xfc\xdfe:smtp\n")
        for service in ("smtp", "imap"):
            lines = [f"{phase} required {matrix()} passdb={passwords}\n" for phase in ("auth", "account")]
            files.service(service, "".join(lines))

    @pytest.mark.usefixtures("_stack")
    @pytest.mark.parametrize(
        ("login", "password", "service", "expected"),
        [
            (b"neo", b"Right-1", b"smtp", "OK"),
            (b"neo", b"wrong", b"smtp", "NO"),
            (b"neo", b"Right-1", b"imap", "NO"),
            (b"trinity", b"other", b"imap", "OK"),
            (b"nobody", b"other", b"imap", "NO"),
            (b"j\xf6rg", b"gr\xfc\xdfe", b"smtp", "OK"),
            (b"j\xf6rg", "grüße".encode(), b"smtp", "NO"),
        ],
    )
    def test_says_who_may_log_in_where(
        self, daemon: PamDaemon, login: bytes, password: bytes, service: bytes, expected: str
    ) -> None:
        assert daemon.ask(login, password, service) == expected

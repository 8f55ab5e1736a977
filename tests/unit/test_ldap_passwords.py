"""What userPassword may hold: right, wrong, malformed, unknown, and too dear to be looked at."""

import base64
import hashlib
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms import libcrypt
from pysaslauthd.mechanisms.ldap import passwords
from pysaslauthd.mechanisms.ldap.passwords import (
    ComparisonFailedError,
    MalformedHashError,
    UnknownSchemeError,
    UnusableHashError,
    is_slow,
    matches,
)

PASSWORD = Secret("päss wörd".encode())
# By slappasswd of OpenLDAP 2.5.13, with the modules pw-sha2, pw-pbkdf2 and argon2.
OPENLDAP = [
    b"{MD5}dXVbOF+Z2Dhtyx7XTnx1JQ==",
    b"{SMD5}lkwvTjLw9cq3EYgVdaYa/p23/ZY=",
    b"{SHA}/i4CfWuUyOmLaC9O8e9k/TBfbK8=",
    b"{SSHA}0aUsnsYLXFp+3sCfZLXi7yx2/cd2cbIG",
    b"{CRYPT}4eQd2Fpd97ZAMz/WEvL7vSi2",
    b"{SHA256}nZeOKZw+IphR1Bgwa5CX4YW3jBofBqPGXszHb5xN75k=",
    b"{SSHA256}iwLO/zmnW929BOyA6CaQaaz+BEJA1RmWl6UddYA/FLNWGc8UHuloHA==",
    b"{SHA384}99mAy2LeJTNRObXtvxDWdiDmWXZrh+CnBeorujIFY+JUGNrIjumOZU9uGdZcz759",
    b"{SSHA384}wlJpjgQU1otuw7JI89qcYglz/e4HEQ4Je3HcSqqg1gp9vse2xFWYtr9dvsEeZ7sDPC3OxNUsUpI=",
    b"{SHA512}wPSLvqJa09dVpu1yACeVU+xsmRLkw8NS+HnXqihn8FjsLrCFi3LTzyVZvUP6Rejv6swr/Ao2OINvzQwmYVvwDg==",
    b"{SSHA512}m7c9pjQOwmxwQDlQKTBxNZ3A7GhzUuDB5NtA07x43MU4zkntpAwGXd3xOM16exENM32PoG0ESBJNcourCnsUF3RoUh1gHDV+",
    b"{PBKDF2}10000$3dub2TRyJlpY73jnfazYKg$7AvvLHI3Kl0b/91dx0yb16v12H0",
    b"{PBKDF2-SHA1}10000$Cf2yseNapspNcfKwT4YNuw$2IIqsTeLKIVDFZ.iTdImuQ16IME",
    b"{PBKDF2-SHA256}10000$ai5hBRx2isFSd/EvOlDqPA$oD2ikmqfFWd/1IgIxGsA2wy4TkJEGAIEPawWDmsLUjw",
    b"{PBKDF2-SHA512}10000$vLOKDKhUUzMRQdQXh0uqpw$3UL2YNnMm0xL2h2n484pJYsDZceTK64eh2u6SkTDc2SIUCAW2GTuSQ0qOf9HizLCg2fZtQmD1nDNghmRC/gwnA",
    b"{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$L8vKKpKkTvjzM2enwSOfhQ$FCXsb55XccysnornKo2gp+/WMFUmzbPsvsHk/pCZWG4",
]
CLEAR = [b"{CLEARTEXT}" + PASSWORD.reveal(), PASSWORD.reveal()]


def scheme_of(stored: bytes) -> str:
    return stored.partition(b"}")[0].decode() if stored.startswith(b"{") else "clear"


def crypted(password: bytes, prefix: bytes, cost: int = 0) -> bytes:
    result = libcrypt.hashed(Secret(password), libcrypt.new_setting(prefix, cost))
    assert result is not None
    return b"{CRYPT}" + result


def unusable(stored: bytes, password: Secret = PASSWORD) -> str:
    """The complaint about a value that nothing fits."""
    with pytest.raises(MalformedHashError) as caught:
        matches(stored, password)
    return str(caught.value)


@pytest.mark.parametrize("stored", OPENLDAP + CLEAR, ids=scheme_of)
class TestEveryScheme:
    def test_fits_its_password_and_no_other(self, stored: bytes) -> None:
        right = PASSWORD.reveal()
        assert matches(stored, PASSWORD)
        for wrong in (right[:-1], right + b"x", b"P" + right[1:], right.lower()[::-1], b"x", b" " + right):
            assert not matches(stored, Secret(wrong))

    def test_may_be_written_in_any_case(self, stored: bytes) -> None:
        if not stored.startswith(b"{"):
            return
        brace = stored.find(b"}")
        for other in (stored[:brace].lower() + stored[brace:], stored[:brace].title() + stored[brace:]):
            assert matches(other, PASSWORD)
            assert not matches(other, Secret(b"x"))

    def test_is_not_fitted_by_its_own_text(self, stored: bytes) -> None:
        if stored != PASSWORD.reveal():
            assert not matches(stored, Secret(stored))
            assert stored.startswith(b"{CLEARTEXT}") or not matches(
                stored, Secret(stored[stored.find(b"}") + 1 :])
            )

    def test_is_never_fitted_by_nothing(self, stored: bytes) -> None:
        assert not matches(stored, Secret(b""))
        assert not matches(stored[: stored.find(b"}") + 1], Secret(b""))
        assert not matches(stored[: stored.find(b"}") + 1], PASSWORD)

    def test_says_whether_it_is_slow(self, stored: bytes) -> None:
        assert is_slow(stored) is any(word in stored for word in (b"CRYPT", b"PBKDF2", b"ARGON2"))
        assert is_slow(stored.lower()) is is_slow(stored)

    def test_that_is_cut_short_fits_nobody_and_does_not_crash(self, stored: bytes) -> None:
        if stored in CLEAR:
            return
        start = stored.find(b"}") + 1
        for length in range(start + 1, len(stored)):
            if b"CRYPT" in stored and length == start + 13:
                continue  # this hash is of 11 characters, and its head is a DES hash of the first eight
            try:
                assert not matches(stored[:length], PASSWORD)
            except UnusableHashError as error:
                text = stored[start:length].decode()
                assert length < start + 6 or text not in str(error)  # noqa: PT017  (it may raise or not)


class TestDigests:
    def test_with_a_salt_of_any_length(self) -> None:
        for size in (0, 1, 4, 8, 16, 64):
            salt = bytes(range(size))
            value = base64.b64encode(hashlib.sha1(PASSWORD.reveal() + salt).digest() + salt)
            assert matches(b"{SSHA}" + value, PASSWORD)
            assert not matches(b"{SSHA}" + value, Secret(b"x"))

    def test_with_a_blank_or_a_line_end_in_the_base64(self) -> None:
        assert matches(b"{SSHA} 0aUsnsYLXFp+3sCfZLXi\n7yx2/cd2cbIG\r\n", PASSWORD)

    @pytest.mark.parametrize(
        ("value", "complaint"),
        [
            (b"{SSHA}AAAA", "{SSHA} with 3 bytes behind it; expected 20"),
            (b"{ssha512}AAAA", "{ssha512} with 3 bytes behind it; expected 64"),
            (b"{SHA}0aUsnsYLXFp+3sCfZLXi7yx2/cd2cbIG", "{SHA} with 24 bytes behind it; expected 20"),
            (b"{MD5}dXVbOF+Z2Dhtyx7XTnx1JQ=", "{MD5} without base64 behind it"),
            (b"{MD5}755b385f99d8386dcb1ed74e7c7525\xff", "{MD5} without base64 behind it"),
            (b"{MD5}====", "{MD5} without base64 behind it"),
        ],
    )
    def test_that_are_none(self, value: bytes, complaint: str) -> None:
        assert unusable(value) == complaint


class TestPbkdf2:
    def test_as_passlib_writes_it(self) -> None:
        stored = b"{PBKDF2-SHA256}1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ"
        assert matches(stored, Secret(b"password"))
        assert matches(stored.replace(b"Vw$", b"Vw==$").replace(b".", b"+") + b"=", Secret(b"password"))
        assert not matches(stored, Secret(b"Password"))

    @pytest.mark.parametrize(
        ("value", "complaint"),
        [
            (b"AAAA", "without ITERATIONS$SALT$HASH behind it"),
            (b"0$AAAA$AAAA", "with 0 iterations; expected 1 to 10000000"),
            (b"10000001$AAAA$AAAA", "with 10000001 iterations; expected 1 to 10000000"),
            (b"9999999999$AAAA$AAAA", "without ITERATIONS$SALT$HASH behind it"),
            (b"-1$AAAA$AAAA", "without ITERATIONS$SALT$HASH behind it"),
            (b"1$AAAA$AA", "with a hash of 1 bytes; expected 32"),
            (b"1$AAAA$" + b"A" * 1000, "with a hash of 750 bytes; expected 32"),
            (b"1$A$AAAA", "with a salt or hash that is no base64"),
            (b"1$$AAAA", "without ITERATIONS$SALT$HASH behind it"),
        ],
    )
    def test_that_is_none_or_too_dear(self, value: bytes, complaint: str) -> None:
        assert unusable(b"{PBKDF2-SHA256}" + value) == f"{{PBKDF2-SHA256}} {complaint}"


ARGON2_SALT = b"L8vKKpKkTvjzM2enwSOfhQ$FCXsb55XccysnornKo2gp+/WMFUmzbPsvsHk/pCZWG4"


class TestArgon2:
    @pytest.mark.parametrize("kind", argon2.Type)
    def test_of_every_kind(self, kind: argon2.Type) -> None:
        hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=2, type=kind)
        stored = b"{ARGON2}" + hasher.hash(PASSWORD.reveal()).encode()
        assert matches(stored, PASSWORD)
        assert not matches(stored, Secret(b"x"))

    @pytest.mark.parametrize(
        "cost", [b"m=262145,t=1,p=1", b"m=65536,t=33,p=1", b"m=64,t=2000000000,p=1", b"m=1024,t=1,p=17"]
    )
    def test_that_is_too_dear(self, cost: bytes) -> None:
        assert unusable(b"{ARGON2}$argon2id$v=19$" + cost + b"$" + ARGON2_SALT) == (
            "{ARGON2} with a hash that needs more memory, passes or lanes than are given"
        )

    @pytest.mark.parametrize(
        "value",
        [
            b"$argon2x$v=19$m=64,t=1,p=1$" + ARGON2_SALT,
            b"$argon2id$v=19$m=x,t=1,p=1$" + ARGON2_SALT,
            b"$argon2id$v=19$m=64,t=0,p=1$" + ARGON2_SALT,
            b"$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA",
            b"$argon2id$v=19$m=64,t=1,p=1$!$!",
            b"\xff",
            b"$y$j9T$abc$abc",
        ],
    )
    def test_that_is_none(self, value: bytes) -> None:
        assert unusable(b"{ARGON2}" + value) == "{ARGON2} without a hash of argon2 behind it"

    def test_without_its_library_is_an_unknown_scheme(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "argon2", None)
        with pytest.raises(
            UnknownSchemeError, match=r"^password scheme \{ARGON2\} needs the package argon2-cffi$"
        ):
            matches(OPENLDAP[-1], PASSWORD)

    def test_for_which_there_is_no_memory_is_not_a_wrong_password(self) -> None:
        # In a process of its own, as the limit of a process cannot be taken back.
        stored = b"{ARGON2}$argon2id$v=19$m=262144,t=1,p=1$" + ARGON2_SALT
        program = (
            "import resource\n"
            "from pysaslauthd.core.secret import Secret\n"
            "from pysaslauthd.mechanisms.ldap import passwords\n"
            f"resource.setrlimit(resource.RLIMIT_AS, ({200 << 20}, {resource.RLIM_INFINITY}))\n"
            f"try: passwords.matches({stored!r}, Secret(b'x'))\n"
            f"except passwords.{ComparisonFailedError.__name__} as error: print(error)\n"
        )
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert result.stdout == "argon2: Memory allocation error\n"


class TestCrypt:
    @pytest.mark.parametrize(
        "prefix",
        [
            b"$y$",
            b"$gy$",
            b"$7$",
            b"$2b$",
            b"$2a$",
            b"$2y$",
            b"$6$",
            b"$5$",
            b"$sha1$",
            b"$md5",
            b"$1$",
            b"$3$",
            b"_",
            b"",
        ],
    )
    def test_of_every_method(self, prefix: bytes) -> None:
        stored = crypted(b"short pw", prefix)
        assert matches(stored, Secret(b"short pw"))
        assert matches(b"{unix}" + stored[7:], Secret(b"short pw"))
        assert not matches(stored, Secret(b"Short pw"))

    @pytest.mark.parametrize(
        "value",
        [
            b"x",
            b"a",
            b"!",
            b"*",
            b"!!",
            b"*0",
            b"*1",
            b"{}",
            b"!$1$salt$aaaaaaaaaaaaaaaaaaaaaa",
            b"$1$a:b$",
            b"\xff\xff",
        ],
    )
    def test_that_is_none(self, value: bytes) -> None:
        for password in (PASSWORD, Secret(value), Secret(b"*0"), Secret(b"*1")):
            assert unusable(b"{CRYPT}" + value, password) == (
                "{CRYPT} without a hash behind it that the system's libcrypt knows"
            )

    @pytest.mark.parametrize("value", [b"ab", b"$1$salt$", b"$1$salt", b"$6$salt$", b"$6$rounds=1000$salt$"])
    def test_that_is_a_salt_alone(self, value: bytes) -> None:
        assert not matches(b"{CRYPT}" + value, PASSWORD)

    @pytest.mark.parametrize(
        "value",
        [
            b"$6$rounds=999999999$salt$hash",
            b"$5$rounds=10000001$salt$hash",
            b"$md5,rounds=4000000000$salt$hash",
            b"$md5$rounds=4000000000$salt$hash",
            b"$sha1$4000000000$salt$hash",
            b"$2b$31$abcdefghijklmnopqrstuuOeZ2hQ32AyBh8ZYFFLfYoUxWKOV2GcS",
            b"$2y$17$abcdefghijklmnopqrstuuOeZ2hQ32AyBh8ZYFFLfYoUxWKOV2GcS",
            b"$y$jET$Ods2zHirOwiX6IepqA8Zd/$",
            b"$y$jDU$Ods2zHirOwiX6IepqA8Zd/$",
            b"$y$j9T.1$Ods2zHirOwiX6IepqA8Zd/$",
            b"$gy$jFT$Ods2zHirOwiX6IepqA8Zd/$",
            b"$7$FU..../....SMSk5uG5j4huUxVQ20cRP/$",
            b"$7$DU......1...SMSk5uG5j4huUxVQ20cRP/$",
            b"$7$DU..../...zSMSk5uG5j4huUxVQ20cRP/$",
            b"$7$E./.../....SMSk5uG5j4huUxVQ20cRP/$",
            b"$7$DU",
            b"$nosuch$salt$hash",
            b"$argon2id$v=19$m=64,t=1,p=1$salt$hash",
            b"$",
            b"$$",
        ],
    )
    def test_that_is_too_dear_or_unknown_is_not_computed(
        self, value: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def computed(*_: object) -> bytes:
            raise AssertionError("computed")

        monkeypatch.setattr(libcrypt, "hashed", computed)
        assert unusable(b"{CRYPT}" + value) == "{CRYPT} of an unknown method, or at a cost beyond all measure"

    def test_of_a_password_that_libcrypt_would_cut_or_refuse(self) -> None:
        stored = crypted(b"x" * 511, b"$1$")
        assert matches(stored, Secret(b"x" * 511))
        assert not matches(stored, Secret(b"x" * 512))
        assert not matches(stored, Secret(b"x" * 8192))
        assert not matches(crypted(b"right", b"$1$"), Secret(b"right\0wrong"))
        assert not matches(crypted(b"right", b"$1$") + b"\0", Secret(b"right"))

    @pytest.mark.parametrize(("prefix", "cost", "rounds"), [(b"$1$", 0, 50), (b"$y$", 1, 25)])
    def test_in_many_threads_never_takes_one_password_for_another(
        self, prefix: bytes, cost: int, rounds: int
    ) -> None:
        values = {
            password: crypted(password, prefix, cost) for password in (b"one", b"two", b"three", b"four")
        }
        wrong: list[tuple[bytes, bytes]] = []
        threads = 8
        together = threading.Barrier(threads)

        def compare(own: bytes) -> None:
            together.wait(timeout=60)
            for _ in range(rounds):
                for password, stored in values.items():
                    if matches(stored, Secret(own)) is not (password == own):
                        wrong.append((own, password))

        workers = [
            threading.Thread(target=compare, args=(list(values)[i % len(values)],)) for i in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=60)
        assert not any(worker.is_alive() for worker in workers)
        assert wrong == []


class TestUnknownSchemes:
    @pytest.mark.parametrize(
        ("stored", "complaint"),
        [
            (b"{SASL}joe@EXAMPLE.ORG", "unknown password scheme {SASL}"),
            (b"{x-xor}geheim", "unknown password scheme {x-xor}"),
            (b"{SHA512-CRYPT}$6$geheim$geheim", "unknown password scheme {SHA512-CRYPT}"),
            (b"{SSHA1024}geheim", "unknown password scheme {SSHA1024}"),
            (b"{ SSHA}geheim", "unknown password scheme {...}"),
            (b"{mein geheimes Wort}geheim", "unknown password scheme {...}"),
            (b"{" + b"g" * 33 + b"}eheim", "unknown password scheme {...}"),
            (b"{\xff\n}geheim", "unknown password scheme {...}"),
            (b"{{}geheim", "unknown password scheme {...}"),
        ],
    )
    def test_fit_nobody_and_show_nothing(self, stored: bytes, complaint: str) -> None:
        assert not is_slow(stored)
        for password in (Secret(stored), Secret(stored[stored.find(b"}") + 1 :]), PASSWORD):
            with pytest.raises(UnknownSchemeError) as caught:
                matches(stored, password)
            assert str(caught.value) == complaint

    @pytest.mark.parametrize(
        "stored", [b"{}geheim", b"{geheim", b"}geheim", b"{", b"{}", b" {SSHA}x", b"$geheim$", b"$1"]
    )
    def test_are_none_where_no_name_is_in_braces(self, stored: bytes) -> None:
        assert matches(stored, Secret(stored))
        assert not matches(stored, PASSWORD)

    @pytest.mark.parametrize(
        "stored",
        [
            *(
                value.removeprefix(b"{CRYPT}")
                for value in (crypted(b"x", p) for p in (b"$1$", b"$6$", b"$2b$", b"$md5"))
            ),
            b"$y$j9T$Ods2zHirOwiX6IepqA8Zd/$EVCsT90BElZsXKOJtlLeWex72Oh3PJh9Zv2qFC6q.oD",
            b"$argon2id$v=19$m=64,t=1,p=1$" + ARGON2_SALT,
            b"$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ",
        ],
    )
    def test_are_hashes_that_nobody_marked(self, stored: bytes) -> None:
        with pytest.raises(UnknownSchemeError, match=r"^a hash without a scheme in braces"):
            matches(stored, Secret(stored))


def prefixes() -> Iterator[bytes]:
    yield from {stored[: stored.find(b"}") + 1] for stored in OPENLDAP + CLEAR}
    yield from (b"{CRYPT}$1$", b"{PBKDF2}1$", b"{ARGON2}$argon2id$v=19$m=8,t=1,p=1$", b"{", b"{X}")


@given(
    st.sampled_from(sorted(prefixes())),
    st.binary(max_size=60),
    st.binary(max_size=20).filter(lambda value: b"\0" not in value),
)
def test_any_bytes_fit_or_do_not_or_are_unusable(prefix: bytes, value: bytes, password: bytes) -> None:
    try:
        fits = matches(prefix + value, Secret(password))
    except UnusableHashError as error:
        assert len(str(error)) < 120  # noqa: PT017  (either outcome is right)
        fits = False
    assert not fits or prefix + value in {password, b"{CLEARTEXT}" + password}

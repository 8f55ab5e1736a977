"""The parser sees every request whole and in each possible split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import (
    DEFAULT_LIMITS,
    BadFieldError,
    FieldTooLongError,
    Limits,
    ProtocolError,
    Request,
    RequestReader,
    decode_reply,
    encode_reply,
    encode_request,
    read_whole,
)
from support.exchanges import splits
from support.mux import field, request

FOUR = request(b"alice", b"secret", b"imap", b"ex.org")
FIVE = request(b"alice", b"secret", b"imap", b"ex.org", b"192.0.2.7;4567")


def expected(address: bytes | None = None) -> Request:
    return Request(b"alice", Secret(b"secret"), b"imap", b"ex.org", address)


def read(chunks: list[bytes], limits: Limits = DEFAULT_LIMITS) -> tuple[Request | None, RequestReader]:
    """What a reader says by itself, without being told that nothing follows."""
    reader = RequestReader(limits)
    for chunk in chunks:
        if (result := reader.receive(chunk)) is not None:
            return result, reader
    return None, reader


class TestFourFields:
    def test_are_a_request_when_nothing_follows(self) -> None:
        for chunks in splits(FOUR):
            result, reader = read(chunks)
            assert result is None
            assert reader.settle() == expected()

    def test_are_none_before_the_last_byte(self) -> None:
        for length in range(len(FOUR)):
            result, reader = read([FOUR[:length]])
            assert result is None
            assert reader.settle() is None
            assert reader.finish() is None

    def test_may_have_an_empty_service_and_realm(self) -> None:
        _, reader = read([request(b"alice", b"secret", b"", b"")])
        assert reader.settle() == Request(b"alice", Secret(b"secret"), b"", b"")

    def test_pass_all_bytes_but_nul_unchanged(self) -> None:
        value = bytes(range(1, 256))
        _, reader = read([request(value, value, value, value)])
        assert reader.settle() == Request(value, Secret(value), value, value)


class TestAFifthField:
    def test_ends_the_request_by_itself(self) -> None:
        for chunks in splits(FIVE):
            assert read(chunks)[0] == expected(b"192.0.2.7;4567")

    def test_may_be_empty(self) -> None:
        for chunks in splits(FOUR + field(b"")):
            assert read(chunks)[0] == expected(b"")

    def test_is_waited_for_once_a_byte_of_it_came(self) -> None:
        for length in range(len(FOUR) + 1, len(FIVE)):
            result, reader = read([FIVE[:length]])
            assert result is None
            assert reader.settle() is None
            assert reader.has_request

    def test_that_never_ends_is_ignored(self) -> None:
        for length in range(len(FOUR) + 1, len(FIVE)):
            _, reader = read([FIVE[:length]])
            assert reader.finish() == expected()

    def test_over_its_limit_is_no_address_but_bytes_after_the_request(self) -> None:
        for chunks in splits(FOUR + b"\xff\xff"):
            assert read(chunks)[0] == expected()

    def test_with_a_nul_is_refused(self) -> None:
        with pytest.raises(BadFieldError, match="NUL byte in client address"):
            read([FOUR + field(b"192.0.2.7\0;1")])

    def test_has_bytes_after_it_ignored(self) -> None:
        assert read([FIVE + b"junk"])[0] == expected(b"192.0.2.7;4567")


def test_a_reader_forgets_the_password_that_it_gave_away() -> None:
    for data in (FOUR, FIVE):
        result, reader = read([data])
        assert result or reader.settle()
        assert b"secret" not in reader._buffer  # noqa: SLF001  (what it keeps is the point)
        assert b"secret" not in reader._fields


class TestLimits:
    @pytest.mark.parametrize(("index", "name"), list(enumerate(["login", "password", "service", "realm"])))
    def test_are_inclusive_and_refuse_before_the_body(self, index: int, name: str) -> None:
        limits = Limits(field=8, password=8)
        fields = [b"a", b"b", b"c", b"d"]
        head = b"".join(map(field, fields[:index]))
        _, reader = read([request(*[b"12345678" if i == index else f for i, f in enumerate(fields)])], limits)
        assert reader.settle() is not None
        for chunks in splits(head + b"\0\x09"):
            with pytest.raises(FieldTooLongError, match=f"^{name} exceeded MAX_REQ_LEN: 8$"):
                read(chunks, limits)

    def test_are_256_for_a_field_and_8192_for_the_password(self) -> None:
        _, reader = read([request(b"u" * 256, b"p" * 8192, b"s" * 256, b"r" * 256)])
        assert reader.settle() is not None
        with pytest.raises(FieldTooLongError):
            read([request(b"u" * 257, b"p")])
        with pytest.raises(FieldTooLongError):
            read([request(b"u", b"p" * 8193)])


class TestBadFields:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (request(b"", b"secret"), "NULL login received"),
            (request(b"alice", b""), "NULL password received"),
            (request(b"", b""), "NULL login received"),
            (request(b"a\0b", b"secret"), "NUL byte in login"),
            (request(b"alice", b"\0secret"), "NUL byte in password"),
            (request(b"alice", b"secret", b"im\0ap"), "NUL byte in service"),
            (request(b"alice", b"secret", b"imap", b"ex\0"), "NUL byte in realm"),
        ],
    )
    def test_are_refused_when_the_request_is_complete(self, data: bytes, reason: str) -> None:
        for chunks in splits(data):
            result, reader = read(chunks)
            assert result is None
            with pytest.raises(BadFieldError) as caught:
                reader.settle()
            assert caught.value.reason == reason


class TestAnyBytes:
    @given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 30), st.integers(0, 30))
    def test_are_a_request_or_need_more_or_break_the_protocol(
        self, chunks: list[bytes], limit: int, password: int
    ) -> None:
        reader = RequestReader(Limits(limit, password))
        try:
            results = [reader.receive(chunk) for chunk in chunks]
            results += [reader.settle(), reader.finish()]
        except ProtocolError:
            return
        assert all(result is None or isinstance(result, Request) for result in results)

    @given(st.binary(max_size=120))
    def test_mean_the_same_in_every_split(self, data: bytes) -> None:
        def outcome(chunks: list[bytes]) -> object:
            try:
                result, reader = read(chunks, Limits(30, 40))
                return result or reader.settle() or reader.finish()
            except ProtocolError as error:
                return str(error)

        whole = outcome([data])
        assert all(outcome(chunks) == whole for chunks in splits(data))

    @given(st.binary(max_size=3000))
    def test_are_never_kept_beyond_a_request_and_a_chunk(self, data: bytes) -> None:
        reader = RequestReader(Limits(16, 16))
        for start in range(0, len(data), 7):
            try:
                if reader.receive(data[start : start + 7]) is not None:
                    return
            except ProtocolError:
                return
            assert len(reader._buffer) <= 18 + 7  # noqa: SLF001  (the bound is the point)


FIELD = st.binary(max_size=256).map(lambda value: value.replace(b"\0", b""))
FILLED = FIELD.filter(bool)


class TestEncoding:
    @given(FILLED, FILLED, FIELD, FIELD, st.none() | FIELD)
    def test_of_a_request_is_read_back(
        self, login: bytes, password: bytes, service: bytes, realm: bytes, address: bytes | None
    ) -> None:
        sent = Request(login, Secret(password), service, realm, address)
        result, reader = read([encode_request(sent)])
        assert (result or reader.settle()) == sent

    def test_of_a_field_that_no_length_can_say_fails(self) -> None:
        with pytest.raises(ValueError, match="65535"):
            encode_request(Request(b"u" * 65536, Secret(b"p"), b"", b""))

    @pytest.mark.parametrize(
        ("accepted", "reason", "data"),
        [
            (True, "", b"\0\2OK"),
            (False, "", b"\0\2NO"),
            (False, "PAM auth error", b"\0\x11NO PAM auth error"),
        ],
    )
    def test_of_a_reply_is_the_originals(self, accepted: bool, reason: str, data: bytes) -> None:  # noqa: FBT001
        assert encode_reply(accepted=accepted, reason=reason) == data
        assert all(decode_reply(data[:length]) is None for length in range(len(data)))
        assert decode_reply(data) == data[2:]

    def test_of_a_reply_needs_a_verdict(self) -> None:
        with pytest.raises(ProtocolError, match="reply of 1 bytes"):
            decode_reply(b"\0\1O")


def by_reader(data: bytes, limits: Limits) -> Request | None:
    """What a reader makes of ``data`` when nothing follows; None if it is no request, or not all of one."""
    reader = RequestReader(limits)
    try:
        return reader.receive(data) or reader.settle()
    except ProtocolError:
        return None


class TestAWholeRequest:
    LIMITS = Limits(field=8, password=12)

    def test_is_one_of_four_or_five_fields(self) -> None:
        assert read_whole(FOUR, DEFAULT_LIMITS) == expected()
        assert read_whole(FIVE, DEFAULT_LIMITS) == expected(b"192.0.2.7;4567")

    @given(st.lists(st.binary(max_size=13), max_size=6), st.binary(max_size=3))
    def test_is_what_a_reader_makes_of_it_or_left_to_a_reader(self, fields: list[bytes], rest: bytes) -> None:
        data = b"".join(map(field, fields)) + rest
        whole = read_whole(data, self.LIMITS)
        if whole is not None:
            assert whole == by_reader(data, self.LIMITS)
        elif not rest and len(fields) in {4, 5}:
            usual = by_reader(data, self.LIMITS)
            # A fifth field over its limit makes four fields and bytes that are ignored: a reader's business.
            assert usual is None or (len(fields) == 5 and len(fields[4]) > self.LIMITS.field)

    @pytest.mark.parametrize(("index", "limit"), [(0, 8), (1, 12), (2, 8), (3, 8), (4, 8)])
    def test_has_no_field_over_its_limit(self, index: int, limit: int) -> None:
        for length, is_whole in ((limit, True), (limit + 1, False)):
            fields = [b"x"] * 5
            fields[index] = b"x" * length
            assert (read_whole(request(*fields), self.LIMITS) is not None) is is_whole

    def test_has_no_nul_and_neither_login_nor_password_is_empty(self) -> None:
        for data in (
            request(b"a\0", b"p", b"", b""),
            request(b"a", b"p", b"", b"\0"),
            request(b"", b"p", b"", b""),
            request(b"a", b"", b"", b""),
        ):
            assert read_whole(data, DEFAULT_LIMITS) is None

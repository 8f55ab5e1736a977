import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config.settings import Settings
from pysaslauthd.core import messages, verbs
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.identity import Identity, RealmPolicy, identify
from pysaslauthd.core.messages import SAYABLE, Login, MessageError, Probe, Result, Status
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.verbs import ForFront, ForMaster, ToFront, ToMaster
from pysaslauthd.core.wire import Request
from support.mux import field

KIND = st.sampled_from([b"L", b"P", b"S", b"R"])

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
FIELD = st.binary(max_size=300)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


class TestBetweenFrontAndWorker:
    @given(U64, st.tuples(FIELD, FIELD, FIELD, st.none() | FIELD), FIELD, st.booleans())
    def test_a_login_is_read_back(
        self,
        number: int,
        identity: tuple[bytes, bytes, bytes, bytes | None],
        password: bytes,
        yields: bool,  # noqa: FBT001
    ) -> None:
        for explained in (False, True):
            sent = Login(number, Identity(*identity), Secret(password), number // 3, yields, explained)
            assert messages.decode_for_worker(messages.encode_login(sent)) == sent

    @given(
        U64,
        st.sampled_from([(verdict, cause) for verdict, causes in SAYABLE.items() for cause in causes]),
        TEXT,
        U32,
        st.lists(TEXT, max_size=3).map(tuple),
    )
    def test_a_result_is_read_back(
        self,
        number: int,
        outcome: tuple[Verdict, Cause],
        reason: str,
        delay: int,
        details: tuple[str, ...],
    ) -> None:
        sent = Result(number, Answer(*outcome, reason, delay, details), delay, bool(delay % 2))
        assert messages.decode_for_front(messages.encode_result(sent)) == sent

    def test_status_and_probe_are_read_back(self) -> None:
        sent = Status(messages.VERSION, 7, 12345)
        assert messages.decode_for_front(messages.encode_status(sent)) == sent
        assert messages.decode_for_worker(messages.encode_probe()) == Probe()

    def test_the_largest_login_fits_a_packet(self) -> None:
        settings = Settings(field_limit=4096, password_limit=65535)
        field, password = b"x" * settings.field_limit, Secret(b"x" * settings.password_limit)
        identity = identify(Request(field, password, field, field, field), RealmPolicy.APPEND)
        packet = messages.encode_login(Login(1, identity, password))
        assert len(packet) <= messages.LARGEST_PACKET

    def test_what_an_answer_has_for_the_log_is_bounded_at_both_ends(self) -> None:
        long = "x" * (messages.LARGEST_TEXT + 1)
        result = Result(1, Answer(Verdict.REJECT, Cause.ACCOUNT, long, 0, (long,) * 100))
        received = messages.decode_for_front(messages.encode_result(result))
        assert isinstance(received, Result)
        assert received.answer.reason == long[:-1]
        assert received.answer.details == (long[:-1],) * messages.MOST_DETAILS
        head = messages.encode_result(Result(1, Answer(Verdict.REJECT, reason="x")))
        for more in (field(long.encode()), field(b"x") * (messages.MOST_DETAILS + 1)):
            with pytest.raises(MessageError, match="more to log"):
                messages.decode_for_front(head + more)

    @given(st.binary(max_size=200) | st.tuples(KIND, st.binary(max_size=200)).map(b"".join))
    def test_any_bytes_are_a_message_or_an_error(self, packet: bytes) -> None:
        for decode in (messages.decode_for_worker, messages.decode_for_front):
            with contextlib.suppress(MessageError):
                decode(packet)

    def test_a_worker_may_not_say_what_a_front_says(self) -> None:
        login = messages.encode_login(Login(1, Identity(b"u", b"", b"", None), Secret(b"p")))
        for packet in (login, messages.encode_probe()):
            with pytest.raises(MessageError, match="unknown message"):
                messages.decode_for_front(packet)

    @pytest.mark.parametrize(
        ("verdict", "cause"),
        [(v, c) for v, causes in SAYABLE.items() for c in set(Cause) - causes],
    )
    def test_what_only_the_front_can_say_is_an_error(self, verdict: Verdict, cause: Cause) -> None:
        packet = messages.encode_result(Result(1, Answer(verdict, cause)))
        with pytest.raises(MessageError, match="which no worker can say"):
            messages.decode_for_front(packet)

    def test_an_unknown_verdict_is_an_error(self) -> None:
        packet = bytearray(messages.encode_result(Result(1, Answer(Verdict.ACCEPT))))
        packet[9] = 77
        with pytest.raises(MessageError):
            messages.decode_for_front(bytes(packet))


class TestBetweenFrontAndMaster:
    @given(st.sampled_from(ToMaster), st.integers(0, 65535), U32)
    def test_a_verb_to_the_master_is_read_back(self, verb: ToMaster, pool: int, number: int) -> None:
        sent = ForMaster(verb, pool, number)
        packet = verbs.encode(sent)
        assert len(packet) == verbs.SIZE
        assert verbs.decode_for_master(packet) == sent

    @given(st.sampled_from(ToFront), st.integers(0, 65535), U32, st.text(max_size=1000))
    def test_a_verb_to_the_front_is_read_back(self, verb: ToFront, pool: int, number: int, text: str) -> None:
        sent = ForFront(verb, pool, number, text)
        assert verbs.decode_for_front(verbs.encode(sent)) == sent

    @given(st.binary(max_size=20))
    def test_any_bytes_are_a_verb_or_an_error(self, packet: bytes) -> None:
        with contextlib.suppress(MessageError):
            verbs.decode_for_master(packet)
            assert len(packet) == verbs.SIZE
        with contextlib.suppress(MessageError):
            assert verbs.encode(verbs.decode_for_front(packet)) == bytes((packet[0], 0)) + packet[2:]

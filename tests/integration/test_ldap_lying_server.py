"""Servers that say what no slapd would: written down here byte by byte, as there is none to be had that does."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import sasl
from pysaslauthd.mechanisms.ldap.attempt import Attempt, ConnectError, Endpoint
from support.certificates import Certificates
from support.ldap_connections import (
    LDAPS,
    SASL_ACCOUNT,
    SASL_USERS,
    STARTTLS,
    Failure,
    connector,
    failure,
    failure_of,
)
from support.tcp_ports import HOST, free_port, listening
from support.waiting import LIMIT

pytest_plugins = ["support.ldap_fixtures"]

EXTERNAL = SASL_ACCOUNT + "ldap_mech: EXTERNAL\n"
CHALLENGE = b'nonce="x",algorithm=md5-sess'
SUCCESS, IN_PROGRESS, REFERRAL, UNKNOWN = 0, 14, 10, 4711

Answer = Callable[[bytes], bytes]
"""From the message id of the request, encoded, to what is sent."""


def tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    return bytes((tag, 0x84)) + len(value).to_bytes(4, "big") + value


def result(tag: int, code: int, *more: bytes, text: bytes = b"") -> Answer:
    operation = tlv(tag, tlv(0x0A, code.to_bytes(2, "big")), tlv(4), tlv(4, text), *more)
    return lambda number: tlv(0x30, number, operation)


def bind_result(code: int, credentials: bytes | None = None, *more: bytes, text: bytes = b"") -> Answer:
    credentials_too = () if credentials is None else (tlv(0x87, credentials),)
    return result(0x61, code, *more, *credentials_too, text=text)


def raw(data: bytes) -> Answer:
    return lambda _: data


STARTED = result(0x78, SUCCESS)


@contextlib.contextmanager
def saying(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URI of a server that gives these answers to one client, and then waits for its end."""

    def serve() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            connection = stack.enter_context(listener.accept()[0])
            connection.settimeout(LIMIT)
            if context is not None:
                connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
            for answer in answers:
                if not (request := connection.recv(65536)):
                    return
                # A message begins with its tag and length, an integer's tag and its length; then the id.
                start = 2 if request[1] < 0x80 else 2 + request[1] - 0x80
                connection.sendall(answer(request[start : start + 2 + request[start + 1]]))
            while connection.recv(65536):
                pass

    with listening(free_port()) as listener:
        listener.settimeout(LIMIT)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{'ldap' if context is None else 'ldaps'}://{HOST}:{listener.getsockname()[1]}"
        finally:
            thread.join()


def verified(*answers: Answer) -> int | Failure:
    """What comes of a user's DIGEST-MD5 bind."""
    made = connector(SASL_USERS + "ldap_mech: DIGEST-MD5\n")
    with saying(*answers) as uri:
        try:
            return made.sasl_verify(Endpoint.parse(uri), Attempt(), b"u0", Secret(b"secret"), b"").code
        except ConnectError as error:
            return failure_of(error, uri)


class TestASuccess:
    """Who can answer in the server's place must not be able to let anybody in."""

    @pytest.mark.parametrize(
        "answers",
        [
            (bind_result(SUCCESS),),
            (bind_result(SUCCESS, CHALLENGE),),
            (bind_result(IN_PROGRESS, CHALLENGE), bind_result(SUCCESS)),
            (bind_result(IN_PROGRESS, CHALLENGE), bind_result(SUCCESS, b"rspauth=" + b"0" * 32)),
            (bind_result(IN_PROGRESS, CHALLENGE), bind_result(IN_PROGRESS, b"rspauth=" + b"0" * 32)),
            (bind_result(IN_PROGRESS), bind_result(SUCCESS)),
        ],
    )
    def test_without_proof_is_none(self, answers: tuple[Answer, ...]) -> None:
        outcome = verified(*answers)
        assert isinstance(outcome, Failure)
        assert outcome.text.startswith("SASL bind: DIGEST-MD5: the server")
        assert outcome.code is None

    def test_without_proof_is_believed_of_a_refusal(self) -> None:
        assert verified(bind_result(IN_PROGRESS, CHALLENGE), bind_result(49)) == 49

    def test_that_is_never_reached_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Endless(sasl.Gssapi):
            def respond(self, challenge: bytes | None) -> bytes | None:
                return challenge

        monkeypatch.setattr(sasl, "make_client", lambda _, account, host: Endless(account, host))
        with saying(*[bind_result(IN_PROGRESS)] * 100) as uri:
            text, _ = failure(uri, EXTERNAL, sasl_bind=True)
        assert text == "SASL bind: EXTERNAL: no end after 8 rounds"


class TestAReferral:
    """ldap3 would go there, wherever it is, and bind with the password."""

    @pytest.mark.parametrize(
        ("text", "tag"),
        [(EXTERNAL, 0x61), (SASL_ACCOUNT, 0x65), (STARTTLS, 0x78)],
        ids=["of a bind", "of a search", "of StartTLS"],
    )
    def test_is_not_followed(self, text: str, tag: int) -> None:
        with listening(free_port()) as elsewhere:
            uri = f"ldap://{HOST}:{elsewhere.getsockname()[1]}"
            with saying(result(tag, REFERRAL, tlv(0xA3, tlv(4, uri.encode())))) as liar:
                failure(liar, text, sasl_bind=True)
            elsewhere.setblocking(False)
            with pytest.raises(BlockingIOError):
                elsewhere.accept()


class TestAnAnswer:
    @pytest.mark.parametrize(
        "answer",
        [
            raw(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\r\n" * 200),
            raw(b"\0" * 100),
            raw(b"\x30\x00\x00"),
            raw(b"\x30\x80" * 10_000),
            raw(tlv(0x30, b"\x02\x01\x63", b"\x61\x07\x0a\x01\0\x04\0\x04\0")),
            raw(tlv(0x30, b"\x02\x01\x00", tlv(0x78, b"\x0a\x01\0\x04\0\x04\0", tlv(0x8A, b"1.2.3")))),
            bind_result(UNKNOWN),
            lambda number: tlv(0x30, number, tlv(0x61)),
            lambda number: tlv(0x30, number, tlv(0x64, tlv(4), tlv(0x30))),
        ],
    )
    def test_that_is_none_is_an_error_of_ours(self, answer: Answer) -> None:
        with saying(answer) as uri:
            text, code = failure(uri, EXTERNAL + "ldap_timeout: 1\n", sasl_bind=True)
        assert text.startswith("SASL bind: ")
        assert code is None

    def test_is_not_read_beyond_all_measure(self) -> None:
        with saying(raw(b"\x30\x84\x7f\xff\xff\xff" + b"x" * 1_000_000)) as uri:
            assert failure(uri, EXTERNAL, sasl_bind=True).text == (
                "SASL bind: the server said more than 65536 bytes"
            )

    def test_is_shown_in_part_if_it_is_long(self) -> None:
        with saying(bind_result(52, text=b"x" * 5000)) as uri:
            text, code = failure(uri, EXTERNAL, sasl_bind=True)
        assert text == f"SASL bind: EXTERNAL: refused with code 52 (unavailable): {'x' * 200}"
        assert code == 52

    @pytest.mark.parametrize("more", [b"\x30", tlv(0x30, b"\x02\x01\x01", tlv(0x65))])
    def test_before_tls_is_not_taken_for_one_inside(self, certificates: Certificates, more: bytes) -> None:
        """What somebody on the way puts behind the answer to StartTLS."""
        text = f"{STARTTLS}ldap_tls_cacert_file: {certificates.ca}\nldap_timeout: 1\n"
        with saying(lambda number: STARTED(number) + more) as uri:
            assert failure(uri, text).text.startswith("StartTLS: ")

    def test_with_more_behind_it_inside_tls_is_not_handed_over(self, certificates: Certificates) -> None:
        """The rest would lie in TLS's buffer, where no loop sees it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.good)

        def filled(number: bytes) -> bytes:
            # As much as ldap3 reads at a time.
            missing = 4096 - len(bind_result(SUCCESS)(number))
            return bind_result(SUCCESS, text=b"x" * missing)(number) + b"\x30"

        text = f"{LDAPS}ldap_tls_cacert_file: {certificates.ca}\n"
        with saying(filled, context=context) as uri:
            assert failure(uri, EXTERNAL + text, sasl_bind=True).text == (
                "SASL bind: the server said more than it was asked"
            )

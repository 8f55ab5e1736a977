"""SASL without a server: what is sent, and what is believed."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config.ldap_keys import SecurityProperties
from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import sasl
from pysaslauthd.mechanisms.ldap.sasl import (
    DIGEST_MD5,
    EXTERNAL,
    GSSAPI,
    LOCAL_STRENGTH,
    PLAIN,
    Account,
    DigestMd5,
    SaslError,
    check_mechanism,
    choose,
    make_client,
    parse_directives,
    refusal,
)

CHRIS = Account(b"chris", Secret(b"secret"))
CHALLENGE = b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
PROOF = b"rspauth=ea40f60335c427b5527b84dbabcdfffd"


def digest(account: Account = CHRIS) -> DigestMd5:
    """With what RFC 2831, section 4, has in place of chance."""
    return DigestMd5(account, b"imap/elwood.innosoft.com", b"OA6MHXh6VqTrRk")


def sent(client: DigestMd5, challenge: bytes = CHALLENGE) -> dict[bytes, list[bytes]]:
    assert client.respond(None) is None
    answer = client.respond(challenge)
    assert answer is not None
    return parse_directives(answer)


class TestDigestMd5:
    def test_sends_what_the_rfc_does(self) -> None:
        assert sent(digest()) == {
            b"charset": [b"utf-8"],
            b"username": [b"chris"],
            b"realm": [b"elwood.innosoft.com"],
            b"nonce": [b"OA6MG9tEQGm2hh"],
            b"nc": [b"00000001"],
            b"cnonce": [b"OA6MHXh6VqTrRk"],
            b"digest-uri": [b"imap/elwood.innosoft.com"],
            b"response": [b"d388dad90d4bbd760a152321f2143af7"],
            b"qop": [b"auth"],
        }

    def test_believes_the_proof_of_the_rfc_with_the_success_or_before_it(self) -> None:
        client = digest()
        sent(client)
        client.finish(PROOF)
        client = digest()
        sent(client)
        assert client.respond(PROOF) == b""
        client.finish(None)

    @pytest.mark.parametrize("data", [None, b"", PROOF[:-1] + b"e", PROOF + b"," + PROOF, b"rspauth="])
    def test_believes_no_server_without_proof(self, data: bytes | None) -> None:
        client = digest()
        sent(client)
        with pytest.raises(SaslError, match=r"proof|proved|malformed"):
            client.finish(data)

    def test_believes_no_success_before_a_challenge(self) -> None:
        client = digest()
        client.respond(None)
        with pytest.raises(SaslError, match="has not proved"):
            client.finish(None)
        with pytest.raises(SaslError, match="proof"):
            client.finish(PROOF)

    def test_chooses_its_part_of_chance_anew(self) -> None:
        made = [sent(DigestMd5(CHRIS, b"ldap/x"))[b"cnonce"] for _ in range(2)]
        assert made[0] != made[1]

    def test_keeps_a_quote_in_a_login_inside_its_field(self) -> None:
        login = b'chris",authzid="dn:cn=admin\\'
        fields = sent(digest(CHRIS._replace(id=login)))
        assert fields[b"username"] == [login]
        assert b"authzid" not in fields

    def test_acts_for_another_if_told(self) -> None:
        plain, for_another = sent(digest()), sent(digest(CHRIS._replace(authz_id=b"u:bob")))
        assert for_another[b"authzid"] == [b"u:bob"]
        assert for_another[b"response"] != plain[b"response"]

    @pytest.mark.parametrize(
        ("offered", "configured", "taken"),
        [
            (b'realm="one",', b"", b"one"),
            (b'realm="one",', b"other", b"one"),
            (b'realm="one",realm="two",', b"two", b"two"),
            (b'realm="one",realm="two",', b"", b"one"),
            (b"", b"other", b"other"),
            (b"", b"", b""),
        ],
    )
    def test_takes_a_realm_as_libsasl_does(self, offered: bytes, configured: bytes, taken: bytes) -> None:
        challenge = offered + b'nonce="x",algorithm=md5-sess'
        assert sent(digest(CHRIS._replace(realm=configured)), challenge)[b"realm"] == [taken]

    def test_says_utf_8_only_where_it_is(self) -> None:
        assert b"charset" in sent(digest(CHRIS._replace(id="jürgen".encode())))
        assert b"charset" not in sent(digest(CHRIS._replace(id=b"j\xfcrgen")))
        assert b"charset" not in sent(digest(), b'nonce="x",algorithm=md5-sess')

    def test_hashes_latin_1_as_such(self) -> None:
        """RFC 2831 counts names and passwords so, if they can be written so."""
        utf, latin = (
            sent(digest(CHRIS._replace(password=Secret(b)))) for b in ("ü".encode(), "ü".encode("latin-1"))
        )
        assert utf[b"response"] == latin[b"response"]
        euro = sent(digest(CHRIS._replace(password=Secret("€".encode()))))
        assert euro[b"response"] != latin[b"response"]

    @pytest.mark.parametrize(
        ("challenge", "reason"),
        [
            (b"", "malformed"),
            (b"nonsense", "malformed"),
            (b'nonce="x', "malformed"),
            (b'nonce="x"algorithm=md5-sess', "malformed"),
            (b'nonce="x",algorithm=md5-sess,"', "malformed"),
            (b'nonce="x"', "lacks"),
            (b"algorithm=md5-sess", "lacks"),
            (b'nonce="x",nonce="y",algorithm=md5-sess', "lacks"),
            (b'nonce="x",algorithm=md5', "lacks"),
            (b'nonce="x",algorithm=md5-sess,qop="auth-int,auth-conf"', "security layer"),
            (b'nonce="' + b"x" * 2048 + b'",algorithm=md5-sess', "too long"),
        ],
    )
    def test_refuses_a_challenge_that_is_none(self, challenge: bytes, reason: str) -> None:
        with pytest.raises(SaslError, match=reason):
            digest().respond(challenge)

    def test_takes_one_of_several_layers_if_none_is_among_them(self) -> None:
        challenge = b',, nonce="x" , algorithm=md5-sess,qop="auth-conf, auth" ,'
        assert sent(digest(), challenge)[b"qop"] == [b"auth"]

    @given(st.binary(max_size=80))
    def test_of_any_bytes_makes_an_answer_or_its_error(self, challenge: bytes) -> None:
        client = digest()
        for data in (challenge, b'nonce="x",algorithm=md5-sess,' + challenge):
            try:
                client.respond(data)
                client.finish(data)
            except SaslError:
                continue


class TestPlain:
    def test_sends_bytes_as_they_are(self) -> None:
        password = bytes(range(1, 256))
        client = make_client(PLAIN, Account("jürgen".encode(), Secret(password), authz_id=b"u:x"), "h")
        assert client.respond(None) == b"u:x\0" + "jürgen".encode() + b"\0" + password
        client.finish(None)

    @pytest.mark.parametrize("account", [Account(b"a\0b", Secret(b"p")), Account(b"a", Secret(b"p\0q"))])
    def test_refuses_a_nul_that_would_be_a_separator(self, account: Account) -> None:
        with pytest.raises(SaslError, match="NUL"):
            make_client(PLAIN, account, "h").respond(None)

    @pytest.mark.parametrize("challenge", [b"", b"more"])
    @pytest.mark.parametrize("mechanism", [PLAIN, EXTERNAL])
    def test_and_external_say_it_once(self, mechanism: str, challenge: bytes) -> None:
        client = make_client(mechanism, CHRIS, "h")
        client.respond(None)
        with pytest.raises(SaslError, match="asks for more"):
            client.respond(challenge)


def test_external_names_whom_it_acts_for_or_nobody() -> None:
    assert make_client(EXTERNAL, Account(), "h").respond(None) == b""
    assert make_client(EXTERNAL, Account(authz_id=b"u:x"), "h").respond(None) == b"u:x"


class TestAMechanism:
    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "plain", ""])
    def test_that_is_not_here_is_refused_by_name(self, mechanism: str) -> None:
        with pytest.raises(SaslError, match=f"^{mechanism} is not supported"):
            check_mechanism(mechanism, for_users=False)

    @pytest.mark.parametrize("mechanism", [EXTERNAL, GSSAPI])
    def test_that_needs_no_password_checks_none(self, mechanism: str) -> None:
        with pytest.raises(SaslError, match="checks no password"):
            check_mechanism(mechanism, for_users=True)

    @pytest.mark.parametrize("mechanism", [DIGEST_MD5, PLAIN])
    @pytest.mark.parametrize("account", [Account(), Account(b"x"), Account(password=Secret(b"x"))])
    def test_with_a_password_needs_one(self, mechanism: str, account: Account) -> None:
        with pytest.raises(SaslError, match="needs a login and a password"):
            make_client(mechanism, account, "h")

    @pytest.mark.parametrize(
        ("offered", "account", "strength", "chosen"),
        [
            ({DIGEST_MD5, PLAIN, EXTERNAL}, CHRIS, 0, DIGEST_MD5),
            ({PLAIN, EXTERNAL}, CHRIS, 256, PLAIN),
            ({PLAIN, EXTERNAL}, CHRIS, 0, None),
            ({EXTERNAL, GSSAPI}, CHRIS, 256, None),
            ({DIGEST_MD5, EXTERNAL}, Account(), 0, EXTERNAL),
            ({DIGEST_MD5, "SCRAM-SHA-1"}, Account(), 0, None),
            (set(), CHRIS, 0, None),
        ],
    )
    def test_is_chosen_by_whether_there_is_a_password(
        self, offered: set[str], account: Account, strength: int, chosen: str | None
    ) -> None:
        if chosen is None:
            with pytest.raises(SaslError, match="ldap_mech"):
                choose(offered, account, None, strength)
        else:
            assert choose(offered, account, None, strength) == chosen


class TestSecurityProperties:
    @pytest.mark.parametrize(
        ("forbidden", "mechanism", "strength", "reason"),
        [
            (None, PLAIN, 0, "noplain forbids PLAIN outside TLS"),
            (None, PLAIN, 256, ""),
            (None, PLAIN, LOCAL_STRENGTH, ""),
            (None, DIGEST_MD5, 0, ""),
            ((), PLAIN, 0, ""),
            (("noplain",), PLAIN, 1, "noplain forbids PLAIN outside TLS"),
            (("noanonymous",), PLAIN, 0, ""),
            (("noactive",), DIGEST_MD5, 256, "noactive forbids DIGEST-MD5"),
            (("noactive",), GSSAPI, 0, ""),
            (("nodict",), DIGEST_MD5, 0, "nodict forbids DIGEST-MD5"),
            (("nodict",), EXTERNAL, 0, ""),
            (("forwardsec",), GSSAPI, 0, "forwardsec forbids GSSAPI"),
            (("passcred",), EXTERNAL, 0, "passcred forbids EXTERNAL"),
        ],
    )
    def test_forbid_what_libsasl_would_not_choose(
        self, forbidden: tuple[str, ...] | None, mechanism: str, strength: int, reason: str
    ) -> None:
        properties = None if forbidden is None else SecurityProperties(frozenset(forbidden))
        assert refusal(mechanism, properties, strength) == reason

    def test_that_demand_strength_are_met_by_tls_alone(self) -> None:
        properties = SecurityProperties(least_ssf=128)
        assert refusal(GSSAPI, properties, 128) == ""
        assert re.match("minssf=128 takes TLS", refusal(GSSAPI, properties, 127))


class Kerberos:
    """The part of the package gssapi that is used, with a context of two steps that protects nothing."""

    NameType = MechType = RequirementFlag = SimpleNamespace(
        hostbased_service=0, kerberos=0, mutual_authentication=0
    )

    class exceptions:  # noqa: N801  (its name there)
        class GSSError(Exception):
            def gen_message(self) -> str:
                return "no ticket"

    def __init__(self) -> None:
        self.target = ""

    def Name(self, target: str, _: int) -> str:  # noqa: N802  (its name there)
        self.target = target
        return target

    class SecurityContext:
        def __init__(self, **_: object) -> None:
            self.complete = False

        def step(self, token: bytes | None) -> bytes | None:
            if token == b"bad":
                raise Kerberos.exceptions.GSSError
            self.complete = token == b"reply"
            return None if self.complete else b"ticket"

        def unwrap(self, token: bytes) -> SimpleNamespace:
            return SimpleNamespace(message=token)

        def wrap(self, message: bytes, *, encrypt: bool) -> SimpleNamespace:
            assert not encrypt
            return SimpleNamespace(message=message)


class TestGssapi:
    @pytest.fixture
    def kerberos(self, monkeypatch: pytest.MonkeyPatch) -> Kerberos:
        made = Kerberos()
        monkeypatch.setattr(sasl, "_gssapi", made)
        return made

    @pytest.mark.parametrize("offered", [b"\x01\0\0\0", b"\x07\0\xff\xff"])
    def test_chooses_no_layer(self, kerberos: Kerberos, offered: bytes) -> None:
        client = make_client(GSSAPI, Account(authz_id=b"u:x"), "ldap.example.test")
        assert [client.respond(token) for token in (None, b"reply")] == [b"ticket", b""]
        assert client.respond(offered) == b"\x01\0\0\0u:x"
        client.finish(None)
        assert kerberos.target == "ldap@ldap.example.test"

    @pytest.mark.usefixtures("kerberos")
    @pytest.mark.parametrize("offered", [b"\x06\0\xff\xff", b"\x01", b""])
    def test_takes_no_layer_from_who_insists(self, offered: bytes) -> None:
        client = make_client(GSSAPI, Account(), "h")
        client.respond(None)
        client.respond(b"reply")
        with pytest.raises(SaslError, match="security layer"):
            client.respond(offered)
        with pytest.raises(SaslError, match="too early"):
            client.finish(None)

    @pytest.mark.usefixtures("kerberos")
    def test_says_what_kerberos_says(self) -> None:
        client = make_client(GSSAPI, Account(), "h")
        client.respond(None)
        with pytest.raises(SaslError, match="GSSAPI: no ticket"):
            client.respond(b"bad")

"""What the programs that ask saslauthd were recorded to send is read rightly, in whatever pieces it comes."""

import pytest

from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import DEFAULT_LIMITS, Request, RequestReader, encode_request, read_whole
from support import corpus
from support.corpus import Recorded
from support.exchanges import splits
from support.sasl_programs import PROGRAMS

RECORDED = [
    pytest.param(each, id=f"{name}-{n}")
    for name in corpus.names()
    for n, each in enumerate(corpus.recorded(name))
]


def request_of(recorded: Recorded) -> Request:
    login, password, *rest = (field.encode() for field in recorded.fields)
    return Request(login, Secret(password), *rest)


def test_it_holds_every_program() -> None:
    assert {program.name for program in PROGRAMS} < set(corpus.names())


@pytest.mark.parametrize("recorded", RECORDED)
def test_it_is_read_in_every_split(recorded: Recorded) -> None:
    for chunks in splits(recorded.data):
        reader = RequestReader()
        results = [reader.receive(chunk) for chunk in chunks]
        assert (results[-1] or reader.settle()) == request_of(recorded)
        assert not any(results[:-1])


@pytest.mark.parametrize("recorded", RECORDED)
def test_it_is_read_at_once_and_is_what_we_would_send(recorded: Recorded) -> None:
    assert read_whole(recorded.data, DEFAULT_LIMITS) == request_of(recorded)
    assert encode_request(request_of(recorded)) == recorded.data

"""A worker whose mechanism has a bug: one login's misfortune, and found in the log by its request."""

import socket
import subprocess
import sys

import pytest

from pysaslauthd.core import messages
from pysaslauthd.core.answer import Cause
from pysaslauthd.core.identity import Identity
from pysaslauthd.core.messages import Login, Result
from pysaslauthd.core.secret import Secret
from support.log_readers import read_json

PLAIN = """
from pysaslauthd.workers import worker
from pysaslauthd.workers.priority import Priority
class Mechanism:
    def check(self, identity, password):
        return {}[password.reveal()]
run = lambda: worker.run(channel, Mechanism(), Priority(0))
"""

CONCURRENT = """
from pysaslauthd.workers import concurrent
class Mechanism:
    is_spent = False
    def begin(self):
        pass
    async def check(self, identity, password):
        return {}[password.reveal()]
run = lambda: concurrent.run(channel, Mechanism(), 10)
"""

AROUND = """
import socket, sys
from pysaslauthd import logs
logs.configure(verbose=False, syslog=None, stderr=True, log_format="json")
channel = socket.socket(fileno=int(sys.argv[1]))
{}
run()
"""

PASSWORD = b"hunter2"


@pytest.mark.parametrize("worker", [PLAIN, CONCURRENT])
def test_a_bug_in_a_mechanism_is_said_with_the_request_and_counted_if_it_comes_again(worker: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    script = AROUND.format(worker)
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-c", script, str(theirs.fileno())],
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[theirs.fileno()],
        ) as process,
    ):
        theirs.close()
        messages.decode_for_front(ours.recv(messages.LARGEST_PACKET))
        for number in (1, 2, 3):
            login = Login(
                number, Identity(b"alice", b"", b"", None), Secret(PASSWORD), (0x9F3C01 << 40) + number
            )
            ours.send(messages.encode_login(login))
            result = messages.decode_for_front(ours.recv(messages.LARGEST_PACKET))
            assert isinstance(result, Result)
            assert result.answer.cause is Cause.CRASH
        ours.close()
        _, text = process.communicate(timeout=60)
    assert process.returncode == 0
    first, rest = map(read_json, text.splitlines())
    assert first["request"] == "9f3c01-1"
    assert str(first["event"]).startswith("mechanism failed: KeyError at <string>")
    assert str(rest["event"]).startswith(f"{first['event']} (2 times in the last ")
    assert rest["count"] == 2
    assert PASSWORD.decode() not in text

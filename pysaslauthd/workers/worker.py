"""A worker: takes logins from the front, one at a time, and asks its mechanism.

It blocks as it likes: how long it may is the front's business. It leaves when the front closes the
channel, which is how the front retires it, and it can say nothing but what it is asked.
"""

import contextlib
import os
import resource
import socket

from pysaslauthd import logs
from pysaslauthd.core import messages
from pysaslauthd.core.answer import Answer, Cause, unavailable
from pysaslauthd.core.messages import Login, Probe, Result, Status
from pysaslauthd.core.request_id import shown_id
from pysaslauthd.descriptors import open_descriptors
from pysaslauthd.logs import log
from pysaslauthd.mechanisms.base import Mechanism
from pysaslauthd.mechanisms.steps import Steps
from pysaslauthd.workers.priority import Priority


def run(channel: socket.socket, mechanism: Mechanism, priority: Priority) -> None:
    """Serve until the front closes its end.

    :raises MessageError: the front said something that is no message; the worker must not go on.
    """
    user = os.geteuid()
    # A front that ended with something unread resets the channel; to a worker that is an end like any other.
    with logs.counting_repeats(), contextlib.suppress(BrokenPipeError, ConnectionResetError):
        channel.send(messages.encode_status(status()))
        while packet := channel.recv(messages.LARGEST_PACKET):
            message = messages.decode_for_worker(packet)
            if isinstance(message, Probe):
                reply = messages.encode_status(status())
            else:
                priority.set(yields=message.yields)
                answer = _checked(mechanism, message)
                is_spent = os.geteuid() != user
                reply = messages.encode_result(Result(message.id, answer, memory_kib(), is_spent))
            channel.send(reply)


def _checked(mechanism: Mechanism, login: Login) -> Answer:
    steps = Steps()
    try:
        if login.is_to_explain:
            return steps.of(mechanism.explain(login.identity, login.password, steps))
        return mechanism.check(login.identity, login.password)
    except Exception as error:  # noqa: BLE001  (a bug in a mechanism is one login's misfortune, not the worker's)
        return steps.of(failed(error, login))


def failed(error: Exception, login: Login) -> Answer:
    """A mechanism ended with this, which is a bug of it: what the log is told, and the answer."""
    log.error(f"mechanism failed: {logs.describe(error)}", extra={"request": shown_id(login.request_id)})
    return unavailable(Cause.CRASH, "mechanism failed")


def status() -> Status:
    """What this process says of itself."""
    return Status(
        version=messages.VERSION,
        descriptors=len(open_descriptors()),
        memory_kib=memory_kib(),
    )


def memory_kib() -> int:
    """The peak, as asking for it costs a system call and asking for the present size a file."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

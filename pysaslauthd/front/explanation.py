"""The command ``explain``: how a login would go, or goes, step by step.

It waits for workers as any login does, within the same bounds, and nothing is remembered of it: neither in the
cache nor in what is counted nor in who goes first. With a password the mechanisms are really asked, so it
counts towards a lock-out of theirs.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator

from pysaslauthd.config.options import Options
from pysaslauthd.core import control, steps
from pysaslauthd.core.answer import Answer, Cause, Verdict
from pysaslauthd.core.control import Line, LineError
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Limits, Request
from pysaslauthd.front.chain import Link, final, reason_to_go_on, ticket_for
from pysaslauthd.front.gate import Course, Gate
from pysaslauthd.front.ticket import Caller, Ticket

FIELDS = ("login", "password", "service", "realm", "address")
"""What an order has of a request; login has to be there, and none may be empty but service and realm."""

_VERDICTS = {Verdict.ACCEPT: "accepted", Verdict.REJECT: "refused", Verdict.UNAVAILABLE: "unavailable"}
UNDECIDED = "undecided"
"""The verdict where nothing speaks against a login and no password was given."""


class _Waiting:
    """The administrator, as far as the waiting room is concerned."""

    caller = Caller(0, 0, 0)
    """No client's: what the log says of a request is not said of an explanation."""

    def __init__(self, answer: "asyncio.Future[tuple[Ticket, Answer]]", asked_at: float) -> None:
        self._answer = answer
        self.asked_at = asked_at

    def may_wait(self) -> bool:
        """See :class:`Asker`. There are few administrators."""
        return True

    def is_there(self) -> bool:
        """See :class:`Asker`."""
        return not self._answer.done()

    def hear(self, answer: Answer) -> None:
        """See :class:`Asker`. It hears by the ticket's end."""


class Explanations:
    """Answers the command. A line is of a ``part``: a step with its ``text`` and perhaps ``ms``, or a ``verdict``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate, options: Options) -> None:
        self._loop = loop
        self._gate = gate
        self._limits = options.settings.limits
        self._policy = options.settings.realm_policy
        self._closes = options.settings.unavailable == "close"

    async def command(self, order: Line) -> AsyncGenerator[Line, None]:
        """See the module."""
        request = request_of(order, self._limits)
        order.clear()  # of the password
        course = self._gate.course(request)
        for part, text in self._beginning(request, course):
            yield {"part": part, "text": text}
        if course.refusal is not None:
            yield self._verdict(course.refusal, bool(request.password))
            return
        heard: list[tuple[Ticket, Answer]] = []
        for link in course.chain.links:
            began = time.perf_counter()  # the loop's own clock has whole milliseconds
            ticket, answer = await self._asked(link, course, request.password)
            took = (time.perf_counter() - began) * 1000
            heard.append((ticket, answer))
            for line in _told(ticket, answer, took, has_password=bool(request.password)):
                yield line
            if _is_end(answer, course.chain.next_on, has_password=bool(request.password)):
                break
        for link in course.chain.links[len(heard) :]:
            yield {"part": link.mechanism.name, "text": "not asked: the matter has ended before"}
        accepted = [answer for _, answer in heard if answer.verdict is Verdict.ACCEPT]
        yield self._verdict(accepted[0] if accepted else final(heard)[1], bool(request.password))

    def _beginning(self, request: Request, course: Course) -> Iterator[tuple[str, str]]:
        """What comes before any mechanism is asked."""
        yield "request", _shown(request)
        if b"@" in request.login and not request.realm:
            login, _, realm = request.login.rpartition(b"@")
            yield (
                "request",
                f"libsasl2 splits this at the last @ and sends login {_text(login)}, realm {_text(realm)}",
            )
        identity = course.question.identity
        yield "login", f"the mechanism sees {_text(identity.login)}; the realm policy is: {self._policy}"
        about = _text(course.realm) or "none"
        if course.refusal is None:
            yield "realm", f"{about}; accepted"
            yield "chain", course.chain.names
        else:
            yield "realm", about
            yield "refused", f"{course.refusal.reason}; nobody is asked"
        yield "cache", course.memory

    async def _asked(self, link: Link, course: Course, password: Secret) -> tuple[Ticket, Answer]:
        """What a mechanism says of it."""
        over: asyncio.Future[tuple[Ticket, Answer]] = self._loop.create_future()

        def end(ticket: Ticket, answer: Answer) -> None:
            if not over.done():
                over.set_result((ticket, answer))

        ticket = ticket_for(link, course.question, password, [_Waiting(over, time.monotonic())], end)
        ticket.is_to_explain = True
        link.room.submit(ticket)
        return await over

    def _verdict(self, answer: Answer, has_password: bool) -> Line:  # noqa: FBT001  (a thing said of the line)
        line = _verdict_of("verdict", answer, has_password=has_password)
        if line["verdict"] != UNDECIDED:
            line["reply"] = self._reply(answer)
        return line

    def _reply(self, answer: Answer) -> str:
        """What a client would get."""
        if answer.verdict is Verdict.UNAVAILABLE and self._closes:
            return "a close without an answer"
        word = "OK" if answer.verdict is Verdict.ACCEPT else "NO"
        return f"{word} after {answer.delay:g} s" if answer.delay else word


def _is_end(answer: Answer, next_on: frozenset[str], *, has_password: bool) -> bool:
    """Whether no further mechanism would be asked, and without a password: whichever it would be."""
    if not has_password and (answer.verdict is Verdict.ACCEPT or answer.cause is Cause.ACCOUNT):
        return False  # a wrong one may be right for the next
    return reason_to_go_on(answer) not in next_on


def request_of(order: Line, limits: Limits) -> Request:
    """The request that an administrator means, within the limits of the wire. Its password may be empty, for none.

    :raises LineError: it is none.
    """
    values: dict[str, bytes | None] = {}
    for index, name in enumerate(FIELDS):
        text = control.text_of(order, name)
        value = values[name] = None if text is None else control.as_bytes(text)
        if value is not None and len(value) > limits.of(index):
            raise LineError(f"{name}: expected at most {limits.of(index)} bytes")
        if value is not None and b"\0" in value:
            raise LineError(f"{name}: expected no NUL in it")
    login, password = values["login"], values["password"]
    if not login:
        raise LineError("login: expected one")
    if password == b"":
        raise LineError("password: expected one that is not empty, or none at all")
    return Request(
        login,
        Secret(password or b""),
        values["service"] or b"",
        values["realm"] or b"",
        values["address"],
    )


def _told(ticket: Ticket, answer: Answer, took: float, *, has_password: bool) -> Iterator[Line]:
    """The lines of one mechanism, which ``took`` milliseconds in all."""
    name = ticket.mechanism
    if ticket.waited >= 0.001:
        yield {"part": name, "text": f"waited {ticket.waited * 1000:.1f} ms for a worker"}
    for detail in answer.details:
        step = steps.decode(detail)
        yield {"part": name, "ms": step.milliseconds, "text": step.text}
    yield {**_verdict_of(name, answer, has_password=has_password), "ms": took}


def _verdict_of(part: str, answer: Answer, *, has_password: bool) -> Line:
    is_undecided = answer.verdict is Verdict.ACCEPT and not has_password
    line: Line = {"part": part, "verdict": UNDECIDED if is_undecided else _VERDICTS[answer.verdict]}
    if answer.cause is not Cause.NONE:
        line["cause"] = answer.cause.name.lower().replace("_", " ")
    if answer.reason:
        line["reason"] = answer.reason
    return line


def _shown(request: Request) -> str:
    fields = [f"login {_text(request.login)}", f"service {_text(request.service) or '(none)'}"]
    fields.append(f"realm {_text(request.realm) or '(none)'}")
    if request.client_address is not None:
        fields.append(f"address {_text(request.client_address)}")
    fields.append("with a password" if request.password else "without a password")
    return ", ".join(fields)


def _text(value: bytes) -> str:
    return control.as_text(value)

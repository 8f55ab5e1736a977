"""The guides of the README: what they have somebody type, what they say he will see, and somebody who does so.

A block of a guide names it behind its language: ``sh guide=postfix`` is run, ``text guide=postfix`` stands in what
the commands before printed, and ``text guide=postfix from=log`` in the log, each line somewhere; ``...`` is anything.
``sh guide=postfix step=install`` installs packages.
"""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple, Protocol

from support.machine import Machine
from support.waiting import wait_until

README = Path(__file__).parents[2] / "README.md"

_BLOCK = re.compile(
    r"^```(?P<kind>sh|text) guide=(?P<guide>[\w-]+)(?P<more>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INSTALL = "apt install "


class Log(Protocol):
    """What the programs of the machine have logged: a DevLog, or a journal."""

    @property
    def text(self) -> str: ...


class Block(NamedTuple):
    """One fenced block; ``more`` is what stands behind the guide's name."""

    kind: str
    guide: str
    more: str
    text: str


class Claim(NamedTuple):
    """A line that a guide says will be seen, and what was there to be seen."""

    line: str
    seen: str

    @property
    def is_true(self) -> bool:
        pattern = ".*".join(re.escape(part.strip()) for part in self.line.split("..."))
        return re.search(pattern, self.seen) is not None


def blocks(guide: str) -> list[Block]:
    """All of a guide, in order. There is no guide without any."""
    found = [
        Block(*(match[n].strip() for n in Block._fields)) for match in _BLOCK.finditer(README.read_text())
    ]
    chosen = [block for block in found if block.guide == guide]
    assert chosen, f"{README}: no guide {guide}"
    return chosen


def packages(guide: str) -> list[str]:
    """What it has installed."""
    lines = [
        line for block in blocks(guide) if block.more == "step=install" for line in block.text.splitlines()
    ]
    assert all(line.startswith(_INSTALL) for line in lines), lines
    return [word for line in lines for word in line.removeprefix(_INSTALL).split()]


def follow(guide: str, machine: Machine, log: Log) -> list[Claim]:
    """Do there what it says, on a machine with its packages. A command that fails is a failure."""
    claims: list[Claim] = []
    printed = ""
    for block in blocks(guide):
        if block.kind == "sh" and block.more != "step=install":
            done = machine.run("sh", "-euc", block.text, check=False)
            printed = done.stdout + done.stderr
            assert done.returncode == 0, f"{guide}: {block.text}\n{printed}\nlog:\n{log.text}"
        elif block.kind == "text":
            claims += [
                _claim(line, printed, log if block.more == "from=log" else None)
                for line in block.text.splitlines()
            ]
    return claims


def _claim(line: str, printed: str, log: Log | None) -> Claim:
    if log is None:
        return Claim(line, printed)
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: Claim(line, log.text).is_true, line)
    return Claim(line, log.text)

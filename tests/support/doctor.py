"""``pysaslauthctl doctor`` in a machine of a test's own: what it finds, and its cures carried out."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from support.machine import Machine


class Finding(NamedTuple):
    """As the command prints it for programs."""

    id: str
    level: str
    text: str
    cure: list[str]


class Report(NamedTuple):
    """All that it found, and how it ended."""

    findings: list[Finding]
    status: int

    def get(self, name: str) -> Finding:
        """The one finding of this name."""
        found = [each for each in self.findings if each.id == name]
        assert len(found) == 1, f"{len(found)} of {name} in {self.findings}"
        return found[0]

    @property
    def bad(self) -> list[Finding]:
        """What is wrong, and what somebody may be sorry for."""
        return [each for each in self.findings if each.level in {"problem", "warning"}]


def parsed(output: str, status: int) -> Report:
    """The report that was printed with ``--json``."""
    report = json.loads(output)
    findings = [Finding(**each) for each in report["findings"]]
    assert status == (1 if report["problems"] else 0)
    return Report(findings, status)


def examine(machine: Machine, words: Sequence[str] = ()) -> Report:
    """What root is told there."""
    done = machine.run("pysaslauthctl", "doctor", "--json", *words, check=False)
    assert done.stderr == "", done.stderr
    return parsed(done.stdout, done.returncode)


def carry_out(machine: Machine, finding: Finding, without: str = "") -> None:
    """Run the lines of a cure as they stand, as an administrator who copies them does.

    ``without`` is a line to leave out, such as the restart of a program that the test does not run.
    """
    machine.shell("\n".join(line for line in finding.cure if line != without))

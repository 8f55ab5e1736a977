"""``python -m bench``: measure, print a table, write JSON. The exit status tells whether all could be measured.

A target that is missed is shown and changes no status: on a machine that others use, figures prove nothing.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Never

import pytest

from bench.cases import LOGINS, cases
from bench.compiler import compiled
from bench.daemons import adopt_orphans
from bench.directory import need_slapd
from bench.errors import BenchError
from bench.model import Case
from bench.report import document, tables
from bench.runner import measure
from support.namespaces import need_namespaces
from support.packages import need_program


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.list:
        for case in cases(given.logins):
            print(f"{case.name:22} {case.shows}")
        return 0
    chosen = [case for case in cases(given.logins) if not given.case or case.name in given.case]
    if _lacks_root(chosen):
        return 1
    try:
        need_namespaces()
        need_program("saslauthd", "sasl2-bin")
        if any(case.directory for case in chosen):
            need_slapd()
        compiled("loadgen")
        adopt_orphans()
        outcomes = [measure(case, given.rounds, given.seconds) for case in chosen]
        print(tables(outcomes))
        if given.json:
            given.json.write_text(json.dumps(document(outcomes, given.rounds), indent=1) + "\n")
    except (BenchError, pytest.skip.Exception, pytest.fail.Exception) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return int(any(outcome.error for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Ours and saslauthd, side by side.")
    parser.add_argument(
        "--case",
        action="append",
        choices=[case.name for case in cases()],
        metavar="NAME",
        help="only this one; may be repeated",
    )
    parser.add_argument(
        "--rounds", type=_count, default=5, help="how often each run takes its turn (%(default)s)"
    )
    parser.add_argument("--seconds", type=_seconds, help="how long each run is measured (the case's own)")
    parser.add_argument(
        "--logins",
        type=_count,
        default=LOGINS,
        help="how many there are before memory is judged (%(default)s); few show little",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise ValueError
    return number


def _lacks_root(cases: Sequence[Case]) -> bool:
    """Said before anything runs: nobody is to wait for half of the table."""
    lacking = [case for case in cases if case.needs_root] if os.geteuid() != 0 else []
    for case in lacking:
        sys.stderr.write(f"{case.name} needs root: {case.needs_root}\n")
    return bool(lacking)


def _terminated(_number: int, _frame: FrameType | None) -> Never:
    """Unwinds, as otherwise a daemon would stay."""
    sys.exit(1)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    sys.exit(main())

"""``/etc/default/saslauthd`` of Debian and ``/etc/sysconfig/saslauthd`` of Red Hat, as they stand. No I/O.

Each says in variables with which flags saslauthd is to be started, so what they give are flags.
Debian's init script runs ``saslauthd -a $MECHANISMS [-O $MECH_OPTIONS] $OPTIONS -n $THREADS``, its
later unit the same without the ``-O``, and Red Hat's unit ``saslauthd -m $SOCKETDIR -a $MECH $FLAGS``.
"""

import getopt
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config import command_line
from pysaslauthd.config.command_line import Action, Word
from pysaslauthd.config.complaints import Complaints
from pysaslauthd.config.given import Found, Given
from pysaslauthd.config.settings import did_you_mean
from pysaslauthd.config.shell_file import LARGEST_FILE, Variable, read_shell

DEBIAN = ("START", "DESC", "NAME", "MECHANISMS", "MECH_OPTIONS", "THREADS", "OPTIONS")
RED_HAT = ("SOCKETDIR", "MECH", "FLAGS")

DEBIANS_OPTIONS = "-c -m /var/run/saslauthd"
"""What Debian's init script takes for empty ``OPTIONS``."""

_OUT_OF_PLACE = ("help", "version", "defaults", *(each.value for each in Action if each is not Action.RUN))


class Defaults(NamedTuple):
    """What the file gives."""

    found: Found
    foreground: bool = False
    config: Path | None = None


def read_defaults(data: bytes, source: str) -> Defaults:
    """What the bytes of the file ``source`` give."""
    if len(data) > LARGEST_FILE:
        return Defaults(Found(errors=(f"{source}: {len(data)} bytes; expected at most {LARGEST_FILE}",)))
    if b"\0" in data:
        return Defaults(Found(errors=(f"{source}: expected text, found a NUL byte",)))
    return _Reading(data.decode("utf-8", "surrogateescape"), source).result()


class _Reading:
    """The variables of a file, and what becomes of them."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._errors = Complaints(source, "errors")
        self._warnings = Complaints(source, "warnings")
        self._variables = read_shell(text, self._errors, self._warnings)
        self._given: list[Given] = []
        self._words: list[Word] = []

    def result(self) -> Defaults:
        """All variables together."""
        debian = [name for name in DEBIAN if name in self._variables]
        red_hat = [name for name in RED_HAT if name in self._variables]
        if debian and red_hat:
            line = self._variables[red_hat[0]].line
            self._errors.add(
                line, f"{red_hat[0]} is Red Hat's and {debian[0]} Debian's; expected one of the two"
            )
        elif debian:
            self._take_debian()
        elif red_hat:
            self._take_red_hat()
        else:
            self._errors.add(1, f"expected one of {', '.join(DEBIAN)}, or of {', '.join(RED_HAT)}")
        self._warn_of_the_others(DEBIAN if debian else RED_HAT)
        self._refuse_two_mechanisms()
        return Defaults(
            Found(tuple(self._given), tuple(self._errors.all()), tuple(self._warnings.all())),
            command_line.is_foreground(self._words),
            command_line.file_named(self._words, "config"),
        )

    def _take_debian(self) -> None:
        self._take_mechanism("MECHANISMS")
        option = self._split("MECH_OPTIONS")
        # The unit of later releases has no -O of its own, so it is written into the variable.
        self._take(
            "MECH_OPTIONS", option if option[:1] and option[0].startswith("-") else _flagged("-O", option)
        )
        if self._split("OPTIONS"):
            self._take("OPTIONS", self._split("OPTIONS"))
        else:
            line = self._variables.get("OPTIONS", Variable("", 1)).line
            self._warnings.add(line, f"OPTIONS: empty; {DEBIANS_OPTIONS} is used, as by Debian's init script")
            self._take("OPTIONS", DEBIANS_OPTIONS.split(), line)
        self._take("THREADS", _flagged("-n", self._split("THREADS")))
        start = self._variables.get("START")
        if start is not None and start.value != "yes":
            self._warnings.add(start.line, "START: has no effect; it is for who starts the daemon")

    def _take_red_hat(self) -> None:
        self._take("SOCKETDIR", _flagged("-m", self._split("SOCKETDIR")))
        self._take_mechanism("MECH")
        self._take("FLAGS", self._split("FLAGS"))

    def _take_mechanism(self, name: str) -> None:
        words = self._split(name)
        if len(words) > 1:
            line = self._variables[name].line
            self._warnings.add(
                line, f"{name}: only {words[0]} is used, as by saslauthd; it has one at a time"
            )
        self._take(name, _flagged("-a", words))

    def _split(self, name: str) -> list[str]:
        """At blanks, as a shell and systemd do with a variable; quotes in it are no quotes."""
        return self._variables[name].value.split() if name in self._variables else []

    def _take(self, name: str, words: list[str], line: int = 0) -> None:
        if not words:
            return
        line = line or self._variables[name].line
        try:
            options = command_line.split(words)
        except getopt.GetoptError as error:
            self._errors.add(line, f"{name}: {error.msg}")
            return
        for option, argument in options:
            if option in _OUT_OF_PLACE:
                self._errors.add(line, f"{name}: --{option} has no place here")
            elif option == "config" and not argument.startswith("/"):
                self._errors.add(line, f"{name}: --config: expected an absolute path")
        self._words += options
        origin = f"{self._source}:{line}"
        found = command_line.settings_in(options, f"{name}: ", origin)
        self._given += [each._replace(subject=f"{origin}: {each.subject}") for each in found.given]
        for text in found.errors:
            self._errors.add(line, text)
        for text in found.warnings:
            self._warnings.add(line, text)

    def _refuse_two_mechanisms(self) -> None:
        named = [each for each in self._given if each.name == "mechanism" and each.subject.endswith("-a")]
        if len(named) > 1:
            line = int(named[1].origin.rpartition(":")[2])
            self._errors.add(line, "only one mechanism can be used")

    def _warn_of_the_others(self, known: tuple[str, ...]) -> None:
        for name, variable in self._variables.items():
            if name not in known and not variable.is_used:
                hint = did_you_mean(name, known)
                self._warnings.add(variable.line, f"{name}: has no effect here{hint}")


def _flagged(flag: str, words: list[str]) -> list[str]:
    return [flag, *words] if words else []

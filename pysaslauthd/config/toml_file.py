"""The configuration file: ``NAME = VALUE`` for each setting, in TOML. No I/O.

Its keys are the names of the settings and stand alone, in no table: one word for one thing, here as
behind ``-o``. All errors of a file are told at once, with file and line, what was expected and what
was found.
"""

from pysaslauthd.config.complaints import LONGEST_SHOWN, Complaints, cut
from pysaslauthd.config.declared import DECLARED, shown
from pysaslauthd.config.given import Found, Given
from pysaslauthd.config.settings import SettingError, did_you_mean
from pysaslauthd.config.statements import LARGEST_FILE, Assigned, Path, assignments, in_words

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STARTERS = ("foreground", "debug")
"""Flags whose meaning is who starts the daemon, and how."""


def read_toml(data: bytes, source: str) -> Found:
    """The settings that the bytes of the file ``source`` give."""
    if len(data) > LARGEST_FILE:
        return Found(errors=(f"{source}: {len(data)} bytes; expected at most {LARGEST_FILE}",))
    errors = Complaints(source, "errors")
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Found(errors=(f"{source}:{line}: expected text in UTF-8",))
    given = []
    for each in assignments(text, errors):
        try:
            name, value = _understood(each)
        except SettingError as error:
            errors.add(each.line, str(error))
        else:
            origin = f"{source}:{each.line}"
            given.append(Given(name, value, origin, f"{origin}: {name}"))
    return Found(tuple(given), tuple(errors.all()))


def _understood(assigned: Assigned) -> tuple[str, object]:
    name = in_words(assigned.path)
    declared = DECLARED.get(name)
    if declared is None:
        raise SettingError(f"{cut(name)}: {_unknown(assigned.path)}")
    try:
        return name, declared.read_native(assigned.value)
    except SettingError as error:
        raise SettingError(f"{name}: expected {error}, found {shown(assigned.value)}{error.hint}") from None


def _unknown(path: Path) -> str:
    if path[-1] in _STARTERS:
        return "expected on the command line alone: it is for who starts the daemon"
    if path[-1] in DECLARED:
        return f"no such setting; did you mean {path[-1]}, in no table?"
    # Who writes a table [cache] means the settings whose names begin so.
    for word in ("_".join(path), path[-1], path[0]):
        if len(word) <= LONGEST_SHOWN and (hint := did_you_mean(word, DECLARED)):
            return f"no such setting{hint}"
    return "no such setting"

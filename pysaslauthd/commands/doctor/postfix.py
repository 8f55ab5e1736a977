"""What Postfix's main.cf and master.cf say of SASL: which services ask, from which chroot, as whom."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor.tree import Tree

DIRECTORY = Path("/etc/postfix")
_DEFAULTS = {
    "queue_directory": "/var/spool/postfix",
    "mail_owner": "postfix",
    "compatibility_level": "0",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_sasl_type": "cyrus",
    "smtpd_sasl_path": "smtpd",
    "smtpd_sasl_service": "smtp",
    "smtpd_sasl_local_domain": "",
    "cyrus_sasl_config_path": "",
}

_MOST_NESTED = 20
_LONGEST = 10_000
"""Characters of a value in which references count: values that each name the next one twice would fill the memory."""
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))")
_SERVICE_FIELDS = 8
_PRIVATE, _CHROOT, _COMMAND = 2, 4, 7


class SmtpdService(NamedTuple):
    """A line of master.cf that runs smtpd, with the parameters that count for it."""

    name: str
    is_chrooted: bool
    parameters: Mapping[str, str]

    @property
    def asks(self) -> bool:
        """Whether it offers AUTH."""
        return self.parameters["smtpd_sasl_auth_enable"].lower() == "yes"

    @property
    def is_by_libsasl(self) -> bool:
        """Whether it does by libsasl; Dovecot's is another protocol, which knows no saslauthd."""
        return self.parameters["smtpd_sasl_type"].lower() == "cyrus"


class Postfix(NamedTuple):
    """What the files say. ``services`` are those of smtpd."""

    queue_directory: Path
    owner: str
    services: tuple[SmtpdService, ...]


def postfix_of(tree: Tree) -> Postfix | None:
    """The Postfix of that tree; None without any."""
    main = tree.read(DIRECTORY / "main.cf")
    if main is None:
        return None
    raw = {**_DEFAULTS, **dict(_assignments(main))}
    parameters = _expanded(raw, {})
    services = _services(tree.read(DIRECTORY / "master.cf") or "", raw)
    return Postfix(Path("/", parameters["queue_directory"]), parameters["mail_owner"], tuple(services))


def _services(master: str, main: Mapping[str, str]) -> Iterator[SmtpdService]:
    for line in _logical_lines(master):
        words = line.split()
        if len(words) < _SERVICE_FIELDS or words[_COMMAND] != "smtpd":
            continue
        parameters = _expanded(main, dict(_overrides(words[_SERVICE_FIELDS:])))
        chroot = words[_CHROOT]
        is_chrooted = chroot == "y" or (chroot == "-" and _is_old(parameters["compatibility_level"]))
        yield SmtpdService(f"{words[0]}/{words[1]}", is_chrooted, parameters)


def _is_old(level: str) -> bool:
    """Whether a service that says nothing of a chroot is in one, as before Postfix 3.0."""
    return level.partition(".")[0].strip() in {"0", ""}


def _overrides(words: list[str]) -> Iterator[tuple[str, str]]:
    """The parameters that ``-o name=value`` sets, also written as ``-oname=value``."""
    left = iter(words)
    for word in left:
        if word.startswith("-o"):
            name, equals, value = (word[2:] or next(left, "")).partition("=")
            if equals:
                yield name.strip(), value.strip()


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in _logical_lines(text):
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip()


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with those that continue them; comments and empty lines end nothing."""
    line = ""
    for raw in text.splitlines():
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        if raw[0].isspace():
            line += " " + raw.strip()
            continue
        if line:
            yield line
        line = raw.strip()
    if line:
        yield line


def _expanded(raw: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    values = {**raw, **overrides}
    return {name: _expand(values[name], values) for name in _DEFAULTS}


def _expand(text: str, values: Mapping[str, str]) -> str:
    """References in place of their values; what Postfix finds out itself, such as ``$myhostname``, stays as it is."""
    for _ in range(_MOST_NESTED):
        if len(text) > _LONGEST:
            break
        expanded = _REFERENCE.sub(lambda match: _value_of(match, values), text)
        if expanded == text:
            break
        text = expanded
    return text


def _value_of(match: re.Match[str], values: Mapping[str, str]) -> str:
    name = match[1] or match[2] or match[3]
    value = values.get(name, match[0])
    return value if len(value) <= _LONGEST else match[0]

"""What the programs that ask saslauthd send, recorded: ``tests/interop/corpus`` has a file for each.

``PYTHONPATH=tests python -m support.corpus``, by root, records all of them again.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from support.fake_daemon import FakeDaemon, Sent
from support.machine import Machine
from support.machine_daemon import IGOR, RIGHT
from support.program_machines import REALM, Machines
from support.sasl_programs import PROGRAMS, Program

DIRECTORY = Path(__file__).parents[1] / "interop/corpus"

TYPED = (IGOR, f"{IGOR}@{REALM}")
"""The logins that were typed, each with the password RIGHT."""

_PACKAGES = {
    "sendmail": "sendmail-bin",
    "sendmail-tls": "sendmail-bin",
    "postfix": "postfix",
    "postfix-chrooted": "postfix",
    "exim": "exim4-daemon-heavy",
    "slapd": "slapd",
    "imapd": "cyrus-imapd",
    "pop3d": "cyrus-pop3d",
    "timsieved": "cyrus-common",
    "svnserve": "subversion",
    "memcached": "memcached",
    "testsaslauthd": "sasl2-bin",
    "libsasl": "libsasl2-2",
}
"""In which each came."""


_WITHOUT_LIBSASL = {"exim", "testsaslauthd"}


class Recorded(NamedTuple):
    """One request: its bytes, and the four or five fields in them."""

    data: bytes
    fields: tuple[str, ...]


def recorded(name: str) -> list[Recorded]:
    """All that is recorded of a program, in the order of TYPED."""
    content = tomllib.loads((DIRECTORY / f"{name}.toml").read_text())
    return [Recorded(bytes.fromhex(each["bytes"]), tuple(each["fields"])) for each in content["request"]]


def names() -> list[str]:
    """Of the programs that something is recorded of."""
    return sorted(file.stem for file in DIRECTORY.glob("*.toml"))


def record(program: Program, machine: Machine) -> list[Sent]:
    """What it sends now, for each of TYPED."""
    with FakeDaemon(b"OK", mux=machine.root / program.mux) as fake:
        for typed in TYPED:
            program.login(machine, typed, RIGHT)
    return fake.sent


def _version(program: Program, machine: Machine) -> str:
    packages = {_PACKAGES[program.name]}
    if program.name not in _WITHOUT_LIBSASL:
        packages.add("libsasl2-2")
    words = ("dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages)
    return machine.run(*words, check=False).stdout.removesuffix(", ")


def _text(source: str, requests: Mapping[str, bytes]) -> str:
    lines = [f'source = "{source}, of Debian 12"']
    for typed, data in requests.items():
        fields = ", ".join(f'"{field.decode()}"' for field in _fields(data))
        lines += ["", "[[request]]", f'typed = "{typed}"', f"fields = [{fields}]", f'bytes = "{data.hex()}"']
    return "\n".join(lines) + "\n"


def _fields(data: bytes) -> Iterator[bytes]:
    while data:
        end = 2 + int.from_bytes(data[:2])
        yield data[2:end]
        data = data[end:]


def _main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    with Machines() as machines:
        for program in PROGRAMS:
            machine = machines[program.machine].machine
            requests = dict(zip(TYPED, (each.data for each in record(program, machine)), strict=True))
            (DIRECTORY / f"{program.name}.toml").write_text(_text(_version(program, machine), requests))


if __name__ == "__main__":
    _main()

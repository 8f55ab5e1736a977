"""``pysaslauthctl doctor``: gather, check, print. It changes nothing and asks nothing of a daemon."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pysaslauthd import logs
from pysaslauthd.commands.doctor import sasl_files
from pysaslauthd.commands.doctor.accounts import Accounts, Person, accounts_of
from pysaslauthd.commands.doctor.check_backends import check_directory, check_pam, check_searches, pam_service
from pysaslauthd.commands.doctor.check_logins import Travelled, check_login, mechanisms_for, travelled
from pysaslauthd.commands.doctor.check_sasl import check_sasl
from pysaslauthd.commands.doctor.check_sockets import check_sockets
from pysaslauthd.commands.doctor.check_system import check_guards, check_start, guards_of
from pysaslauthd.commands.doctor.cures import Cures
from pysaslauthd.commands.doctor.diagnosis import diagnosis_of
from pysaslauthd.commands.doctor.findings import Finding, Level, problem, warning
from pysaslauthd.commands.doctor.own import STARTERS, UNIT, Own, own_of, starting_words
from pysaslauthd.commands.doctor.postfix import postfix_of
from pysaslauthd.commands.doctor.programs import NAMES, Client, clients_of
from pysaslauthd.commands.doctor.scene import scene_of
from pysaslauthd.commands.doctor.tree import Tree
from pysaslauthd.config.options import DEFAULT_RUN_PATH, EXIT_FAILURE
from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import Request

EXPLANATION = "say why logins do not come through, and with which commands that is cured"


class Wanted(NamedTuple):
    """What is to be looked at."""

    tree: Tree
    words: tuple[str, ...] = ()
    """The daemon's command line, if one is given."""
    run_path: Path | None = None
    """Its run path, if one is given."""
    programs: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command by itself; see :func:`run`."""
    parser = argparse.ArgumentParser(
        "pysaslauthd.commands.doctor", description=EXPLANATION, allow_abbrev=False
    )
    parser.add_argument("-m", "--run-path", type=Path, metavar="path", help="the daemon's run path")
    add_arguments(parser)
    run(parser.parse_args(sys.argv[1:] if arguments is None else arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said behind ``doctor``."""
    several: tuple[tuple[str, str, str, Sequence[str] | None], ...] = (
        ("--user", "name", "a user who is to be let in", None),
        ("--program", "name", f"look at this program alone, of {', '.join(NAMES)}", NAMES),
        ("--login", "user@realm", "show what becomes of this login", None),
    )
    for flag, metavar, text, choices in several:
        parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text, choices=choices)
    parser.add_argument("--config", type=Path, metavar="file", help="the daemon's configuration file")
    parser.add_argument(
        "--defaults", type=Path, metavar="file", help="the file of flags that the daemon runs with"
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="directory",
        help="look at the files of a system below this",
    )
    parser.add_argument("--json", action="store_true", help="print what a program can read")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what is as it should be, too")
    parser.add_argument(
        "options", nargs="*", metavar="-- option", help="options of the daemon, as it is or will be started"
    )


def run(given: argparse.Namespace) -> None:
    """Look, and print.

    :raises SystemExit: 1 if logins fail, else 0.
    """
    logs.configure(verbose=False, syslog=None, stderr=False)
    found = list(dict.fromkeys(findings(_wanted(given))))
    shown = [each for each in found if given.verbose or each.level is not Level.OK]
    problems = sum(each.level is Level.PROBLEM for each in found)
    warnings = sum(each.level is Level.WARNING for each in found)
    if given.json:
        listed = [each._asdict() for each in shown]
        print(json.dumps({"findings": listed, "problems": problems, "warnings": warnings}))
    else:
        for line in _lines(shown):
            print(line)
        print(f"problems: {problems}, warnings: {warnings}")
    raise SystemExit(EXIT_FAILURE if problems else 0)


def _wanted(given: argparse.Namespace) -> Wanted:
    words: list[str] = list(given.options)
    for flag, path in (("--config", given.config), ("--defaults", given.defaults)):
        words += [flag, str(path.absolute())] if path else []
    root = given.root.resolve()
    run_path = None if given.run_path in {None, DEFAULT_RUN_PATH} else given.run_path.absolute()
    return Wanted(
        Tree(root), tuple(words), run_path, tuple(given.program), tuple(given.user), tuple(given.login)
    )


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    for each in found:
        yield logs.escaped(f"{each.level}: {each.text}", delimiters="")
        for line in each.cure:
            yield f"    {logs.escaped(line, delimiters='')}"


def findings(wanted: Wanted) -> Iterator[Finding]:
    """All that is found, in the order in which it wants to be cured."""
    tree = wanted.tree
    accounts = accounts_of(tree)
    words = starting_words(tree, wanted.words, wanted.run_path)
    own, found = own_of(tree, accounts, words)
    yield from found
    yield from _start(tree, own)
    clients = clients_of(tree, wanted.programs)
    tools = Cures(tree, accounts)
    yield from _silent(tree, clients, wanted.programs, tools)
    plugins = sasl_files.mechanisms(tree)
    for client in clients:
        yield from check_sasl(client, plugins, tools)
    people, unknown = _people(accounts, wanted.users)
    yield from unknown
    yield from check_sockets(scene_of(tree, own, accounts, clients, people))
    if own.options is not None:
        logins = [
            travelled(login, client, own.options.settings.realm_policy)
            for login in wanted.logins
            for client in clients or [_NOBODY]
        ]
        yield from _logins(own, accounts, logins)
        yield from _backends(tree, own, clients, logins)
    yield from check_guards(guards_of(tree, own.run_path), own, _confinable(clients))


_EXECUTABLES = {"postfix": "smtpd", "cyrus": "imapd", "svnserve": "svnserve", "libvirt": "libvirtd"}
"""What AppArmor's profiles are called by, where that is not the program's name."""

_NOBODY = Client("a program", "a program with libsasl", (), "imap", "", Path("/"))
"""Who sends a login where no program is found."""


def _start(tree: Tree, own: Own) -> Iterator[Finding]:
    path = own.named_defaults or next(filter(tree.has, STARTERS), None)
    text = tree.read(path) if path else None
    if path is None or text is None or tree.has(Path("/run/systemd/system")):
        return
    script = tree.read(Path("/etc/init.d") / path.name.partition("-")[0])
    if script is not None:
        yield from check_start(path, text, is_ours=UNIT in script)


def _silent(
    tree: Tree, clients: Sequence[Client], programs: Iterable[str], tools: Cures
) -> Iterator[Finding]:
    """Programs that somebody asked about, and that ask nobody."""
    for name in programs:
        if any(client.program == name for client in clients):
            continue
        if name == "postfix" and postfix_of(tree) is not None:
            yield problem(
                "not-asking",
                "postfix offers no AUTH by libsasl: smtpd_sasl_auth_enable is not yes, or smtpd_sasl_type not cyrus",
                "postconf -e smtpd_sasl_auth_enable=yes smtpd_sasl_type=cyrus",
                *tools.restart("postfix"),
            )
        else:
            yield warning("not-asking", f"{name} is not here, or asks no saslauthd")


def _people(accounts: Accounts, names: Iterable[str]) -> tuple[list[Person], list[Finding]]:
    found = {name: accounts.person(name) for name in names}
    unknown = [
        problem("no-user", f"there is no user {name}") for name, person in found.items() if person is None
    ]
    return [person for person in found.values() if person is not None], unknown


def _logins(own: Own, accounts: Accounts, logins: Iterable[Travelled]) -> Iterator[Finding]:
    for login in logins:
        yield from check_login(login, own, accounts)


def _backends(
    tree: Tree, own: Own, clients: Iterable[Client], logins: Sequence[Travelled]
) -> Iterator[Finding]:
    options = own.options
    assert options is not None
    services = {client.service or options.settings.service: client.what for client in clients}
    for service, who in services.items():
        request = Request(b"", Secret(b""), service.encode(), b"")
        if any(row.names_service_files for row in mechanisms_for(options, request)):
            yield from check_pam(pam_service(tree, service), who)
    if not tree.is_machine:
        return
    for each in options.split():
        asked = [login for login in logins if each.row in mechanisms_for(options, login.request)]
        diagnosis = diagnosis_of(each, [login.identity for login in asked])
        if diagnosis is not None and each.configuration is not None:
            yield from check_directory(diagnosis, each.configuration)
            if not diagnosis.trouble:
                yield from check_searches(asked, diagnosis.searches, own, each.configuration)


def _confinable(clients: Iterable[Client]) -> dict[str, tuple[str, str]]:
    return {
        client.program: (_EXECUTABLES.get(client.program, client.program), str(client.socket))
        for client in clients
    }

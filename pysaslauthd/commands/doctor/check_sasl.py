"""What libsasl is told: which file a program reads, and whether that leads its logins to a saslauthd. Pure."""

from collections.abc import Iterator

from pysaslauthd.commands.doctor import cures
from pysaslauthd.commands.doctor.cures import Cures
from pysaslauthd.commands.doctor.findings import Finding, fine, problem, warning
from pysaslauthd.commands.doctor.programs import Client
from pysaslauthd.commands.doctor.sasl_files import SaslFile, Search

METHOD = "saslauthd"
PLAIN = ("PLAIN", "LOGIN")
"""The mechanisms that hand a password over, which is what saslauthd can check."""

_PLUGINS = {
    "crammd5": "CRAM-MD5",
    "digestmd5": "DIGEST-MD5",
    "scram": "SCRAM",
    "ntlm": "NTLM",
    "otp": "OTP",
    "srp": "SRP",
    "passdss": "PASSDSS",
}
"""Plug-ins that check a password against one that is stored, so that saslauthd is never asked."""


def check_sasl(client: Client, plugins: frozenset[str], tools: Cures) -> Iterator[Finding]:
    """What is wrong with what libsasl reads for a client, where ``plugins`` are installed."""
    found = client.search
    if found is None:
        return
    restart = tools.restart(client.unit)
    yield from _unread(client, found, restart)
    if found.read is None:
        if not found.unread:
            yield problem(
                "no-sasl-file",
                f"{client.what} has no {found.name} in {_listed(found)}: libsasl then looks into its own database",
                f"mkdir -p {cures.quoted(found.place.parent)}",
                *cures.append(found.place, f"pwcheck_method: {METHOD}", f"mech_list: {' '.join(PLAIN)}"),
                *restart,
            )
        return
    if found.read.broken:
        file = found.read
        yield problem(
            "sasl-file-broken",
            f"{file.path}:{file.broken}: expected KEY: VALUE, with the colon next to the key;"
            f" libsasl takes nothing of the file, and {client.what} fails",
            f"sed -i '{file.broken}s/^/# /' {cures.quoted(file.path)}",
            f"# then write line {file.broken} again as it was meant",
            *restart,
        )
        return
    yield from _method(client, found.read, restart)
    yield from _mechanisms(client, found.read, plugins, restart)
    if plugins and "plain" not in plugins:
        yield problem(
            "no-plain-plugin",
            f"libsasl has no plug-in for PLAIN here, so {client.what} cannot offer it",
            "apt-get install libsasl2-modules",
            *restart,
        )


def _unread(client: Client, found: Search, restart: tuple[str, ...]) -> Iterator[Finding]:
    for file in found.unread:
        text = f"{client.what} does not read {file.path}"
        if found.read is None:
            yield problem(
                "sasl-file-unread",
                f"{text}: it looks for {found.name} in {_listed(found)}, and there is none",
                f"mkdir -p {cures.quoted(found.place.parent)}",
                f"mv {cures.quoted(file.path)} {cures.quoted(found.place)}",
                *restart,
            )
            return
        if file.values != found.read.values:
            aside = file.path.with_name(f"{file.path.name}.unread")
            yield warning(
                "sasl-file-unread",
                f"{text}, which says something else than {found.read.path}, which it reads",
                f"mv {cures.quoted(file.path)} {cures.quoted(aside)}",
            )


def _listed(found: Search) -> str:
    return " or ".join(map(str, found.directories))


def _method(client: Client, file: SaslFile, restart: tuple[str, ...]) -> Iterator[Finding]:
    key = f"{file.prefix}pwcheck_method"
    value = file.values.get("pwcheck_method")
    if value is None:
        yield problem(
            "not-saslauthd",
            f"{client.what} asks no saslauthd: {file.path} has no {key}, and libsasl then takes auxprop",
            *cures.append(file.path, f"{key}: {METHOD}"),
            *restart,
        )
    elif METHOD not in value.split():
        yield problem(
            "not-saslauthd",
            f"{client.what} asks no saslauthd: {file.path}:{file.lines['pwcheck_method']}: {key} is {value}",
            *cures.replace_line(file.path, file.lines["pwcheck_method"], f"{key}: {METHOD}"),
            *restart,
        )
    elif value.split() != [METHOD]:
        yield warning(
            "not-only-saslauthd",
            f"{client.what} asks {value} in turn ({file.path}:{file.lines['pwcheck_method']}):"
            " the log of one says nothing of what another accepts",
            *cures.replace_line(file.path, file.lines["pwcheck_method"], f"{key}: {METHOD}"),
            *restart,
        )
    else:
        yield fine("sasl-file", f"{client.what} reads {file.path}, which leads to a saslauthd")


def _mechanisms(
    client: Client, file: SaslFile, plugins: frozenset[str], restart: tuple[str, ...]
) -> Iterator[Finding]:
    key = f"{file.prefix}mech_list"
    value = file.values.get("mech_list")
    line = f"{key}: {' '.join(PLAIN)}"
    if value is None:
        others = sorted(name for plugin, name in _PLUGINS.items() if plugin in plugins)
        if others:
            yield problem(
                "mech-list",
                f"{client.what} offers all that libsasl has, as {file.path} has no {key}:"
                f" a mail program that takes {_either(others)} is refused, as saslauthd cannot check that",
                *cures.append(file.path, line),
                *restart,
            )
        return
    names = value.upper().split()
    others = [name for name in names if name.startswith(tuple(_PLUGINS.values()))]
    kept = [name for name in names if name not in others]
    if others:
        if not set(kept) & set(PLAIN):
            kept = [*PLAIN, *kept]
        yield problem(
            "mech-list",
            f"{file.path}:{file.lines['mech_list']}: {key} has {' and '.join(others)}, which saslauthd cannot check:"
            " a mail program that takes it is refused",
            *cures.replace_line(file.path, file.lines["mech_list"], f"{key}: {' '.join(kept)}"),
            *restart,
        )
    elif not set(names) & set(PLAIN):
        yield problem(
            "mech-list",
            f"{file.path}:{file.lines['mech_list']}: {key} has neither PLAIN nor LOGIN, so no password is ever sent",
            *cures.replace_line(file.path, file.lines["mech_list"], line),
            *restart,
        )


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

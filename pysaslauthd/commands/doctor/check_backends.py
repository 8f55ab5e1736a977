"""What the mechanisms ask: PAM's files, and the directory's servers. Pure, but for who looks at them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.commands.doctor import cures
from pysaslauthd.commands.doctor.check_logins import Travelled
from pysaslauthd.commands.doctor.diagnosis import Diagnosis, Searched, ServerState
from pysaslauthd.commands.doctor.findings import Finding, fine, note, problem, warning
from pysaslauthd.commands.doctor.own import Own
from pysaslauthd.commands.doctor.tree import Tree

PAM_DIRECTORIES = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))
"""Where libpam looks for the file of a service, in this order."""

FALLBACK = "other"
_DENIES = re.compile(r"^\s*auth\s.*\bpam_deny\.so", re.MULTILINE)

_DEBIANS_STACK = ("@include common-auth", "@include common-account")
_RED_HATS_STACK = ("auth include password-auth", "account include password-auth")


class PamService(NamedTuple):
    """What PAM has for a service: its file, and what counts without one."""

    name: str
    has_file: bool
    has_fallback: bool
    fallback_denies: bool
    stack: tuple[str, ...]
    """Lines of a file that asks what the distribution asks everywhere."""


def pam_service(tree: Tree, name: str) -> PamService:
    """Look for the file of a service, whose name PAM takes in small letters."""
    other = next((text for each in PAM_DIRECTORIES if (text := tree.read(each / FALLBACK)) is not None), None)
    is_debians = tree.has(PAM_DIRECTORIES[0] / "common-auth")
    return PamService(
        name.lower(),
        any(tree.has(each / name.lower()) for each in PAM_DIRECTORIES),
        other is not None,
        bool(other and _DENIES.search(other)),
        _DEBIANS_STACK if is_debians else _RED_HATS_STACK,
    )


def check_pam(service: PamService, who: str) -> Iterator[Finding]:
    """Whether PAM has something for the service that ``who`` says."""
    file = PAM_DIRECTORIES[0] / service.name
    if service.has_file:
        yield fine("pam-file", f"PAM has a file for the service {service.name}")
        return
    text = f"{who}: PAM has no file {file}"
    lines = cures.append(file, *service.stack)
    if not service.has_fallback:
        yield problem("no-pam-file", f"{text} and none called {FALLBACK}", *lines)
    elif service.fallback_denies:
        yield problem("no-pam-file", f"{text}, and {FALLBACK}, which counts then, lets nobody in", *lines)
    else:
        yield warning("no-pam-file", f"{text}, so {FALLBACK} counts", *lines)


def check_directory(diagnosis: Diagnosis, file: Path) -> Iterator[Finding]:
    """Whether the servers of ``saslauthd.conf`` can be asked."""
    if diagnosis.trouble:
        yield problem("ldap-not-asked", f"the servers of {file} were not asked: {diagnosis.trouble}")
    others = [each for each in diagnosis.servers if not each.trouble]
    for server in diagnosis.servers:
        if not server.trouble:
            yield fine("ldap-server", f"{server.uri} answers")
            continue
        name, advice = _trouble(server, file)
        say = warning if others else problem
        left = f" ({', '.join(each.uri for each in others)} answers)" if others else ""
        yield say(name, f"{server.trouble}{left}", *advice)


def _trouble(server: ServerState, file: Path) -> tuple[str, tuple[str, ...]]:
    text = server.trouble.removeprefix(f"{server.uri}: ")
    conf, uri = cures.quoted(file), cures.command_line((server.uri,))
    place = f"{file}:{server.line}: ldap_servers" if server.line else f"{file}: ldap_servers"
    step = text.partition(":")[0].partition(" (")[0]
    if step == "resolve":
        host = cures.command_line((server.host,))
        return "ldap-not-resolved", (
            f"getent hosts {host}",
            cures.comment(f"{place}: a name that the resolver knows, or an address"),
        )
    if step in {"TLS handshake", "StartTLS", "certificate"} or "ertificate" in text:
        return "ldap-tls", (
            f"openssl s_client -connect {host_and_port(server)}{'' if server.is_ldaps else ' -starttls ldap'} -showcerts",
            cures.comment(f"put the certificate of its authority into a file, and have {file} name that:"),
            f"printf '%s\\n' '' 'ldap_tls_cacert_file: /etc/ssl/certs/directory-ca.pem' >>{conf}",
            "# if the host name is what does not match, ldap_servers has to name the server as the certificate does",
        )
    if "refused with code" in text or text.startswith("bind as"):
        return "ldap-refused", (
            f"grep -nE '^ldap_(bind_dn|bind_pw|password|id)' {conf}",
            f"ldapwhoami -x -H {uri} -D DN -W",
        )
    return "ldap-not-reached", (
        f"ldapsearch -x -H {uri} -s base -b '' 1.1",
        cures.comment(f"{place}: a server that runs, and its port"),
    )


def host_and_port(server: ServerState) -> str:
    """As openssl takes it."""
    return cures.command_line((f"{server.host}:{server.port}",))


def check_searches(
    logins: Iterable[Travelled], searches: Iterable[Searched], own: Own, file: Path
) -> Iterator[Finding]:
    """What the directory is asked for each login, and whether the realm has got lost on the way to it."""
    for login, search in zip(logins, searches, strict=True):
        who = f"{login.typed} by {login.client.what}"
        yield note(
            "ldap-search", f"{who}: ldap looks for {search.filter} below {search.base or 'no search base'}"
        )
        text = f"{search.filter} {search.base}"
        if not login.realm:
            continue
        doubled = f"@{login.realm}@{login.realm}"
        if doubled in text:
            yield problem(
                "realm-doubled",
                f"{who}: ldap looks for {search.filter}, with the realm twice: by the filter, and by realm_policy"
                f" {own.options and own.options.settings.realm_policy} ({own.origins.get('realm_policy')})",
                *own.set("realm_policy", '"login"'),
                *own.reload(),
            )
        elif search.empty_domain:
            yield problem(
                "domain-empty",
                f"{who}: %d of the filter or search base is empty, as {login.client.program} sends"
                f" {login.realm} as realm and the login without it: ldap looks for {search.filter}",
                *cures.append(file, "ldap_domain_from_realm: yes"),
                *own.reload(),
            )
        elif login.realm not in text:
            yield warning(
                "realm-stripped",
                f"{who}: ldap looks for {search.filter}, of which {login.realm} is no part: users of that name"
                " in all realms are one",
                cures.comment(f"if whole addresses are meant, in {file} write %u%R for %u in ldap_filter"),
            )

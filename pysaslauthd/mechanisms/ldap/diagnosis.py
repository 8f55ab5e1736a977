"""What can be said of a directory without a login: whether its servers answer, and what they would be asked."""

import asyncio

from pysaslauthd.config.ldap_keys import LdapConf, octets
from pysaslauthd.core.identity import Identity
from pysaslauthd.mechanisms.ldap.connect import Connector, Endpoint
from pysaslauthd.mechanisms.ldap.servers import Server
from pysaslauthd.mechanisms.ldap.tokens import Template, escape_filter, values_of

LONGEST = 25.0
"""Seconds for all servers, which are asked at once."""

State = tuple[str, str, int, bool, int, str]
"""URI, host, port, whether it is ldaps, the line of the configuration (0 for none), and what is wrong (empty for nothing)."""


def states_of(conf: LdapConf, connector: Connector) -> list[State]:
    """Whether each server answers a login's first question, found out as a worker does."""
    return asyncio.run(_states(conf, connector))


async def _states(conf: LdapConf, connector: Connector) -> list[State]:
    servers = [Server(Endpoint.parse(uri), conf, connector) for uri in conf.servers]
    probes = {probe for server in servers if (probe := server.probe()) is not None}
    await asyncio.wait(probes, timeout=LONGEST)
    line = conf.lines.get("servers", 0)
    return [
        (
            server.endpoint.uri,
            server.endpoint.host or server.endpoint.path,
            server.endpoint.port,
            server.endpoint.scheme == "ldaps",
            line,
            "" if server.is_up else server.trouble,
        )
        for server in servers
    ]


def searched(conf: LdapConf, identity: Identity) -> tuple[str, str, bool]:
    """Filter and search base (for fastbind the DN, and nothing) as a login fills them, and whether a domain is missing there."""
    values = values_of(identity, octets(conf.default_realm), domain_falls_back=conf.domain_from_realm)
    templates = (Template.parse(conf.filter), Template.parse(conf.search_base))
    filled, base = (each.expand(values, escape_filter).decode(errors="replace") for each in templates)
    lacks_domain = not values["d"] and any("d" in each.letters for each in templates)
    return filled, base, lacks_domain

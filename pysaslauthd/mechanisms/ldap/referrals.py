"""Where a server says that more is to be found."""

import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pysaslauthd.mechanisms.ldap.attempt import Endpoint
from pysaslauthd.mechanisms.ldap.codec import Scope, Search

MOST_FOLLOWED = 4
"""Of one search. They are not followed any further."""

_SCOPES = {"base": Scope.BASE, "one": Scope.ONE, "sub": Scope.SUB}


class Target(NamedTuple):
    """A server of ours, and what its URI says of where to look there; nothing for the same as here."""

    endpoint: Endpoint
    name: bytes
    scope: Scope | None

    def search(self, search: Search, *, continues: bool) -> Search:
        """What ``search`` is there. One that ``continues`` begins a level below its base."""
        scope = self.scope
        if scope is None:
            scope = Scope.BASE if continues and search.scope is Scope.ONE else search.scope
        return search._replace(base=self.name or search.base, scope=scope)


def targets(uris: Iterable[bytes], knows: Callable[[Endpoint], bool]) -> Iterator[Target]:
    """Those that are ours: passwords go only to servers that the administrator has named."""
    followed = 0
    for uri in uris:
        try:
            text = uri.decode()
            endpoint = Endpoint.parse(text)
            parts = urllib.parse.urlsplit(text)
            name = urllib.parse.unquote_to_bytes(parts.path.removeprefix("/"))
        except ValueError:
            continue
        _attributes, _, rest = parts.query.partition("?")
        if followed < MOST_FOLLOWED and knows(endpoint):
            followed += 1
            yield Target(endpoint, name, _SCOPES.get(rest.partition("?")[0].lower()))

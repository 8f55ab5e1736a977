"""Where a server says that more is to be found."""

import urllib.parse
from collections.abc import Callable, Iterable, Iterator

from pysaslauthd.mechanisms.ldap.attempt import Endpoint

MOST_FOLLOWED = 4
"""Of one search. They are not followed any further."""


def targets(uris: Iterable[bytes], knows: Callable[[Endpoint], bool]) -> Iterator[tuple[Endpoint, bytes]]:
    """The endpoints of those that are ours, and the DN to ask for there, empty for the same as here.

    The passwords go only to servers that the administrator has named.
    """
    followed = 0
    for uri in uris:
        try:
            text = uri.decode()
            endpoint = Endpoint.parse(text)
            name = urllib.parse.unquote_to_bytes(urllib.parse.urlsplit(text).path.removeprefix("/"))
        except ValueError:
            continue
        if followed < MOST_FOLLOWED and knows(endpoint):
            followed += 1
            yield endpoint, name

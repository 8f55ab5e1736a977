"""The searches and DNs that ``saslauthd.conf`` describes, filled for one login. No I/O."""

from collections.abc import Mapping
from typing import NamedTuple

from pysaslauthd.config.ldap_keys import LdapConf
from pysaslauthd.mechanisms.ldap.codec import Deref, Scope, Search
from pysaslauthd.mechanisms.ldap.filter_parser import parse_filter
from pysaslauthd.mechanisms.ldap.filters import Filter
from pysaslauthd.mechanisms.ldap.tokens import DnTemplate, Template, escape_filter

_SCOPES = {"base": Scope.BASE, "one": Scope.ONE, "sub": Scope.SUB}
_DEREFS = {"never": Deref.NEVER, "search": Deref.SEARCH, "find": Deref.FIND, "always": Deref.ALWAYS}

NO_ATTRIBUTES = (b"1.1",)
"""What to ask for where only the entry counts."""


class SearchTemplate(NamedTuple):
    """A search with tokens."""

    base: DnTemplate
    filter: Filter
    search: Search
    text: Template
    """The filter, as it is written."""

    @classmethod
    def of(
        cls,
        conf: LdapConf,
        base: tuple[str, str],
        filter_text: tuple[str, str],
        scope: str,
        attributes: tuple[bytes, ...],
    ) -> "SearchTemplate":
        """From the texts of the file, each behind the name of its key.

        :raises ValueError: one of them cannot be; the message names the key.
        """
        name, text = filter_text
        try:
            parsed = parse_filter(text)
        except ValueError as error:
            raise ValueError(f"{conf.at(name)}: {error}") from None
        search = Search(
            base=b"",
            scope=_SCOPES[scope],
            filter=b"",
            attributes=attributes,
            size_limit=conf.size_limit,
            time_limit=conf.time_limit,
            deref=_DEREFS[conf.deref],
        )
        return cls(dn_template(conf, *base), parsed, search, Template.parse(text))

    def fill(self, values: Mapping[str, bytes]) -> Search:
        """The search for one login."""
        return self.search._replace(base=self.base.fill(values), filter=self.filter.fill(values))

    def describe(self, what: str, values: Mapping[str, bytes]) -> str:
        """The same in words; ``what`` is looked for."""
        base = as_text(self.base.fill(values)) or "the root"
        scope = self.search.scope.name.lower()
        return f"{what} search below {base}, scope {scope}, filter {as_text(self.text.expand(values, escape_filter))}"


def dn_template(conf: LdapConf, name: str, text: str) -> DnTemplate:
    """The template of a DN, of the text of the key ``name``.

    :raises ValueError: it cannot be; the message names the key.
    """
    try:
        return DnTemplate.parse(text)
    except ValueError as error:
        raise ValueError(f"{conf.at(name)}: {error}") from None


def as_text(value: bytes) -> str:
    """A name or a filter, for the log."""
    return value.decode(errors="replace")

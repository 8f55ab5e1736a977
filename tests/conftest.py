"""Fixtures that tests of more than one folder use."""

pytest_plugins = ("support.ldap_fixtures", "support.program_fixtures")

"""What tests of more than one folder use."""

from hypothesis import HealthCheck, settings

# No timing is a verdict: on a busy machine an example may take as long as it likes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ("support.ldap_fixtures", "support.program_fixtures")

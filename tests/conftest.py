"""What tests of more than one folder use."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ("support.ldap_fixtures", "support.program_fixtures")

# No timing is a verdict: on a busy machine an example may take as long as it likes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell has what it starts in the background ignore this signal, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""Mechanism ``ldap``: the directory that ``saslauthd.conf`` names.

ldap3 sets connections up and parses the administrator's filter; then a codec of our own takes the
socket over, on one event loop with many logins in flight. ldap3 alone needs ten times the CPU a
login (0.9 against 0.1 ms), a thread for each, and has no limit on a whole operation.
"""

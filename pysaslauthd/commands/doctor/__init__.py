"""``doctor``: looks at a machine, says why logins do not come through, and with which commands that is cured.

It changes nothing and needs no daemon. Facts are gathered first (``tree``, ``accounts``, ``listeners``, ``own``,
``programs``, ``postfix``, ``sasl_files``); what they mean is said by pure functions over them (``check_*``), so that
each can be tried without a machine.
"""

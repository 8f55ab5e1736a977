"""How a password is checked: one module a mechanism, run inside a worker process."""

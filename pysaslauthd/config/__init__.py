"""What the administrator asked for: saslauthd's flags, our settings, the table of mechanisms."""

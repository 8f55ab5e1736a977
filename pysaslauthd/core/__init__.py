"""What master, front and workers share: pure code without I/O, clock or logging."""

"""The process that root starts: one thread, no loop, and never a client's byte."""

"""Benchmarks: ours and the original on the same users and the same machine, in turn, in one run (``make bench``).

A figure here decides nothing by itself: read the ratios, as the machine moves both sides of one alike.
"""

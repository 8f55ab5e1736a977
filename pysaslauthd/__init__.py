"""pysaslauthd: a drop-in replacement for Cyrus saslauthd."""

__version__ = "0.1.0"

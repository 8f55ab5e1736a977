"""``python -m pysaslauthd.commands.doctor``."""

import sys

from pysaslauthd.commands.doctor.command import main

if __name__ == "__main__":
    sys.exit(main())

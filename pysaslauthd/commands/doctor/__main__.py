"""``python -m pysaslauthd.commands.doctor``."""

from pysaslauthd.commands.doctor.command import main

if __name__ == "__main__":
    main()

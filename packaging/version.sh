#!/bin/sh
# version.sh: our version, from its one place.
set -eu
sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$(dirname "$0")/../pysaslauthd/__init__.py"

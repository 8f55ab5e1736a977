#!/bin/sh
# wheels.sh PYTHON DIRECTORY [VERSION]: the libraries of packaging/requirements.txt as wheels for that Python (such as
# 3.11; PYTHON's own without it), each checked by its hash. The one step of a package build that needs a network.
set -eu
python=$1 directory=$2 version=${3:-}
requirements=$(dirname "$0")/requirements.txt

[ -n "$version" ] || version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
rm -rf "$directory"
mkdir -p "${directory%/*}"
"$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --python-version "$version" --dest "$directory" --requirement "$requirements"

#!/bin/sh
# source.sh WHEELS DIRECTORY: the files of which packages are built, and the wheels that go into them. What else lies in
# the checkout, such as what tests and editors leave, cannot get into a package.
set -eu
wheels=$1 directory=$2
top=$(dirname "$0")/..

mkdir -p "$directory"
(cd "$top" && tar -c --exclude __pycache__ CHANGELOG.md LICENSE Makefile README.md SECURITY.md initscripts packaging \
    pyproject.toml pysaslauthd systemd) | tar -x -C "$directory"
mkdir -p "$directory/build"
cp -r "$wheels" "$directory/build/wheels"

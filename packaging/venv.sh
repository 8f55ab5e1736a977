#!/bin/sh
# venv.sh PYTHON DIRECTORY REQUIREMENTS...: a virtual environment with exactly the packages of the lock files, each
# checked by its hash, and this project in it. Works where Debian's python3 has come without python3-venv.
set -eu
python=$1 venv=$2
shift 2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Name another: make PYTHON=python3.12" >&2
    exit 1
}

# Debian keeps ensurepip, which venv needs, in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -q update >/dev/null && apt-get -q install -y --no-install-recommends python3-venv >/dev/null
    elif ! "$python" -m pip --version >/dev/null 2>&1; then
        echo "Python has neither ensurepip nor pip here. As root: apt-get install python3-venv" >&2
        exit 1
    fi
fi

if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$venv"
    pip="$venv/bin/python -m pip"
else
    "$python" -m venv --without-pip "$venv"
    pip="$python -m pip --python $venv/bin/python"
fi

for file; do set -- "$@" -r "$file"; shift; done
# shellcheck disable=SC2086  # $pip is several words
{
    $pip install --quiet --disable-pip-version-check --require-hashes "$@"
    $pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

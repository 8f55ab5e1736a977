#!/bin/sh
# test-packages.sh: install what the tests need from Debian, when we may; a test whose package is missing says so itself.
# The MTAs are not among them: they conflict with each other, so their tests unpack them aside.
set -eu

packages="sasl2-bin libsasl2-2 libsasl2-modules m4 gcc libc6-dev libpam-wrapper"

command -v dpkg-query >/dev/null || exit 0
missing=
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "not root: the tests that need$missing will be skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >/dev/null
# shellcheck disable=SC2086  # one word for each package
apt-get -q install -y --no-install-recommends $missing >/dev/null

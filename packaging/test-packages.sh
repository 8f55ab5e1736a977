#!/bin/sh
# test-packages.sh: install what the tests need from Debian, when we may; a test whose package is missing says so itself.
# The MTAs are not among them: they conflict with each other, so their tests unpack them aside.
set -eu

packages="shellcheck sasl2-bin libsasl2-2 libsasl2-modules m4 gcc libc6-dev libpam-wrapper slapd ldap-utils openssl mandoc tmux"

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Only the programs are wanted: while this runs no service is started, and slapd gets no configuration and is not
# started with the machine either. The tests start their own. Where there is a policy already, it is the machine's.
policy=/usr/sbin/policy-rc.d
without_services() {
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    echo "slapd slapd/no_configuration boolean true" | debconf-set-selections
}

command -v dpkg-query >/dev/null || exit 0
missing=
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "not root: the tests that need$missing will be skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >/dev/null
had_slapd=yes
is_installed slapd || { had_slapd=no; without_services; }
# shellcheck disable=SC2086  # one word for each package
apt-get -q install -y --no-install-recommends $missing >/dev/null
[ $had_slapd = yes ] || update-rc.d slapd disable 2>/dev/null

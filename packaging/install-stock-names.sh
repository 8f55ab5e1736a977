#!/bin/sh
# install-stock-names.sh FAMILY DESTDIR: what makes ours answer to saslauthd's names, for a package of its own: programs,
# manual pages and the service saslauthd, with saslauthd's own file of variables.
set -eu
family=$1 destination=$2
top=$(dirname "$0")/..
initscripts=${INITSCRIPTS:-/etc/init.d} units=/usr/lib/systemd/system

mkdir -p "$destination/usr/sbin" "$destination/usr/share/man/man8" "$destination$initscripts"
for program in saslauthd testsaslauthd; do
    ours=$(echo $program | sed 's/saslauthd/pysaslauthd/')
    ln -s "$ours" "$destination/usr/sbin/$program"
    echo ".so man8/$ours.8" >"$destination/usr/share/man/man8/$program.8"
done

# The script goes by its name. Only what it says that it provides is written in it. It is no configuration, which dpkg
# would leave there on removal.
script=/usr/share/pysaslauthd/init.d/saslauthd
mkdir -p "$destination${script%/*}"
sed 's/^\(# Provides: *\)pysaslauthd/\1saslauthd/' "$top/initscripts/pysaslauthd" >"$destination$script"
chmod 755 "$destination$script"
ln -s "$script" "$destination$initscripts/saslauthd"

# Debian has the init script alone, or a unit that can start ours as it stands.
[ "$family" = redhat ] || exit 0
mkdir -p "$destination$units/saslauthd.service.d" "$destination/etc/sysconfig"
sed -f "$top/systemd/red-hat.sed" -e 's,/etc/sysconfig/pysaslauthd,/etc/sysconfig/saslauthd,' \
    -e 's/^Conflicts=.*/Conflicts=pysaslauthd.service pysaslauthd.socket/' -e 's/^After=saslauthd.service/After=pysaslauthd.service/' -e '/^Also=/d' -e '/^Alias=/d' \
    "$top/systemd/pysaslauthd.service" >"$destination$units/saslauthd.service"
sed -f "$top/systemd/red-hat.sed" "$top/systemd/pysaslauthd.service.d/10-sandbox.conf" \
    >"$destination$units/saslauthd.service.d/10-sandbox.conf"
cp "$top/initscripts/pysaslauthd.sysconfig" "$destination/etc/sysconfig/saslauthd"
sed -i 's/pysaslauthd-postfix/saslauthd-postfix/' "$destination/etc/sysconfig/saslauthd"

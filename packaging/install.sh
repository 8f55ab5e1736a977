#!/bin/sh
# install.sh FAMILY PYTHON WHEELS DESTDIR: all files of a package, as the family (debian or redhat) wants them.
# Both packages are made by this, so that they differ only where distributions do.
#
# Our code and the libraries it needs lie in a directory of their own, where no other program's libraries can get in
# their way, nor they in others'. The libraries are wheels for one minor version of Python, and PYTHON (such as
# python3.11) names it.
set -eu
family=$1 python=$2 wheels=$3 destination=$4
top=$(dirname "$0")/..
library=/usr/lib/pysaslauthd
initscripts=${INITSCRIPTS:-/etc/init.d}

case $family in
debian) defaults=/etc/default units=/lib/systemd/system variant=default ;;
redhat) defaults=/etc/sysconfig units=/usr/lib/systemd/system variant=sysconfig ;;
*) echo "install.sh: the family is debian or redhat, not $family" >&2 && exit 64 ;;
esac

# put MODE FILE PLACE
put() {
    install -D -p -m "$1" "$top/$2" "$destination$3"
}

# Each wheel is compared with its hash once more. What only a compiler reads of them stays out.
install_libraries() {
    "$python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" --require-hashes \
        --no-deps --no-compile --root-user-action ignore --target "$destination$library" \
        --requirement "$top/packaging/requirements.txt"
    find "$destination$library" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.c' \) -delete
    find "$destination$library" -type d -empty -delete
    rm -f "$destination$library"/*.dist-info/direct_url.json
}

install_ours() {
    (cd "$top" && find pysaslauthd -name '*.py' -o -name py.typed) | while read -r file; do
        put 644 "$file" "$library/$file"
    done
}

# launcher NAME MODULE: isolated (-I), without what else is installed for Python (-S), and nothing is written (-B).
launcher() {
    mkdir -p "$destination/usr/sbin"
    cat >"$destination/usr/sbin/$1" <<END
#!/usr/bin/$python -BIS
import sys

sys.path.append("$library")
from $2 import main

sys.exit(main())
END
    chmod 755 "$destination/usr/sbin/$1"
}

# pyproject.toml says which commands there are, as lines of NAME = "MODULE:main".
install_launchers() {
    sed -n '/^\[project.scripts\]/,/^$/s/^\([a-z]*\) = "\(.*\):main"$/\1 \2/p' "$top/pyproject.toml" |
        while read -r name module; do launcher "$name" "$module"; done
}

install_manual() {
    for page in "$top"/packaging/man/*.[58]; do
        name=${page##*/}
        put 644 "packaging/man/$name" "/usr/share/man/man${name##*.}/$name"
    done
}

# What is Debian's in the units and the like; Red Hat has it elsewhere.
localised() {
    case $family in
    debian) cat "$top/systemd/$1" ;;
    redhat) sed -f "$top/systemd/red-hat.sed" "$top/systemd/$1" ;;
    esac
}

# put_localised FILE PLACE
put_localised() {
    mkdir -p "$destination${2%/*}"
    localised "$1" >"$destination$2"
    chmod 644 "$destination$2"
}

install_service() {
    put 755 initscripts/pysaslauthd "$initscripts/pysaslauthd"
    put 644 "initscripts/pysaslauthd.$variant" "$defaults/pysaslauthd"
    for unit in pysaslauthd.service pysaslauthd@.service pysaslauthd.socket; do
        put_localised $unit "$units/$unit"
    done
    for service in pysaslauthd pysaslauthd@; do
        put_localised pysaslauthd.service.d/10-sandbox.conf "$units/$service.service.d/10-sandbox.conf"
    done
    put_localised pysaslauthd.sysusers /usr/lib/sysusers.d/pysaslauthd.conf
    put_localised pysaslauthd.tmpfiles /usr/lib/tmpfiles.d/pysaslauthd.conf
    # For who wants it: see "systemd" in the README.
    put_localised ldap-without-root.conf /usr/share/pysaslauthd/ldap-without-root.conf
}

# What other programs are told of us. Jail and policies are for who wants them, and count nowhere by being there.
install_around() {
    put 644 packaging/completion/pysaslauthd.bash /usr/share/bash-completion/completions/pysaslauthd
    for name in testpysaslauthd pysaslauthctl; do
        ln -s pysaslauthd "$destination/usr/share/bash-completion/completions/$name"
    done
    put 644 packaging/fail2ban/filter.d/pysaslauthd.conf /etc/fail2ban/filter.d/pysaslauthd.conf
    put 644 packaging/fail2ban/jail.d/pysaslauthd.conf /usr/share/pysaslauthd/fail2ban/jail.d/pysaslauthd.conf
    put 644 packaging/apparmor/usr.sbin.pysaslauthd /usr/share/pysaslauthd/apparmor/usr.sbin.pysaslauthd
    for file in pysaslauthd.te pysaslauthd.fc; do
        put 644 "packaging/selinux/$file" "/usr/share/pysaslauthd/selinux/$file"
    done
}

install_libraries
install_ours
install_launchers
install_manual
install_service
install_around
put 644 packaging/pysaslauthd.toml /etc/pysaslauthd.toml

#!/bin/sh
# build-rpm.sh WHEELS DIRECTORY PYTHON: the RPMs for the version of that Python, into DIRECTORY. Needs no network, and root
# neither.
set -eu
wheels=$1 directory=$2 python=$3
packaging=$(dirname "$0")
python=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
version=$("$packaging/version.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$packaging/source.sh" "$wheels" "$work/pysaslauthd-$version"
tar -C "$work" -cf "$work/pysaslauthd-$version.tar" "pysaslauthd-$version"
rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_sourcedir $work" --define "_rpmdir $work/built" \
    --define "our_version $version" --define "python $python" "$packaging/rpm/pysaslauthd.spec" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
mkdir -p "$directory"
find "$work/built" -name '*.rpm' -exec cp {} "$directory" \;

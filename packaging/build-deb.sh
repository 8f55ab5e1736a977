#!/bin/sh
# build-deb.sh WHEELS DIRECTORY: the Debian packages, into DIRECTORY. Needs no network, and root neither. They are from
# who DEBFULLNAME and DEBEMAIL say, as with Debian's own tools.
set -eu
wheels=$1 directory=$2
packaging=$(dirname "$0")
version=$("$packaging/version.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/pysaslauthd-$version

"$packaging/source.sh" "$wheels" "$tree"
mv "$tree/packaging/debian" "$tree/debian"
maintainer="${DEBFULLNAME:-the pysaslauthd developers} <${DEBEMAIL:-root@localhost.localdomain}>"
maintainer=$maintainer awk '/^Maintainer: / { $0 = "Maintainer: " ENVIRON["maintainer"] } 1' "$tree/debian/control" >"$work/control"
mv "$work/control" "$tree/debian/control"
# What was released when is in CHANGELOG.md. The date is that of the sources, so that the same give the same package.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$packaging" log -1 --format=%ct 2>/dev/null || stat -c %Y "$packaging/../CHANGELOG.md")}
cat >"$tree/debian/changelog" <<END
pysaslauthd ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $maintainer  $(date -R -d "@$epoch")
END
(cd "$tree" && dpkg-buildpackage --no-sign --build=binary >"$work/log" 2>&1) || {
    cat "$work/log" >&2
    exit 1
}
mkdir -p "$directory"
cp "$work"/*.deb "$work"/*.buildinfo "$work"/*.changes "$directory"

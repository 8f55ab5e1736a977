#!/bin/sh
# run.sh PYTEST: all tests, in three parts at a time. They wait for clocks, for our processes, for packages and for systems
# that boot; one after the other they take more than twice as long. The first part is seen as it goes, the others at its end.
set -u
pytest=$1

logs=$(mktemp -d)
parts=
trap 'rm -rf "$logs"' EXIT
trap 'kill $parts 2>/dev/null; wait $parts; exit 1' HUP INT TERM

part() {
    log=$logs/$1
    shift
    "$pytest" "$@" >"$log" 2>&1 &
    parts="$parts $!"
}

part machines tests/interop tests/system
part integration tests/integration/test_[!a-k]*.py

status=0
"$pytest" tests/unit tests/integration/test_[a-k]*.py || status=$?
for part in $parts; do wait "$part" || status=$?; done
cat "$logs"/*
exit $status

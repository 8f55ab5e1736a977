#!/bin/sh
# run.sh PYTEST: all tests, in two halves at a time. One half waits for clocks and for our processes, the other for packages and
# for systems that boot; one after the other they take nearly twice as long. The second prints what it has to say at its end.
set -u
pytest=$1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$pytest" tests/interop tests/system >"$log" 2>&1 &
second=$!
trap 'kill $second 2>/dev/null; wait $second; exit 1' HUP INT TERM

status=0
"$pytest" tests/unit tests/integration || status=$?
wait $second || status=$?
cat "$log"
exit $status

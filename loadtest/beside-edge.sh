#!/usr/bin/env bash
# Runs loadtest with 8,500 sessions against a new edge on this machine; make load runs this script. bench --hold starts
# edge and edge's upstream server, prints edge's URL, files and process ID as shell variables, and stops both programs
# at SIGINT. The arguments of this script are flags of loadtest. If the script sets the same flag itself, loadtest uses
# the value from the arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
bench=
load=
finish() {
	if [ -n "$bench" ]; then
		kill -INT "$bench" 2>/dev/null || true
		wait "$bench" || true
	fi
	rm -rf "$dir"
}
trap finish EXIT
${GO:-go} build -o "$dir/" ./bench ./loadtest
: >"$dir/lab"
set -m # bench gets its own process group: so Ctrl-C does not stop edge before loadtest has ended its sessions
"$dir/bench" --hold >"$dir/lab" &
bench=$!
set +m
for _ in $(seq 1200); do # wait up to two minutes, because bench may have to build edge first
	grep -q '^EDGE_PID=' "$dir/lab" && break
	kill -0 "$bench"
	sleep 0.1
done
if ! grep -q '^EDGE_PID=' "$dir/lab"; then
	echo "bench --hold did not have edge ready within two minutes" >&2
	exit 1
fi
. "$dir/lab"
trap 'kill -INT "$load"' INT TERM
"$dir/loadtest" --url="$URL" --token-file="$TOKEN_FILE" --certificate-authority="$CA_FILE" --watch-pid="$EDGE_PID" \
	--pod=bench --container=c --sessions=8500 --mix=exec=60,port-forward=20,watch=20 --busy=500 --rate=2 --ramp=2m --duration=10m \
	--max-rss-growth=5 "$@" &
load=$!
code=0
wait "$load" || code=$?
while kill -0 "$load" 2>/dev/null; do # wait again: a signal has ended the first wait, but loadtest is still running
	code=0
	wait "$load" || code=$?
done
exit "$code"

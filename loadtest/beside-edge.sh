#!/usr/bin/env bash
# Runs loadtest beside a fresh edge and upstream of bench on this machine, as make load does. Arguments are loadtest's
# flags, and go before those below. bench --hold starts both, says where they are, and ends them at SIGINT.
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
set -m # a process group of its own: Ctrl-C is for loadtest, which ends its sessions before edge goes
"$dir/bench" --hold >"$dir/lab" &
bench=$!
set +m
for _ in $(seq 1200); do # two minutes: edge may have to be built
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
while kill -0 "$load" 2>/dev/null; do # a signal ended the wait, not loadtest
	code=0
	wait "$load" || code=$?
done
exit "$code"

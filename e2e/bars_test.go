//go:build !soak

package e2e

import "time"

// Values for a quick test run. `make soak` uses the larger values in bars_soak_test.go.

// slack is the factor by which a duration may exceed its limit, because the machine runs other
// tests at the same time.
const slack = 4

// goawayWrites is the number of writes that TestGoaway sends through edge, and again directly to
// the API server: a quarter each of POST, PUT, PATCH and DELETE.
const goawayWrites = 2_000

// rollings are the cases of TestRollingAPIServers: how often and how it restarts API servers.
var rollings = map[string]rolling{
	"asked to end": {period: time.Second, restarts: 2, body: 10_000, pause: 500 * time.Millisecond},
	"killed":       {period: time.Second, restarts: 2, body: 10_000, pause: 500 * time.Millisecond, kill: true},
}

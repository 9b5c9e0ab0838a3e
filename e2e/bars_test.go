//go:build !soak

package e2e

import "time"

// These are smaller values than those of `make soak` in bars_soak_test.go.

// slack is the factor by which a duration may exceed its limit, because the machine also runs other
// tests.
const slack = 4

// goawayWrites is the number of writes that TestGoaway makes on each path, a quarter for each
// method.
const goawayWrites = 2_000

// rollings are the cases of TestRollingAPIServers.
var rollings = map[string]rolling{
	"asked to end": {period: time.Second, restarts: 2},
	"killed":       {period: time.Second, restarts: 2, kill: true},
}

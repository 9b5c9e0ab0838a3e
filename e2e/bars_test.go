//go:build !soak

package e2e

import "time"

// What is less here than what `make soak` holds, in bars_soak_test.go.

// slack is by how much a duration may be longer here than its bar: this machine has other things to do.
const slack = 4

// goawayWrites is how many writes TestGoaway makes on each way, a quarter of each method.
const goawayWrites = 2_000

// rollings are the rows of TestRollingAPIServers.
var rollings = map[string]rolling{
	"asked to end": {period: time.Second, restarts: 2},
	"killed":       {period: time.Second, restarts: 2, kill: true},
}

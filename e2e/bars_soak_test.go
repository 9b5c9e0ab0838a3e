//go:build soak

package e2e

import "time"

const (
	slack        = 1
	goawayWrites = 10_000
)

var rollings = map[string]rolling{
	"asked to end": {period: 20 * time.Second, restarts: 9, body: goawayBody},
	"killed":       {period: 20 * time.Second, restarts: 9, body: goawayBody, kill: true},
}

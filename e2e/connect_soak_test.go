//go:build soak

package e2e

import (
	"testing"

	"edge/e2e/testbed/cluster"
)

// TestSoakConnect runs `edge connect` 500 times, one after the other, and checks that no file,
// process or listener is left behind.
func TestSoakConnect(t *testing.T) {
	leavesNothing(t, sites[cluster.New], 500)
}

//go:build soak

package e2e

import (
	"testing"

	"edge/e2e/testbed/cluster"
)

// TestSoakConnect is 500 runs of edge connect in a row.
func TestSoakConnect(t *testing.T) {
	leavesNothing(t, sites[cluster.New], 500)
}

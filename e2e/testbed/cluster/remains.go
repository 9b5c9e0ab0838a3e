package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"edge/e2e/testbed/run"
)

// RemoveRemains removes the cables and cgroups of a run. They can outlive the processes of the
// run's clusters.
func RemoveRemains(id string) error {
	// cgroups first, because removeCgroups waits until the processes in them have ended
	err := removeCgroups(id)
	for i := range maxClusters {
		cable := cableName(id, i)
		exists := func() bool {
			_, missing := os.Stat(filepath.Join("/sys/class/net", cable))
			return missing == nil
		}
		if !exists() {
			continue
		}
		// the kernel may remove the cable at the same time, because the node's namespace has ended
		if failed := run.IP(context.Background(), "link", "delete", cable); failed != nil && exists() {
			err = errors.Join(err, failed)
		}
	}
	return err
}

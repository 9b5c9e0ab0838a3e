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
		if _, missing := os.Stat(filepath.Join("/sys/class/net", cable)); missing == nil {
			err = errors.Join(err, run.IP(context.Background(), "link", "delete", cable))
		}
	}
	return err
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// RemoveRemains removes the bridges and cgroups of a run. They can outlive the processes of the
// run's clusters.
func RemoveRemains(id string) error {
	// cgroups first, because removeCgroups waits until the processes in them have ended
	err := removeCgroups(id)
	for i := range maxClusters {
		bridge := bridgeName(id, i)
		if _, missing := os.Stat(filepath.Join("/sys/class/net", bridge)); missing == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if said, derr := exec.CommandContext(ctx, "ip", "link", "delete", bridge).CombinedOutput(); derr != nil {
				err = errors.Join(err, fmt.Errorf("testbed: remove bridge: %w: %s", derr, said))
			}
			cancel()
		}
	}
	return err
}

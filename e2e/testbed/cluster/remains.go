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

// RemoveRemains removes what can outlive the processes of a run's clusters: bridges and cgroups.
func RemoveRemains(id string) error {
	err := removeCgroups(id) // first, because it waits until the processes in the cgroups have ended
	for i := range maxClusters {
		bridge := bridgeName(id, i)
		if _, err := os.Stat(filepath.Join("/sys/class/net", bridge)); err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if said, derr := exec.CommandContext(ctx, "ip", "link", "delete", bridge).CombinedOutput(); derr != nil {
				err = errors.Join(err, fmt.Errorf("testbed: remove bridge: %w: %s", derr, said))
			}
			cancel()
		}
	}
	return err
}

package monitoring

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"edge/e2e/testbed/run"
)

// Monitoring starts monitoring programs for one run of the testbed.
type Monitoring struct{ *run.Run }

// Promtool runs promtool, Prometheus' program that checks configurations and tests rules, and
// returns its output. promtool's exit code other than 0 is an error, which contains the output.
func (m *Monitoring) Promtool(ctx context.Context, args ...string) (string, error) {
	said, err := exec.CommandContext(ctx, m.Bin.Promtool, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("testbed: promtool %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return string(said), nil
}

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed"
)

// connectVersion is a kubectl that speaks only SPDY.
const connectVersion = "1.29"

// connected runs kubectl by `edge connect`, behind the load balancer, to its end.
func connected(ctx context.Context, t *testing.T, s *site, stdin string, args ...string) testbed.Result {
	t.Helper()
	argv := append([]string{"--", bed.Bin.Kubectl[connectVersion]}, args...)
	cmd, err := bed.Connect(ctx, s.kubeconfig(t, balanced, "alice"), nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return testbed.RunCommand(ctx, cmd, strings.NewReader(stdin))
}

// TestConnect: what a command by way of edge connect says and ends with is its own.
func TestConnect(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		r := connected(ctx, t, s, "from stdin\n", "exec", "-i", "shell", "--", "sh", "-c", "cat; echo to stderr >&2; exit 7")
		if err := want(r, 7, "from stdin\n"); err != nil {
			t.Error(err)
		}
		if r = connected(ctx, t, s, "", "get", "pod", "shell", "-o", "name"); want(r, 0, "pod/shell\n") != nil {
			t.Error(want(r, 0, "pod/shell\n"))
		}
	})
}

// TestConnectLeavesNothing runs edge connect many times in a row.
func TestConnectLeavesNothing(t *testing.T) {
	s := sites[testbed.New]
	home := t.TempDir()
	const runs = 20
	for i := range runs {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd, err := bed.Connect(ctx, s.kubeconfig(t, balanced, "alice"), []string{"XDG_RUNTIME_DIR=" + home}, "--",
			bed.Bin.Kubectl[connectVersion], "exec", "shell", "--", "sh", "-c", fmt.Sprintf("exit %d", i%3))
		if err != nil {
			t.Fatal(err)
		}
		r := testbed.RunCommand(ctx, cmd, nil)
		cancel()
		if err := want(r, i%3, ""); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(home, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

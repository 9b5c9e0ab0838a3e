package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// startSleeper starts an exec of a process that only sleeps, with the client of the dialect d. It
// returns the running client and the process id inside the pod.
func startSleeper(ctx context.Context, t *testing.T, s *site, d dialect) (*lines, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w, err := watchLines(d.exec(ctx, t, s, "alice", cluster.Namespace, "echo $$; exec sleep 600"), cancel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	pid, err := w.next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w, strings.TrimSpace(pid)
}

// waitCode returns the client's exit code, or -1 if the client does not end within three minutes
// (the constant patience).
func waitCode(w *lines) int {
	timer := time.AfterFunc(patience, w.cancel)
	defer timer.Stop()
	for range w.c {
	}
	return w.wait()
}

// TestProcessKilled checks the exit code of a client whose process in the pod is killed. The code
// must be 137, as a shell returns it.
func TestProcessKilled(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		file, err := bed.Kubeconfig(s.cluster.AdminAccess())
		if err != nil {
			t.Fatal(err)
		}
		admin := bed.Kubectl("1.35", file) // directly at the API server, not through edge
		for _, d := range dialects {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				w, pid := startSleeper(t.Context(), t, s, d)
				if r := admin.Run(t.Context(), "exec", "shell", "--", "kill", "-9", pid); r.Code != 0 {
					t.Fatalf("kill %s: %s", pid, r.Stderr)
				}
				if code := waitCode(w); code != 137 {
					t.Errorf("exit code %d, want 137; %s", code, w.stderr.String())
				}
			})
		}
	})
}

// TestAPIServerKilled checks clients in all dialects when the API server is killed during their
// sessions. No client may report success. The test uses its own API server.
func TestAPIServerKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	apiServer := startReplica(t, sites[cluster.Old].cluster)
	s, err := frontFor(ctx, sites[cluster.Old].cluster, apiServer.Access)
	if err != nil {
		t.Fatal(err)
	}
	sessions := make([]*lines, len(dialects))
	for i, d := range dialects {
		sessions[i], _ = startSleeper(ctx, t, s, d)
	}
	apiServer.Kill()
	var wg sync.WaitGroup
	for i, d := range dialects {
		wg.Go(func() {
			if code := waitCode(sessions[i]); code == 0 || code == -1 {
				t.Errorf("%s: exit code %d; %s", d.name, code, sessions[i].stderr.String())
			}
		})
	}
	wg.Wait()
	// edge itself must still run: when the API server is back, edge must serve requests again.
	if err := apiServer.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := want(dialects[0].run(ctx, t, s, "alice", cluster.Namespace, "echo back"), 0, "back\n"); err != nil {
		t.Error(err)
	}
}

// TestRefusedStreamsHarmNobody checks that edge does not reuse a connection that the API server
// closes after it has refused an upgrade. Otherwise the next request would fail as if the API
// server were down.
func TestRefusedStreamsHarmNobody(t *testing.T) {
	t.Parallel()
	edge := startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: idp})
	to := edge.Access(tokens["alice"])
	// if edge reused a connection that the API server is closing, about 1 request in 80 would fail
	const rounds = 300
	for range rounds {
		// The API server answers 406 to an upgrade that accepts only JSON, and closes the
		// connection a moment later.
		if a := raw(t.Context(), t, to, "GET", execURI, append(askWebSocket("v5.channel.k8s.io"), askJSON)...); a.code != 406 {
			t.Fatalf("%v, want the API server's own 406", a)
		}
	}
}

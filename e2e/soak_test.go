//go:build soak

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// These tests take long, so they run only in `make soak`. They run sessions through edge and
// directly at the API server, in a few dialects that represent the others.

const (
	soakBytes = 2 << 30
	// how long a client stops reading: just longer than the silence of 60 s after which client-go
	// closes a connection
	soakStall   = 61 * time.Second
	soakSilence = 5 * time.Minute // five times the load balancer's idle timeout
)

func init() { atEnd = printSoak } //nolint:gochecknoinits // only a build with the tag soak has the table

// soakTable collects the results of the long tests. It has one row per session.
var soakTable struct {
	sync.Mutex
	rows []soakRow
}

type soakRow struct{ cluster, what, dialect, way, result string }

// soak runs one session (the function run) as a subtest and adds its result to soakTable.
func soak(t *testing.T, s *site, what, dialect, way string, run func(context.Context) error) {
	t.Run(fmt.Sprintf("%s/%s/%s", what, dialect, way), func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		start := time.Now()
		err := run(ctx)
		note(t, s, what, dialect, way, err, time.Since(start))
	})
}

// note adds a row to soakTable: the duration of each run, or the error.
func note(t *testing.T, s *site, what, dialect, way string, err error, took ...time.Duration) {
	result := "ok"
	for _, one := range took {
		result += fmt.Sprintf(", %.0f s", one.Seconds())
	}
	if err != nil {
		t.Error(err)
		result = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	soakTable.Lock()
	defer soakTable.Unlock()
	soakTable.rows = append(soakTable.rows, soakRow{string(s.cluster.Kind), what, dialect, way, result})
}

// printSoak prints soakTable after all tests.
func printSoak() {
	if len(soakTable.rows) == 0 {
		return
	}
	slices.SortFunc(soakTable.rows, func(a, b soakRow) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.dialect, b.dialect), cmp.Compare(a.way, b.way))
	})
	fmt.Print("\n| what | cluster | dialect | way | result |\n|---|---|---|---|---|\n")
	for _, r := range soakTable.rows {
		fmt.Printf("| %s | %s | %s | %s | %.300s |\n", r.what, r.cluster, r.dialect, r.way, r.result)
	}
}

// ways returns the servers and credentials with which a dialect is tested: edge and, if the API
// server supports the dialect, the API server itself.
func (s *site) ways(t *testing.T, d rawclient.Dialect) map[string]cluster.Access {
	ways := map[string]cluster.Access{"edge": s.access(direct, tokens["alice"])}
	if spokenBy(s.cluster.Kind, d).Name == d.Name {
		ways["API server"] = s.ownAccess(t, "alice", "dev")
	}
	return ways
}

// TestSoakStdin checks an exec through edge whose client sends 2 GiB to stdin. The command prints
// the hash of what it receives.
func TestSoakStdin(t *testing.T) {
	t.Parallel()
	// only one session at a time holds the slot of this channel, because sending 2 GiB keeps all
	// cores busy
	turn := make(chan struct{}, 1)
	forEachSoakSite(t, func(t *testing.T, s *site) {
		for _, name := range []string{"websocket v5", "spdy v4"} {
			d := rawclient.ByName(rawclient.Execs, name)
			soak(t, s, "2 GiB of stdin", name, "edge", func(ctx context.Context) error {
				select {
				case turn <- struct{}{}:
					defer func() { <-turn }()
				case <-ctx.Done():
					return ctx.Err()
				}
				sc := sends("2 GiB", size(soakBytes))
				o, err := sc.run(ctx, attempt{d: d, site: s, to: s.access(direct, tokens["alice"])})
				if err == nil {
					err = sc.check(d, o)
				}
				return err
			})
		}
	})
}

// forEachSoakSite runs a test against both clusters, like forEachSite. The test must have called
// t.Parallel itself.
func forEachSoakSite(t *testing.T, test func(t *testing.T, s *site)) {
	for kind, s := range sites {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// stallOutputs are sizes of a command's output. In the middle of the output, the client stops
// reading for a while. The smaller output fits into the buffers on the path, so the command ends
// before the client reads on. The larger output does not fit.
var stallOutputs = []int64{16 << 20, 256 << 20}

// TestSoakStall checks clients that stop reading for 61 s in the middle of a command's output and
// then read the rest.
func TestSoakStall(t *testing.T) {
	t.Parallel()
	forEachSoakSite(t, func(t *testing.T, s *site) {
		for _, output := range stallOutputs {
			what := fmt.Sprintf("61 s stall in %d MiB of output", output>>20)
			for _, name := range []string{"websocket v4", "websocket v5", "spdy v4"} {
				d := rawclient.ByName(rawclient.Execs, name)
				for way, to := range s.ways(t, d) {
					soak(t, s, what, name, way, func(ctx context.Context) error { return stalled(ctx, d, to, output, 0) })
				}
			}
			// A client that sends pings, such as client-go, can lose the end of the output, also at
			// the API server. A server that has closed the connection answers a ping with a reset,
			// which overtakes the data in flight. edge must not be worse than the API server.
			soak(t, s, what, "spdy v4 that pings", "both", func(ctx context.Context) error {
				var own, edge error
				var both sync.WaitGroup
				d := rawclient.ByName(rawclient.Execs, "spdy v4")
				both.Go(func() { own = stalled(ctx, d, s.ownAccess(t, "alice", "dev"), output, 5*time.Second) })
				both.Go(func() { edge = stalled(ctx, d, s.access(direct, tokens["alice"]), output, 5*time.Second) })
				both.Wait()
				t.Logf("the API server itself: %v, through edge: %v", own == nil, edge == nil)
				if own == nil {
					return edge
				}
				return nil
			})
		}
		if s.cluster.Kind != cluster.New {
			return
		}
		// client-go with WebSocket v5 can lose output for reasons of its own, which no server can
		// change. edge must not be worse than the API server.
		output := stallOutputs[1]
		soak(t, s, fmt.Sprintf("61 s stall in %d MiB of output", output>>20), "client-go v5", "both", func(ctx context.Context) error {
			var own, edge int64
			var ownErr, edgeErr error
			var both sync.WaitGroup
			both.Go(func() { own, ownErr = stalledClientGo(ctx, s.ownAccess(t, "alice", "dev"), output) })
			both.Go(func() { edge, edgeErr = stalledClientGo(ctx, s.access(direct, tokens["alice"]), output) })
			both.Wait()
			if (ownErr == nil) != (edgeErr == nil) || (own == output) != (edge == output) {
				return fmt.Errorf("API server: %d bytes, %v; edge: %d bytes, %v", own, ownErr, edge, edgeErr)
			}
			return nil
		})
	})
}

// stalled runs a command and stops reading for 61 s in the middle of its output. It checks the
// output's size and the exit code.
func stalled(ctx context.Context, d rawclient.Dialect, to cluster.Access, output int64, ping time.Duration) error {
	script := fmt.Sprintf("head -c %d /dev/zero; exit 7", output)
	o, err := d.Exec(ctx, to, rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", script}, StallAfter: output / 2, Stall: soakStall, Ping: ping,
	})
	if err == nil && (o.Stdout.Bytes != output || o.OK() || o.Close == 1006) {
		err = fmt.Errorf("%v", o)
	}
	return err
}

// stalledClientGo reads a command's output with client-go, whose writer stops once for 61 s. It
// returns the number of bytes that it received.
func stalledClientGo(ctx context.Context, to cluster.Access, output int64) (int64, error) {
	config := &rest.Config{
		Host: to.Server, BearerToken: to.Token,
		TLSClientConfig: rest.TLSClientConfig{CAData: to.CA, CertData: to.Client.Cert, KeyData: to.Client.Key},
	}
	e := rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", fmt.Sprintf("head -c %d /dev/zero", output)}}
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", to.Server+e.URI())
	if err != nil {
		return 0, err
	}
	w := &stallingWriter{at: output / 2, ctx: ctx}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: w, Stderr: w})
	return w.n, err
}

type stallingWriter struct {
	n, at   int64
	stalled bool
	// the context of the StreamWithContext call; when it ends, the writer stops its pause
	ctx context.Context
}

func (w *stallingWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	if w.n >= w.at && !w.stalled {
		w.stalled = true
		select {
		case <-time.After(soakStall):
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
	return len(p), nil
}

// TestSoakSilence checks sessions without traffic for five times the load balancer's idle timeout.
// The clients never send pings.
func TestSoakSilence(t *testing.T) {
	t.Parallel()
	forEachSoakSite(t, func(t *testing.T, s *site) {
		to := s.access(balanced, tokens["alice"])
		for _, d := range rawclient.Execs {
			if d.SPDY {
				continue // the load balancer does not support SPDY
			}
			soak(t, s, "5 silent minutes", "exec, "+d.Name, "load balancer", func(ctx context.Context) error {
				script := fmt.Sprintf("sleep %d; echo still here", int(soakSilence.Seconds()))
				o, err := d.Exec(ctx, to, rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", script}})
				if err == nil && (o.Stdout.Head != "still here\n" || !o.OK() || o.Close != 1000) {
					err = fmt.Errorf("%v", o)
				}
				return err
			})
		}
		for _, d := range rawclient.Forwards {
			if d.SPDY && !d.Tunnel {
				continue
			}
			soak(t, s, "5 silent minutes", "port-forward, "+d.Name, "load balancer", func(ctx context.Context) error {
				_, err := d.Forward(ctx, to, rawclient.Forward{Pod: "shell", Ports: []int{echoPort}, Do: func(_ int, c *rawclient.Connection) error {
					if _, err := c.Write([]byte("before")); err != nil {
						return err
					}
					if err := c.Await(6); err != nil {
						return err
					}
					select {
					case <-time.After(soakSilence):
					case <-ctx.Done():
						return ctx.Err()
					}
					if _, err := c.Write([]byte("after")); err != nil {
						return err
					}
					if err := c.Await(11); err != nil {
						return errors.Join(errors.New("after the silence"), err)
					}
					return nil
				}})
				return err
			})
		}
	})
}

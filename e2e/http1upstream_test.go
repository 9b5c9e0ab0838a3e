package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/network"
)

const (
	http1Workers = 20
	http1GETs    = 1000
	// http1Most is the largest accepted number of connections for http1GETs requests: one per
	// worker, and some for requests that edge sends on its own.
	http1Most = http1Workers + 10
)

// startHTTP1 starts a load balancer without HTTP/2 in front of the API server, an edge that uses
// the load balancer as its upstream, and a relay between the two that counts edge's connections.
func startHTTP1(t *testing.T, idle time.Duration) (*site, *network.SilentRelay, *testbed.Edge) {
	t.Helper()
	s := badDays(t)
	upstream, err := bed.StartHTTP1Balancer(t.Context(), s.cluster, idle)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := bed.StartSilentRelay(host(upstream))
	if err != nil {
		t.Fatal(err)
	}
	return s, relay, startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: relay.Through(upstream)})
}

// TestHTTP1Upstream checks that edge reuses its connections if its upstream is a load balancer
// without HTTP/2.
func TestHTTP1Upstream(t *testing.T) {
	t.Parallel()
	_, relay, edge := startHTTP1(t, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before := relay.Accepted()
	var left atomic.Int64
	left.Store(http1GETs)
	var workers sync.WaitGroup
	var wrong faults
	for range http1Workers {
		h := newHand(t, edge.Access(tokens["alice"]))
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if r := h.do(ctx, http.MethodGet, badMaps+"?limit=1", nil); r.err != nil || r.code != 200 {
					wrong.add("a GET failed", r)
				}
			}
		})
	}
	workers.Wait()
	wrong.report(t, nil)
	n := relay.Accepted() - before
	t.Logf("%d GETs by %d workers made %d connections", http1GETs, http1Workers, n)
	if n > http1Most {
		t.Errorf("%d connections, want %d at most", n, http1Most)
	}
}

// TestHTTP1UpstreamClosesIdle checks GETs while the load balancer in front of the API server closes
// idle connections. No GET may fail, also if it arrives at the moment when its connection is
// closed.
func TestHTTP1UpstreamClosesIdle(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	const rounds = 30
	_, relay, edge := startHTTP1(t, idle)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before := relay.Accepted()
	var workers sync.WaitGroup
	var wrong faults
	for range http1Workers {
		h := newHand(t, edge.Access(tokens["alice"]))
		workers.Go(func() {
			// the pauses between requests grow from 80% to 120% of the load balancer's idle timeout
			for round := range rounds {
				if r := h.do(ctx, http.MethodGet, badMaps+"?limit=1", nil); r.err != nil || r.code != 200 {
					wrong.add("a GET failed", r)
				}
				pause(ctx, idle*8/10+time.Duration(round)*idle*4/10/rounds)
			}
		})
	}
	workers.Wait()
	wrong.report(t, nil)
	t.Logf("%d GETs, %d connections; %v", rounds*http1Workers, relay.Accepted()-before, &wrong)
}

// TestKeptConnectionCloses checks requests of every method if the upstream has closed the
// connection that edge kept for them. No request may fail, because edge has written none on that
// connection. A client's Idempotency-Key must not make edge send a request twice.
func TestKeptConnectionCloses(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (*site, *network.SilentRelay, *testbed.Edge){
		"HTTP/1.1": func(t *testing.T) (*site, *network.SilentRelay, *testbed.Edge) { return startHTTP1(t, time.Minute) },
		"HTTP/2": func(t *testing.T) (*site, *network.SilentRelay, *testbed.Edge) {
			d := startDeadWay(t.Context(), t)
			return d.s, d.relay, d.edge
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, relay, edge := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			w := newWriters(t, "kept", edge.Access(tokens["alice"]))
			h := newHand(t, w.to)
			for n := range 25 {
				if err := relay.HangUp(ctx); err != nil {
					t.Fatal(err)
				}
				w.cycle(ctx, h, n)
			}
			w.failed.report(t, nil)
			w.checkOnce(s.cluster)
		})
	}
}

// TestIdempotencyKeyRepeatsNothing checks a POST whose upstream connection dies after edge has
// written the POST. edge must not send the POST again, even with an Idempotency-Key from the
// client, because the API server does not support such keys.
func TestIdempotencyKeyRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (*site, *network.SilentRelay, *testbed.Edge){
		"HTTP/1.1": func(t *testing.T) (*site, *network.SilentRelay, *testbed.Edge) { return startHTTP1(t, time.Minute) },
		"HTTP/2": func(t *testing.T) (*site, *network.SilentRelay, *testbed.Edge) {
			d := startDeadWay(t.Context(), t)
			return d.s, d.relay, d.edge
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, relay, edge := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			w := newWriters(t, "keyed", edge.Access(tokens["alice"]))
			h := newHand(t, w.to)
			told, wrong := 0, faults{}
			for n := range 10 {
				// edge opens a connection for this GET, and keeps it for the POST
				if r := h.do(ctx, http.MethodGet, badMaps+"?limit=1", nil); r.err != nil || r.code != 200 {
					t.Fatal(r)
				}
				name := fmt.Sprintf("%s-%d", w.label, n)
				header := []string{"Idempotency-Key", "X-Idempotency-Key"}[n%2] + ": " + name
				relay.HoldAnswers()
				reply := make(chan reply, 1)
				go func() { reply <- h.do(ctx, http.MethodPost, badMaps, object(name, "0", n*20_000, ""), header) }()
				eventually(ctx, t, patience, "the POST arrives", func(context.Context) error {
					done, err := wasDone(ctx, s, write{method: http.MethodPost, name: name})
					if err == nil && !done {
						err = errors.New("not yet")
					}
					return err
				})
				relay.Cut()
				r := <-reply
				if r.says(http.StatusBadGateway, maybeDone) || r.says(http.StatusGatewayTimeout, maybeDone) {
					told++
				} else if r.err != nil || r.code != http.StatusCreated {
					// edge sent the POST on a connection that the relay did not cut, so it must
					// succeed
					wrong.add("a POST failed without the message that it "+maybeDone, r)
				}
			}
			wrong.report(t, nil)
			if told == 0 {
				t.Error("no POST was in flight on a connection that died")
			}
			w.checkOnce(s.cluster)
		})
	}
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// rolling describes one rolling restart of the API servers in TestRollingAPIServers.
type rolling struct {
	period   time.Duration // time between the restarts of two API servers
	restarts int
	body     int // size in bytes of the largest body of a write
	// the pause between two ConfigMaps of each of the 20 clients; without a pause, they keep all cores
	// busy
	pause time.Duration
	kill  bool // true: kill the API server, as in a crash; false: send SIGTERM
}

// stopGrace is how long the test waits for the graceful shutdown of an API server, which itself
// waits for its requests for at most one minute.
const stopGrace = 90 * time.Second

// TestRollingAPIServers restarts the two API servers behind a TCP load balancer one after the
// other, while clients write. Only writes that are in flight on the stopping API server may fail.
// The response must tell the client whether the write may have been done.
func TestRollingAPIServers(t *testing.T) {
	t.Parallel()
	for name, r := range rollings {
		t.Run(name, func(t *testing.T) { r.test(t) })
	}
}

func (r rolling) test(t *testing.T) {
	s := badDays(t)
	heavy <- struct{}{}
	defer func() { <-heavy }()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+time.Duration(r.restarts)*(r.period+time.Minute))
	defer cancel()
	var replicas []*cluster.Replica
	for range 2 {
		// the API server waits three seconds before it stops, so that the load balancer notices the
		// shutdown in time
		replicas = append(replicas, startReplica(t, s.cluster, "--shutdown-delay-duration=3s"))
	}
	upstream, err := bed.StartTCPBalancer(ctx, replicas...)
	if err != nil {
		t.Fatal(err)
	}
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: upstream})

	told := &told{kill: r.kill}
	w := newWriters(t, "rolling", edge.Access(tokens["alice"]))
	w.excuse, w.pause, w.most = told.excuse(s), r.pause, r.body
	writing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { w.run(writing, 1<<30) })
	running.Go(func() { told.ask(writing, t, edge.Access(tokens["alice"])) })
	for i := range r.restarts {
		pause(ctx, r.period)
		one := replicas[i%len(replicas)]
		before := w.done.Load()
		if r.kill {
			one.Kill()
		} else {
			one.Stop(stopGrace)
		}
		if err := one.Start(ctx); err != nil {
			t.Fatal(err)
		}
		// The load balancer must use the restarted API server before the other one stops. Otherwise
		// it would have no backend for a moment.
		eventually(ctx, t, patience, "writes after a restart", func(context.Context) error {
			if n := w.done.Load() - before; n < enough {
				return fmt.Errorf("%d so far", n)
			}
			return nil
		})
		pause(ctx, 3*time.Second)
	}
	stop()
	running.Wait()
	t.Logf("%d restarts: %d writes done; %v", r.restarts, w.done.Load(), told)
	w.failed.report(t, nil)
	if n, most := told.count(), r.restarts*goawayWorkers; n > most {
		t.Errorf("%d requests failed, more than the %d that can have been in flight", n, most)
	}
	w.checkOnce(s.cluster)
}

// told counts requests that clients send through edge, by the outcome that the responses report.
type told struct {
	kill   bool
	mu     sync.Mutex
	broken int // number of GETs whose response ended before it was complete
	// number of writes whose clients were told that they may have been done, and number of these
	// writes that were done
	maybe, maybeDone int
	not              int // writes whose client was told that nothing was done
	busy             int // requests that the API server itself refused with Retry-After
	read, unread     int // number of GETs that succeeded, and of GETs that failed
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprintf("told \"may have been done\": %d, of which %d were done; "+
		"told \"nothing was done\": %d; refused by the API server itself: %d; %d GETs, of which %d failed", o.maybe, o.maybeDone, o.not, o.busy, o.read+o.unread, o.unread)
}

func (o *told) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.maybe + o.not
}

// excuse returns a function for writers.excuse: a write may fail if the response tells the client
// whether the write may have been done, and if that is true.
func (o *told) excuse(s *site) func(context.Context, *writers, write, reply) error {
	return func(ctx context.Context, w *writers, one write, r reply) error {
		switch {
		case r.says(http.StatusGatewayTimeout, maybeDone) || r.says(http.StatusBadGateway, maybeDone):
		case r.says(http.StatusServiceUnavailable, notDone) && r.header.Get("Retry-After") != "":
		case r.isBusy():
			o.mu.Lock()
			o.busy++
			o.mu.Unlock()
			return nil
		// the response began but ended before it was complete, which the client notices
		case r.err != nil && r.code != 0:
		case r.err != nil:
			return errors.New("an error without a response")
		default:
			return fmt.Errorf("code %d without a statement whether the write was done", r.code)
		}
		done, err := wasDone(ctx, s, one)
		if err != nil {
			return err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if r.code == http.StatusServiceUnavailable {
			o.not++
			if done {
				return errors.New("the client was told that nothing was done, but the write was done")
			}
			return nil
		}
		o.maybe++
		if done {
			o.maybeDone++
		}
		return nil
	}
}

// isBusy reports whether the API server itself refused the request with Retry-After, as a server
// does while it shuts down.
func (r reply) isBusy() bool {
	return r.err == nil && r.header.Get("Retry-After") != "" && (r.code == http.StatusTooManyRequests || r.code == http.StatusServiceUnavailable) &&
		r.status().Kind == "Status" && !strings.HasPrefix(r.status().Message, "edge: ")
}

// wasDone checks whether a write was done. It uses an API server that the test does not restart.
func wasDone(ctx context.Context, s *site, one write) (bool, error) {
	list, err := s.cluster.Client.CoreV1().ConfigMaps(badNamespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + one.name})
	if err != nil {
		return false, fmt.Errorf("check whether the write was done: %w", err)
	}
	if len(list.Items) == 0 {
		return one.method == http.MethodDelete, nil
	}
	return one.method != http.MethodDelete && list.Items[0].Data["n"] != one.from, nil
}

// ask sends GETs until ctx ends. A GET may fail only with the API server's own refusal, because
// edge can send a GET again.
func (o *told) ask(ctx context.Context, t *testing.T, to cluster.Access) {
	h := newHand(t, to)
	for pause(ctx, 20*time.Millisecond) {
		r := h.do(ctx, http.MethodGet, badMaps+"?limit=1", nil)
		if ctx.Err() != nil {
			return
		}
		o.mu.Lock()
		if r.err == nil && r.code == http.StatusOK {
			o.read++
		} else if r.isBusy() {
			o.busy++
		} else if o.kill && r.err != nil {
			// the killed API server broke off a response that had begun; before a response has
			// begun, edge answers with a Status
			o.broken++
		} else if o.unread++; o.unread <= mostFailures {
			t.Errorf("a GET: %v", r)
		}
		o.mu.Unlock()
	}
}

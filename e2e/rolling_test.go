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

// rolling describes a rolling restart.
type rolling struct {
	period   time.Duration // time between two restarts
	restarts int
	kill     bool // kill the API server, as a crash does; false: SIGTERM
}

// stopGrace is the timeout of a graceful shutdown. The API server waits for requests for at most
// one minute.
const stopGrace = 90 * time.Second

// TestRollingAPIServers restarts the two API servers behind a TCP load balancer in turn while
// clients write. Only requests in flight on the stopping server may fail, and each client must
// learn whether the write may have been done.
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
		one, err := s.cluster.StartReplica(ctx, "--shutdown-delay-duration=3s") // time for the load balancer to notice the shutdown
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(one.Kill)
		replicas = append(replicas, one)
	}
	upstream, err := bed.StartTCPBalancer(ctx, replicas...)
	if err != nil {
		t.Fatal(err)
	}
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: upstream})

	told := &told{kill: r.kill}
	w := newWriters(t, "rolling", edge.Access(tokens["alice"]))
	w.excuse = told.excuse(s)
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
		// The load balancer must use the restarted server before the other one stops; otherwise it
		// would have no backend.
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
	w.checkOnce(ctx, s.cluster)
}

// told counts the failed requests by what their clients were told.
type told struct {
	kill             bool
	mu               sync.Mutex
	broken           int // GETs whose response broke off
	maybe, maybeDone int // "may have been done", and how many of those were done
	not              int // "nothing was done"
	busy             int // refused by the API server itself with Retry-After
	read, unread     int // GETs that succeeded, and GETs that failed
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

// excuse returns a check for writers: a write may fail if the client was told what happened and
// this is true.
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
		case r.err != nil && r.code != 0: // the response had begun and broke off; the client notices that it is incomplete
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

// isBusy reports whether the API server itself refused a request with Retry-After, as a server does
// that shuts down.
func (r reply) isBusy() bool {
	return r.err == nil && r.header.Get("Retry-After") != "" && (r.code == http.StatusTooManyRequests || r.code == http.StatusServiceUnavailable) &&
		r.status().Kind == "Status" && !strings.HasPrefix(r.status().Message, "edge: ")
}

// wasDone asks an API server that is not restarted whether a write was done.
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

// ask sends GETs. They may fail only with the API server's own refusal, because edge can repeat a
// GET.
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
		} else if o.kill && r.err != nil { // the response had begun and broke off; otherwise edge sends a Status
			o.broken++
		} else if o.unread++; o.unread <= mostFailures {
			t.Errorf("a GET: %v", r)
		}
		o.mu.Unlock()
	}
}

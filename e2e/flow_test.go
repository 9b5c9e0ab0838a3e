package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/e2e/testbed"
)

// flow sends requests of several users without pause, while the users' tokens change. No request
// may fail.
type flow struct {
	t    *testing.T
	edge *testbed.Edge

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	// number of requests that edge answered with status code 200; key: the name under which the
	// requests are counted (see signed), value: an *atomic.Int64
	answered sync.Map
	// set of names under which requests are counted (see signed); requests with these names may
	// fail
	excused sync.Map
	failed  atomic.Int64
}

// signed is a token, and the name (of a user or a key) under which its requests are counted.
type signed struct{ token, by string }

const (
	flowWorkers = 4   // goroutines per user
	enough      = 200 // number of successful requests for which each phase of a test waits
	// how often a user gets a new token; tokens that are issued in the same second are equal
	renewPeriod  = time.Second
	mostFailures = 5        // the test stops all requests after this number of failed requests
	phaseLimit   = patience // timeout of one phase of a test, which normally takes seconds
)

// startFlow returns a flow, a sender of continuous requests, that has no users yet. The flow ends
// with the test at the latest.
func startFlow(t *testing.T, edge *testbed.Edge) *flow {
	f := &flow{t: t, edge: edge}
	f.ctx, f.cancel = context.WithCancel(t.Context())
	t.Cleanup(f.stop)
	return f
}

// stop ends the requests of all users and returns when no request is in flight.
func (f *flow) stop() {
	f.cancel()
	f.running.Wait()
}

// add starts the requests of one more user. The function renew returns the user's next token.
func (f *flow) add(renew func(context.Context) (signed, error)) {
	f.t.Helper()
	var newest atomic.Pointer[signed]
	first, err := renew(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	newest.Store(&first)
	f.running.Go(func() {
		for pause(f.ctx, renewPeriod) {
			next, err := renew(f.ctx)
			if err != nil {
				if f.ctx.Err() == nil {
					f.t.Errorf("cannot get a new token: %v", err)
				}
				return
			}
			newest.Store(&next)
		}
	})
	for range flowWorkers {
		c := newCaller(f.t, f.edge.Access(""))
		f.running.Go(func() {
			for f.ctx.Err() == nil && f.failed.Load() < mostFailures {
				f.ask(c, *newest.Load())
			}
		})
	}
}

func (f *flow) ask(c *caller, s signed) {
	code, body, err := c.get(f.ctx, podsURI+"?limit=1", s.token)
	if f.ctx.Err() != nil {
		return
	}
	if err == nil && code == http.StatusOK {
		f.count(s.by).Add(1)
		return
	}
	if _, excused := f.excused.Load(s.by); !excused {
		f.failed.Add(1)
		f.t.Errorf("%s's token: %d %.300s, %v", s.by, code, body, err)
	}
}

// excuse allows the requests of one user or key to fail from now on. The parameter by is the name
// under which these requests are counted.
func (f *flow) excuse(by string) { f.excused.Store(by, nil) }

// await returns when edge has answered 200 more requests (the constant enough) with status code 200
// for each user or key. The parameter by contains the names under which requests are counted.
func (f *flow) await(by ...string) {
	f.t.Helper()
	for _, by := range by {
		before := f.count(by).Load()
		eventually(f.ctx, f.t, phaseLimit, "requests of "+by, func(context.Context) error {
			if f.failed.Load() != 0 {
				f.t.FailNow()
			}
			if n := f.count(by).Load() - before; n < enough {
				return fmt.Errorf("%d so far", n)
			}
			return nil
		})
	}
}

func (f *flow) count(by string) *atomic.Int64 {
	n, _ := f.answered.LoadOrStore(by, new(atomic.Int64))
	return n.(*atomic.Int64)
}

// pause waits for the time d. It returns false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

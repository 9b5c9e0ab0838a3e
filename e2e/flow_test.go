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

// flow is requests without pause of users whose tokens change all the time. None may fail.
type flow struct {
	t    *testing.T
	edge *testbed.Edge

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	answered sync.Map // by signed.by: *atomic.Int64, requests that were answered with 200
	excused  sync.Map // by signed.by: may fail by now
	failed   atomic.Int64
}

// signed is a token, and by whom or by which key it is signed: what is counted apart.
type signed struct{ token, by string }

const (
	flowWorkers  = 4           // of each user
	enough       = 200         // requests that a phase of a test needs at least
	renewPeriod  = time.Second // a token of a later second is another token
	mostFailures = 5           // that are shown
	phaseLimit   = patience    // for what takes seconds
)

// startFlow returns a flow of nobody. It ends with the test, if it was not stopped before.
func startFlow(t *testing.T, edge *testbed.Edge) *flow {
	f := &flow{t: t, edge: edge}
	f.ctx, f.cancel = context.WithCancel(t.Context())
	t.Cleanup(f.stop)
	return f
}

// stop returns when no request is under way.
func (f *flow) stop() {
	f.cancel()
	f.running.Wait()
}

// add lets requests of one more user flow, whose tokens renew gives.
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
					f.t.Errorf("a new token: %v", err)
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

// excuse lets requests fail from now on whose tokens are signed by this.
func (f *flow) excuse(by string) { f.excused.Store(by, nil) }

// await returns when enough further requests were answered whose tokens are signed by these.
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

// pause waits and says whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

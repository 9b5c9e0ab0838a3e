package authn

import (
	"context"
	"log/slog"
	"sync"
)

// keyRefreshers are the goroutines that keep keys new, one per key source. They belong to [Authenticator.Run].
type keyRefreshers struct {
	schedule fetchSchedule
	log      *slog.Logger
	running  map[*keySource]context.CancelFunc
	wg       sync.WaitGroup
}

// start begins with those key sources of a rule set that nobody refreshes yet.
func (k *keyRefreshers) start(ctx context.Context, rules *ruleSet) {
	for _, i := range rules.issuers {
		s := i.source
		if _, ok := k.running[s]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		k.running[s] = cancel
		s.ring.begin() // now, not when the goroutine comes to it
		k.wg.Go(func() { s.run(ctx, k.schedule, k.log) })
	}
}

func (k *keyRefreshers) stop(gone func(*keySource) bool) {
	for s, cancel := range k.running {
		if gone(s) {
			cancel()
			delete(k.running, s)
		}
	}
}

// wait stops all and returns when they have ended.
func (k *keyRefreshers) wait() {
	k.stop(func(*keySource) bool { return true })
	k.wg.Wait()
}

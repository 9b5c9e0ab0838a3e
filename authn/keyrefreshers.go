package authn

import (
	"context"
	"log/slog"
	"sync"
)

// keyRefreshers are the goroutines that fetch and renew keys, one for each key source.
// [Authenticator.Run] owns them.
type keyRefreshers struct {
	schedule fetchSchedule
	log      *slog.Logger
	running  map[*keySource]context.CancelFunc
	wg       sync.WaitGroup
}

// start starts a goroutine for each key source of a rule set that has none yet.
func (k *keyRefreshers) start(ctx context.Context, rules *ruleSet) {
	for _, i := range rules.issuers {
		s := i.source
		if _, ok := k.running[s]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		k.running[s] = cancel
		// Call begin here and not in the goroutine, so that a request that comes first waits for
		// this fetch.
		s.ring.begin()
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

// wait stops all goroutines and returns when they have ended.
func (k *keyRefreshers) wait() {
	k.stop(func(*keySource) bool { return true })
	k.wg.Wait()
}

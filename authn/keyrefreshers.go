package authn

import (
	"context"
	"log/slog"
	"sync"
)

// keyRefreshers are the goroutines that fetch and renew issuers' keys, one goroutine for each
// issuer's keySource. [Authenticator.Run] owns them.
type keyRefreshers struct {
	schedule fetchSchedule
	log      *slog.Logger
	running  map[*keySource]context.CancelFunc
	wg       sync.WaitGroup
}

// start starts a goroutine that fetches keys for each issuer of rules, unless that issuer's
// goroutine is already running.
func (k *keyRefreshers) start(ctx context.Context, rules *ruleSet) {
	for _, i := range rules.issuers {
		s := i.source
		if _, ok := k.running[s]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		k.running[s] = cancel
		// Call begin here and not in the goroutine, so that a request waits for this fetch of keys
		// even if the request arrives before the goroutine runs.
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

// wait stops all goroutines that fetch keys, and returns when they have ended.
func (k *keyRefreshers) wait() {
	k.stop(func(*keySource) bool { return true })
	k.wg.Wait()
}

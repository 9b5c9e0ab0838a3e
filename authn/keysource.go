package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// keySource keeps the keys of one issuer up to date. Only the goroutine that calls run fetches
// keys. All other methods are safe for concurrent use.
type keySource struct {
	keyOrigin
	ring *keyRing
	now  func() time.Time

	mu    sync.Mutex
	err   error     // error of the newest fetch of keys; nil: it succeeded
	since time.Time // when fetching of keys began to fail; meaningless while the field err is nil
	stats fetchStats
}

// fetchStats are what metrics report about the fetches of an issuer's keys.
type fetchStats struct {
	succeeded, failed int
	newest            time.Time // end of the newest fetch that succeeded; zero: none
}

func newKeySource(from keyOrigin, now func() time.Time) *keySource {
	return &keySource{keyOrigin: from, ring: newKeyRing(now), now: now}
}

// run fetches the issuer's keys and renews them until ctx ends. After that, edge verifies tokens
// with the keys that it fetched last.
func (s *keySource) run(ctx context.Context, p fetchSchedule, log *slog.Logger) {
	from := &keyFetcher{keyOrigin: s.keyOrigin}
	defer from.close()
	defer s.ring.stop()

	log = log.With(slog.String("issuer", s.issuer))
	state := unknown
	retry := p.retry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.ring.wanted:
		}
		err := s.fetch(ctx, from)
		if ctx.Err() != nil {
			return
		}
		state = s.report(log, state, err)
		if err == nil {
			retry = p.retry
			timer.Reset(p.renew)
			continue
		}
		timer.Reset(retry.Step())
	}
}

// fetch replaces the current keys with those that the issuer publishes now. A key that the issuer
// no longer publishes is dropped at once, even if no key is left. If the issuer is unreachable or
// its answer is unreadable, the current keys stay in use.
func (s *keySource) fetch(ctx context.Context, from *keyFetcher) error {
	s.ring.begin()
	defer s.ring.end()
	keys, err := from.fetch(ctx)
	if err == nil || errors.Is(err, errNoKeys) {
		s.ring.replace(keys)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.err == nil {
		s.since = s.now()
	}
	s.err = err
	if err == nil {
		s.stats.succeeded++
		s.stats.newest = s.now()
	} else {
		s.stats.failed++
	}
	return err
}

func (s *keySource) fetchStats() fetchStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// ready reports whether edge has keys of the issuer.
func (s *keySource) ready() bool { return s.keyCount() > 0 }

func (s *keySource) keyCount() int { return len(s.ring.current.Load().keys) }

// problem returns the error of the newest fetch of keys, and since when fetches have failed. text
// is empty if the newest fetch succeeded or no fetch has ended yet.
func (s *keySource) problem() (text string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return "", time.Time{}
	}
	return brief(s.err), s.since
}

// warning returns a line for the operator that states why the issuer's keys cannot be renewed. It
// returns an empty string if the newest fetch succeeded or no fetch has ended yet.
func (s *keySource) warning() string {
	text, since := s.problem()
	if text == "" {
		return ""
	}
	return fmt.Sprintf("issuer %s: its keys could not be renewed since %s (%d still in use): %s",
		s.issuer, since.UTC().Format(time.RFC3339), s.keyCount(), text)
}

// fetchState is whether fetching an issuer's keys worked or failed when report last logged it.
type fetchState int

const (
	unknown fetchState = iota
	working
	failing
)

// report logs the result of the first fetch of keys, and each change from success to failure or
// back.
func (s *keySource) report(log *slog.Logger, before fetchState, err error) fetchState {
	count := slog.Int("keys", s.keyCount())
	switch {
	case err == nil && before != working:
		log.Info("fetched the OIDC issuer's keys", count)
		return working
	case err != nil && before != failing:
		log.Warn("failed to fetch the OIDC issuer's keys; edge keeps its current keys and retries", count, slog.String("error", brief(err)))
		return failing
	}
	return before
}

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

package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// fetchSchedule says when to fetch next.
type fetchSchedule struct {
	renew time.Duration // after a fetch that worked
	retry wait.Backoff  // after fetches that did not
}

var defaultSchedule = fetchSchedule{5 * time.Minute, doubling(time.Second, 30*time.Second)}

// doubling waits for first, then for twice as long each time, up to most.
func doubling(first, most time.Duration) wait.Backoff {
	return wait.Backoff{Duration: first, Factor: 2, Cap: most, Steps: math.MaxInt} // Step ends them at Cap
}

// keySource keeps the keys of one issuer new. One goroutine, run, fetches; all else may be called by anybody.
type keySource struct {
	keyOrigin
	ring *keyRing
	now  func() time.Time

	mu    sync.Mutex
	err   error     // of the newest fetch
	since time.Time // when the first of the fetches ended that have failed since one worked
}

func newKeySource(from keyOrigin, now func() time.Time) *keySource {
	return &keySource{keyOrigin: from, ring: newKeyRing(now), now: now}
}

// run fetches the keys and renews them until ctx ends; afterwards tokens are verified with the last ones.
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

// fetch takes what the issuer publishes now. Keys that it no longer publishes are gone at once, even if no key is left; where
// it cannot be reached or understood, the keys in hand stay.
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
	return err
}

// ready reports whether there are keys.
func (s *keySource) ready() bool { return s.keyCount() > 0 }

func (s *keySource) keyCount() int { return len(s.ring.current.Load().keys) }

// problem is what the newest fetch says is wrong, and since when; nothing before the first fetch has ended.
func (s *keySource) problem() (text string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return "", time.Time{}
	}
	return brief(s.err), s.since
}

// warning is a line for an operator; empty: all is well.
func (s *keySource) warning() string {
	text, since := s.problem()
	if text == "" {
		return ""
	}
	return fmt.Sprintf("issuer %s: its keys cannot be renewed since %s (%d in hand): %s",
		s.issuer, since.UTC().Format(time.RFC3339), s.keyCount(), text)
}

// fetchState is what was logged last.
type fetchState int

const (
	unknown fetchState = iota
	working
	failing
)

// report logs the first fetch and each change between fetches that work and fetches that do not.
func (s *keySource) report(log *slog.Logger, before fetchState, err error) fetchState {
	count := slog.Int("keys", s.keyCount())
	switch {
	case err == nil && before != working:
		log.Info("OIDC issuer's keys are in hand", count)
		return working
	case err != nil && before != failing:
		log.Warn("OIDC issuer's keys cannot be fetched; retrying, with the keys in hand", count, slog.String("error", brief(err)))
		return failing
	}
	return before
}

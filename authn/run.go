package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
)

// pace says when to fetch next.
type pace struct {
	renew              time.Duration // after a fetch that worked
	retryMin, retryMax time.Duration // after one that did not: doubled from the first to the second
}

var defaultPace = pace{renew: 5 * time.Minute, retryMin: time.Second, retryMax: 30 * time.Second}

// maxErrorBytes bounds what is logged of a failed fetch: its text may hold a page out of a peer.
const maxErrorBytes = 300

// Run discovers the issuer, fetches its keys and renews them until ctx ends. It is called once, and starts nothing that
// outlives it; afterwards tokens are verified with the last keys.
func (a *Authenticator) Run(ctx context.Context) {
	source := &issuer{url: a.cfg.IssuerURL, caFile: a.cfg.CAFile}
	defer source.close()
	defer a.keys.stop()

	state := unknown
	retry := a.pace.retryMin
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-a.keys.wanted:
		}
		err := a.fetch(ctx, source)
		if ctx.Err() != nil {
			return
		}
		state = a.report(state, err)
		if err == nil {
			retry = a.pace.retryMin
			timer.Reset(a.pace.renew)
			continue
		}
		timer.Reset(retry)
		retry = min(2*retry, a.pace.retryMax)
	}
}

// Ready returns nil once the issuer's keys are in hand, and stays so while there are any. Before, the error is [ErrNotReady]
// with the newest fetch's own error behind it.
func (a *Authenticator) Ready() error {
	if len(a.keys.current.Load().keys) > 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fetchErr == nil {
		return ErrNotReady
	}
	return fmt.Errorf("%w: %s: %s", ErrNotReady, a.cfg.IssuerURL, brief(a.fetchErr))
}

// fetch takes what the issuer publishes now. Keys that it no longer publishes are gone at once, even if no key is left; where
// it cannot be reached or understood, the keys in hand stay.
func (a *Authenticator) fetch(ctx context.Context, source *issuer) error {
	a.keys.begin()
	defer a.keys.end()
	keys, err := source.fetch(ctx)
	if err == nil || errors.Is(err, errNoKeys) {
		a.keys.replace(keys)
	}
	a.mu.Lock()
	a.fetchErr = err
	a.mu.Unlock()
	return err
}

// fetchState is what was logged last.
type fetchState int

const (
	unknown fetchState = iota
	working
	failing
)

// report logs the first fetch and each change between fetches that work and fetches that do not.
func (a *Authenticator) report(before fetchState, err error) fetchState {
	log := a.cfg.Log.With(slog.String("issuer", a.cfg.IssuerURL))
	count := slog.Int("keys", len(a.keys.current.Load().keys))
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

// brief makes one short line of an error's text.
func brief(err error) string {
	text := err.Error()
	if len(text) > maxErrorBytes {
		text = text[:maxErrorBytes] + "..."
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), " ")
}

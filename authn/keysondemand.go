package authn

import (
	"context"
	"crypto"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// demandInterval is the minimum time between the start of a fetch and the next fetch that a
	// token can cause.
	demandInterval = 10 * time.Second
	// maxWaiting bounds the requests that wait for a fetch. A further request does not wait, and is
	// refused if no current key verifies its token.
	maxWaiting = 256
)

// keySet is one generation of an issuer's keys. It never changes.
type keySet struct {
	keys   []jose.JSONWebKey
	prints []string // thumbprint and ID of each key, sorted: they identify the set
}

// verify reports whether one of the keys signed the token. As in go-oidc, a token without a key ID
// is tried with all keys. Only keys of the set count: verify ignores jwk, jku and x5c in the
// token's header.
func (s *keySet) verify(token *compactJWS) bool {
	id := token.header.Header.KeyID
	for _, key := range s.keys {
		if id != "" && key.KeyID != id {
			continue
		}
		if token.verify(key.Key) {
			return true
		}
	}
	return false
}

// keyRing holds the newest keys of one issuer, and lets all requests that need newer keys wait for
// one fetch. The goroutine that fetches calls begin and end around each fetch. All other methods
// are safe for concurrent use.
type keyRing struct {
	now     func() time.Time
	current atomic.Pointer[keySet] // never nil
	wanted  chan struct{}          // capacity 1: an element asks the fetching goroutine for a fetch

	mu      sync.Mutex
	began   time.Time     // when the newest fetch was requested or started
	done    chan struct{} // closed when that fetch ends; nil: no fetch is running
	waiting int           // number of requests that wait for done
	fetched bool          // at least one fetch has ended
	stopped bool          // no fetch will start any more
}

func newKeyRing(now func() time.Time) *keyRing {
	r := &keyRing{now: now, wanted: make(chan struct{}, 1)}
	r.current.Store(&keySet{})
	return r
}

// verify tries the current keys. If none of them signed the token, verify waits for newer keys and
// tries those.
func (r *keyRing) verify(ctx context.Context, token *compactJWS) bool {
	tried := r.current.Load()
	if tried.verify(token) {
		return true
	}
	r.renew(ctx)
	if newer := r.current.Load(); newer != tried {
		return newer.verify(token)
	}
	return false
}

// first returns the current keys. While the very first fetch is running, it waits for that fetch,
// because the issuer may come from a configuration that was just loaded.
func (r *keyRing) first(ctx context.Context) *keySet {
	if set := r.current.Load(); len(set.keys) > 0 {
		return set
	}
	r.mu.Lock()
	if r.fetched || r.done == nil || r.waiting >= maxWaiting {
		r.mu.Unlock()
		return r.current.Load()
	}
	r.waitLocked(ctx)
	return r.current.Load()
}

// renew requests a fetch, or joins the one that is running, and waits until it or ctx ends. It
// returns at once if no fetch is allowed.
func (r *keyRing) renew(ctx context.Context) {
	r.mu.Lock()
	if r.stopped || r.waiting >= maxWaiting {
		r.mu.Unlock()
		return
	}
	if r.done == nil {
		now := r.now()
		if now.Sub(r.began) < demandInterval {
			r.mu.Unlock()
			return
		}
		r.startLocked(now)
		select {
		case r.wanted <- struct{}{}:
		default: // a fetch is already requested
		}
	}
	r.waitLocked(ctx)
}

// waitLocked waits until the running fetch or ctx ends. The caller holds mu, and waitLocked unlocks
// it.
func (r *keyRing) waitLocked(ctx context.Context) {
	done := r.done
	r.waiting++
	r.mu.Unlock()

	select {
	case <-done:
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.waiting--
	r.mu.Unlock()
}

func (r *keyRing) startLocked(now time.Time) {
	r.began, r.done = now, make(chan struct{})
}

// begin records that a fetch starts, whether or not a request caused it.
func (r *keyRing) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.startLocked(r.now())
	}
	select {
	case <-r.wanted: // this fetch also serves the requests that asked for one
	default:
	}
}

// end releases all requests that wait for the fetch.
func (r *keyRing) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		close(r.done)
		r.done, r.fetched = nil, true
	}
}

// stop ends the running fetch and allows no further one. The current keys stay in use.
func (r *keyRing) stop() {
	r.end()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
}

// replace makes keys the current keys. It starts a new generation only if they differ from the
// current ones.
func (r *keyRing) replace(keys []jose.JSONWebKey) {
	prints := make([]string, 0, len(keys))
	for _, key := range keys {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			continue // never happens: Valid accepts only keys that have a thumbprint
		}
		prints = append(prints, string(sum)+key.KeyID)
	}
	slices.Sort(prints)
	if slices.Equal(prints, r.current.Load().prints) {
		return
	}
	r.current.Store(&keySet{keys: keys, prints: prints})
}

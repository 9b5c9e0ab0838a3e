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
	// demandInterval is the minimum time from the start of a fetch of an issuer's keys to the next
	// fetch that a token can cause.
	demandInterval = 10 * time.Second
	// maxWaiting bounds the requests that wait for a fetch of one issuer's keys. Further requests
	// do not wait: edge refuses them if no current key verifies their token.
	maxWaiting = 256
)

// keySet is one version of an issuer's keys. It never changes: new keys make a new keySet.
type keySet struct {
	keys   []jose.JSONWebKey
	prints []string // thumbprint and ID of each key, sorted; two sets with equal prints have the same keys
}

// verify reports whether one of the keys in the set signed the token. As in go-oidc, a token
// without a key ID is tried with all keys. Only keys of the set count: verify ignores jwk, jku and
// x5c in the token's header.
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

// keyRing holds the newest keys of one issuer. All requests that need newer keys wait for the same
// fetch. The goroutine that fetches calls begin and end around each fetch. All other methods are
// safe for concurrent use.
type keyRing struct {
	now     func() time.Time
	current atomic.Pointer[keySet] // newest keys; never nil, but the set may be empty
	wanted  chan struct{}          // capacity 1: an element makes the goroutine that fetches keys start a fetch

	mu      sync.Mutex
	began   time.Time     // when the newest fetch of keys was requested or started
	done    chan struct{} // closed when the running fetch of keys ends; nil: no fetch is running
	waiting int           // number of requests that wait until the channel done is closed
	fetched bool          // at least one fetch of keys has ended
	stopped bool          // no fetch of keys will start any more
}

func newKeyRing(now func() time.Time) *keyRing {
	r := &keyRing{now: now, wanted: make(chan struct{}, 1)}
	r.current.Store(&keySet{})
	return r
}

// verify reports whether a key of the issuer signed the token. If none of the current keys did,
// verify waits for newer keys and tries those.
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

// first is the method that returns the current keys of the issuer. If the issuer's very first fetch
// of keys has not ended yet, first waits until that fetch ends, because the issuer may come from a
// configuration that was just loaded.
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

// renew requests a fetch of the issuer's keys, or joins the fetch that is running, and waits until
// the fetch or ctx ends. It returns at once if no fetch is allowed, for example because the last
// one was too recent.
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
		default: // the channel wanted has an element: a fetch of keys is already requested
		}
	}
	r.waitLocked(ctx)
}

// waitLocked waits until the running fetch of keys ends or ctx ends. The caller holds mu, and
// waitLocked unlocks it.
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

// begin records that a fetch of keys starts, whether or not a request caused it.
func (r *keyRing) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.startLocked(r.now())
	}
	select {
	case <-r.wanted: // a request has asked for a fetch of keys: the fetch that begins now serves that request too
	default:
	}
}

// end records that the fetch of keys ended, and releases all requests that wait for it.
func (r *keyRing) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		close(r.done)
		r.done, r.fetched = nil, true
	}
}

// stop releases the requests that wait for a fetch of keys, and allows no further fetch. The
// current keys stay in use.
func (r *keyRing) stop() {
	r.end()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
}

// replace makes keys the issuer's current keys. It creates a new keySet only if the keys differ
// from the current ones, because cached tokens are valid only for one keySet.
func (r *keyRing) replace(keys []jose.JSONWebKey) {
	prints := make([]string, 0, len(keys))
	for _, key := range keys {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			continue // never happens: go-jose's Valid accepts only keys that have a thumbprint
		}
		prints = append(prints, string(sum)+key.KeyID)
	}
	slices.Sort(prints)
	if slices.Equal(prints, r.current.Load().prints) {
		return
	}
	r.current.Store(&keySet{keys: keys, prints: prints})
}

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
	// demandInterval is the least time between a fetch's beginning and the next one that a token can cause.
	demandInterval = 10 * time.Second
	// maxWaiting bounds the requests that wait for a fetch; one more is refused with the keys in hand.
	maxWaiting = 256
)

// keySet is one generation of an issuer's keys. It never changes.
type keySet struct {
	keys   []jose.JSONWebKey
	prints []string // sorted, one per key: what tells this set from another
}

// verify reports whether one of the keys signed the token. As in go-oidc, a token without a key id may be signed by
// any of them. Only the key out of the set counts: jwk, jku and x5c in a token's header are not looked at.
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

// keyRing holds one issuer's newest keys and joins those who ask for newer ones. Whoever fetches calls begin and end around
// each fetch; all else may be called by anybody.
type keyRing struct {
	now     func() time.Time
	current atomic.Pointer[keySet] // never nil
	wanted  chan struct{}          // one slot: somebody waits for a fetch

	mu      sync.Mutex
	began   time.Time     // when the newest fetch was asked for or began
	done    chan struct{} // closed when that fetch ends; nil: none is under way
	waiting int           // how many wait for done
	fetched bool          // a fetch has ended
	stopped bool          // nobody will fetch any more
}

func newKeyRing(now func() time.Time) *keyRing {
	r := &keyRing{now: now, wanted: make(chan struct{}, 1)}
	r.current.Store(&keySet{})
	return r
}

// verify tries the keys in hand and, if none fits, newer ones.
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

// first returns the keys in hand. While the very first ones are being fetched, it waits for them: the issuer of a request
// may have come with a configuration that is a moment old.
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

// renew returns when a fetch that is under way, or that it could ask for, has ended; at once if it may not ask.
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
		default: // somebody asked already
		}
	}
	r.waitLocked(ctx)
}

// waitLocked waits for the fetch that is under way, or until ctx ends. It unlocks mu.
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

// begin notes that a fetch is under way, asked for or not.
func (r *keyRing) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.startLocked(r.now())
	}
	select {
	case <-r.wanted: // a fetch for another reason serves those who asked, too
	default:
	}
}

// end lets everybody go who waited for the fetch.
func (r *keyRing) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		close(r.done)
		r.done, r.fetched = nil, true
	}
}

// stop is end for good: the keys in hand are the last.
func (r *keyRing) stop() {
	r.end()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
}

// replace makes keys the newest. It begins a new generation only if they differ from those in hand.
func (r *keyRing) replace(keys []jose.JSONWebKey) {
	prints := make([]string, 0, len(keys))
	for _, key := range keys {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			continue // not a key that Valid lets pass
		}
		prints = append(prints, string(sum)+key.KeyID)
	}
	slices.Sort(prints)
	if slices.Equal(prints, r.current.Load().prints) {
		return
	}
	r.current.Store(&keySet{keys: keys, prints: prints})
}

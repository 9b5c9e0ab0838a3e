package authn

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// maxRemembered bounds how many verified tokens are remembered: the users of a large cluster at one time.
	maxRemembered = 4096
	// maxRememberedBytes bounds the tokens that are remembered, and with them what their groups occupy: 64 MiB in all.
	maxRememberedBytes = 16 << 10
)

// digest stands for a token. Finding another token with the same one is as hard as forging a signature.
type digest = [sha256.Size]byte

// memory is an LRU of verified tokens. Its zero value is ready, and safe for use by many goroutines. A hit allocates nothing.
type memory struct {
	mu      sync.Mutex
	entries map[digest]*list.Element
	recent  list.List // of *memo, the most recently used in front
}

// memo is one verified token. It is good as long as issuer is still configured like this and its keys are still these.
type memo struct {
	token    digest
	issuer   *issuer
	keys     *keySet // in hand when the token was verified
	verified Verified
}

// holds reports whether a memo is still good under a configuration.
func (m *memo) holds(conf *configuration, now time.Time) bool {
	return !m.verified.Expires.Before(now) && conf.has(m.issuer) && m.issuer.source.ring.current.Load() == m.keys
}

// get returns what is known of a token, if good says that it still holds. What does not is forgotten.
func (m *memory) get(token digest, good func(*memo) bool) (Verified, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok {
		return Verified{}, false
	}
	known := e.Value.(*memo)
	if !good(known) {
		m.recent.Remove(e)
		delete(m.entries, token)
		return Verified{}, false
	}
	m.recent.MoveToFront(e)
	return known.verified, true
}

func (m *memory) put(known memo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[known.token]; ok {
		*e.Value.(*memo) = known
		m.recent.MoveToFront(e)
		return
	}
	if m.entries == nil {
		m.entries = make(map[digest]*list.Element)
	}
	if len(m.entries) >= maxRemembered {
		oldest := m.recent.Back()
		m.recent.Remove(oldest)
		delete(m.entries, oldest.Value.(*memo).token)
	}
	m.entries[known.token] = m.recent.PushFront(&known)
}

// sweep forgets what good says no longer holds, so that nothing of an old configuration stays.
func (m *memory) sweep(good func(*memo) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for token, e := range m.entries {
		if !good(e.Value.(*memo)) {
			m.recent.Remove(e)
			delete(m.entries, token)
		}
	}
}

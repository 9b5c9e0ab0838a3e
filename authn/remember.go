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

type memo struct {
	token    digest
	keys     uint64 // generation of the keys that verified it
	verified Verified
}

// get returns what is known of a token that is still good: not expired, and verified by the keys of this generation.
func (m *memory) get(token digest, keys uint64, now time.Time) (Verified, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[token]
	if !ok {
		return Verified{}, false
	}
	known := e.Value.(*memo)
	if known.keys != keys || known.verified.Expires.Before(now) {
		m.recent.Remove(e)
		delete(m.entries, token)
		return Verified{}, false
	}
	m.recent.MoveToFront(e)
	return known.verified, true
}

func (m *memory) put(token digest, keys uint64, v Verified) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[token]; ok {
		*e.Value.(*memo) = memo{token, keys, v}
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
	m.entries[token] = m.recent.PushFront(&memo{token, keys, v})
}

package roundtrip

import (
	"context"
	"net/http"
)

const (
	KeptBody   = keptBody
	KeptBodies = keptBodies
)

// Used is how many bytes of bodies are kept.
func (k *Keeper) Used() int64 { return k.used.Load() }

// SetNext changes what a Keeper stands before.
func (k *Keeper) SetNext(next http.RoundTripper) { k.next = next }

const (
	MostTries   = mostTries
	NarrowSize  = narrowWindow
	WideSize    = wideWindow
	WideWindows = wideWindows
)

// Used is how many bytes of wide windows are given away.
func (w *Windows) Used() int64 { return w.used.Load() }

// Connections is how many there are.
func (t *Transport) Connections() int64 { return t.count.Load() }

// Health is one that watches a connection on which nothing is read.
type Health struct{ h *health }

func NewHealth(ping func(context.Context) error, lost func()) Health {
	h := &health{link: newLink(nil, nil, nil), ping: ping, lost: lost, slow: func() {}}
	h.start()
	return Health{h}
}

// Begin says that a request waits.
func (h Health) Begin() { h.h.begin() }

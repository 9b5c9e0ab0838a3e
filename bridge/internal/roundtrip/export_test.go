package roundtrip

import (
	"context"
	"net/http"
)

const (
	KeptBody   = keptBody
	KeptBodies = keptBodies
)

// Used returns how many bytes of request bodies the Keeper stores.
func (k *Keeper) Used() int64 { return k.used.Load() }

// SetNext changes the RoundTripper to which the Keeper passes its requests.
func (k *Keeper) SetNext(next http.RoundTripper) { k.next = next }

const (
	MostTries   = mostTries
	NarrowSize  = narrowWindow
	WideSize    = wideWindow
	WideWindows = wideWindows
)

// Used returns how many bytes all wide windows (large HTTP/2 receive windows) have together.
func (w *Windows) Used() int64 { return w.used.Load() }

// Connections returns the number of open connections.
func (t *Transport) Connections() int64 { return t.count.Load() }

// Health lets a test call the health check of a connection on which no data is read.
type Health struct{ h *health }

func NewHealth(ping func(context.Context) error, lost func()) Health {
	h := &health{link: newLink(nil, nil, nil), ping: ping, lost: lost, slow: func() {}}
	h.start()
	return Health{h}
}

// Begin records that one more request waits for its answer.
func (h Health) Begin() { h.h.begin() }

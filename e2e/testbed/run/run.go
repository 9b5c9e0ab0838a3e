package run

import (
	"io"
	"sync"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/pki"
)

// Run owns a state folder and everything that was started through it.
type Run struct {
	Bin *binaries.Set
	CA  *pki.Authority // signs the certificates of edge, the issuer and the load balancer
	Dir string         // state folder
	ID  string         // 8 hexadecimal digits, part of the name of everything outside the state folder
	Log io.Writer      // receives progress messages of long work; safe for use by several goroutines

	mu    sync.Mutex
	undo  []func() // End calls them in reverse order
	ended bool

	build sync.Mutex      // held during MakeOnce; guards built
	built map[string]bool // names for which MakeOnce has succeeded
}

// End undoes everything that was started, in reverse order. Only the first call does so and returns
// true.
func (r *Run) End() bool {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return false
	}
	r.ended = true
	undo := r.undo
	r.undo = nil
	r.mu.Unlock()
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
	return true
}

// OnClose registers f, which End calls. If the run has ended already, OnClose calls f at once. So a
// program that starts while an interrupt ends the run is stopped too.
func (r *Run) OnClose(f func()) {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		f()
		return
	}
	r.undo = append(r.undo, f)
	r.mu.Unlock()
}

package run

import (
	"io"
	"slices"
	"sync"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/pki"
)

// Run is one run of the testbed. It owns a state folder and everything that was started through it.
type Run struct {
	Bin *binaries.Set
	CA  *pki.Authority // CA that signs the certificates of edge, the issuer and the load balancers
	Dir string         // path of the state folder
	// an address of this machine that the nodes and their pods can reach, see ClaimAddress
	Address string
	// id of the run, 8 hexadecimal digits; part of the name of everything outside the state folder
	ID string
	// receives progress messages of long work; several goroutines may write to it
	Log io.Writer

	mu    sync.Mutex
	undo  []func() // functions that OnClose registered; End calls the last registered one first
	ended bool

	build sync.Mutex      // held while the method MakeOnce runs; also guards the map built
	built map[string]bool // names for which the method MakeOnce has succeeded
}

// End ends the run: it calls the functions that OnClose registered, the last registered one first.
// Only the first call of End does so and returns true.
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
	for _, f := range slices.Backward(undo) {
		f()
	}
	return true
}

// OnClose registers a function that End calls, for example to stop a program. If the run has
// already ended, OnClose calls f at once, so that a program is also stopped if it starts while an
// interrupt ends the run.
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

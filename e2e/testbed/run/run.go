package run

import (
	"io"
	"sync"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/pki"
)

// Run owns a state folder and all that was started through it.
type Run struct {
	Bin *binaries.Set
	CA  *pki.Authority // signs the certificates of edge, the issuer and the load balancer
	Dir string         // state folder
	ID  string         // 8 hexadecimal digits, in the name of everything outside the state folder
	Log io.Writer      // tells people of long work; goroutines may share it

	mu    sync.Mutex
	undo  []func() // run in reverse order by End
	ended bool

	build sync.Mutex      // held while a program of this source tree is built
	built map[string]bool // by name
}

// End ends everything in the reverse order of its start. It may be called again; only the first call reports true.
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

// OnClose arranges for f to run at End. It runs at once if the run has ended already: a start that lost the race against
// an interrupt leaves nothing behind.
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

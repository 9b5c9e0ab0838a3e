//go:build unix

package leg

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// interrupts ends a Read that waits, once, for which it borrows the connection's read deadline. It knows the one that was
// set, and puts that back.
type interrupts struct {
	conn *net.TCPConn

	mu          sync.Mutex
	deadline    time.Time
	interrupted bool // the deadline on the connection is not that one
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// interrupt makes the Read that waits, or the next one, return errWouldBlock; where a deadline was set, the Read ends anyway.
func (r *interrupts) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deadline.IsZero() {
		r.interrupted = true
		r.conn.SetReadDeadline(longAgo)
	}
}

// wasInterrupted tells whether err is of interrupt alone. The reader calls it, and may read on.
func (r *interrupts) wasInterrupted(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.interrupted
	if was {
		r.interrupted = false
		r.conn.SetReadDeadline(r.deadline)
	}
	return was
}

func (r *interrupts) hasDeadline() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.deadline.IsZero()
}

// SetReadDeadline implements net.Conn.
func (r *interrupts) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline, r.interrupted = t, false
	return r.conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (r *interrupts) SetDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline, r.interrupted = t, false
	return r.conn.SetDeadline(t)
}

//go:build unix

package leg

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// interrupts can end one waiting Read of a connection. To do so it sets the connection's read
// deadline to a time in the past. It stores the deadline that the connection's user has set, and
// restores it.
type interrupts struct {
	conn *net.TCPConn

	mu          sync.Mutex
	deadline    time.Time
	interrupted bool // true: the connection's read deadline is longAgo instead of the field deadline
}

// longAgo is a deadline that is always in the past.
var longAgo = time.Unix(1, 0)

// interrupt makes the waiting Read, or the next one, return errWouldBlock. It does nothing if a
// read deadline is set, because the Read ends at that deadline anyway.
func (r *interrupts) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deadline.IsZero() {
		r.interrupted = true
		r.conn.SetReadDeadline(longAgo)
	}
}

// wasInterrupted reports whether interrupt caused err, the error of a Read. The reader calls it,
// and may then read again.
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

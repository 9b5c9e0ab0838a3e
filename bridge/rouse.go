//go:build unix

package bridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// rousing ends a Read that waits, once, for which it borrows the connection's read deadline. It knows the one that was
// set, and puts that back.
type rousing struct {
	conn *net.TCPConn

	mu       sync.Mutex
	deadline time.Time
	roused   bool // the deadline on the connection is not that one
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// rouse makes the Read that waits, or the next one, return errWouldBlock; where a deadline was set, the Read ends anyway.
func (r *rousing) rouse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deadline.IsZero() {
		r.roused = true
		r.conn.SetReadDeadline(longAgo)
	}
}

// wasRoused tells whether err is of rouse alone. The reader calls it, and may read on.
func (r *rousing) wasRoused(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.roused
	if was {
		r.roused = false
		r.conn.SetReadDeadline(r.deadline)
	}
	return was
}

func (r *rousing) hasDeadline() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.deadline.IsZero()
}

// SetReadDeadline implements net.Conn.
func (r *rousing) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline, r.roused = t, false
	return r.conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (r *rousing) SetDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline, r.roused = t, false
	return r.conn.SetDeadline(t)
}

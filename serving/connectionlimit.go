package serving

import (
	"sync"
	"time"
)

// registered is a connection's position in the registry, the list of all connections. The
// registry's lock guards it.
type registered struct {
	in         *list // nil: the connection is not in the registry
	prev, next *Conn
	placed     time.Time // when the connection was added to the list
	atRest     bool      // no request is in progress on the connection
	uses       int       // how often a request has begun while no other was in progress
}

// registry holds all connections of a Server except hijacked ones. Its lists are in the order in
// which connections are closed to make room for new connections.
type registry struct {
	mu     sync.Mutex
	most   int // maximum number of open connections; 0: no limit
	open   int
	ended  chan struct{} // closed when, after a call of the method close, no connection is left
	closed bool

	waiting list // unauthenticated: in a handshake, between requests, or with only refused requests in progress
	resting list // authenticated, with no request in progress
	busy    list
}

// list is a doubly linked list of connections. Its head is the connection that has been in the list
// longest.
type list struct {
	head, tail *Conn
	idle       time.Duration // idle timeout of the connections; 0: no timeout
	sweep      *time.Timer   // timer for the field idle; nil: the list is empty
}

// admit adds a new connection and reports whether it was added. At the limit, admit first closes
// the unauthenticated connection that has been waiting longest, or else the authenticated
// connection that has been idle longest. If every connection is busy, or after close, admit returns
// false.
func (r *registry) admit(c *Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	isFull := r.most > 0 && r.open >= r.most
	if isFull && !r.evict() {
		return false
	}
	r.open++
	c.atRest = true
	r.put(c, &r.waiting)
	return true
}

// makeRoom closes one connection, the one that admit would close at the limit. The Server calls
// makeRoom when the process has no file descriptors left, also below the limit of connections.
func (r *registry) makeRoom() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evict()
}

// evict closes the connection that is first in the order that the comment of admit describes, and
// reports whether it found one. The caller holds the lock of the registry.
func (r *registry) evict() bool {
	victim := r.waiting.head
	if victim == nil {
		victim = r.resting.head
	}
	if victim == nil {
		return false
	}
	r.remove(victim)
	victim.cut()
	return true
}

// many reports whether more than n connections are open.
func (r *registry) many(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open > n
}

// works records that a request began on the connection c.
func (r *registry) works(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.atRest = false
	c.uses++
	wasRefused := c.refusals.Load() > 0 && !c.known.Load()
	if c.in != nil && !wasRefused {
		r.put(c, &r.busy)
	}
}

// rests records that no request is in progress on the connection c any more.
func (r *registry) rests(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.atRest = true
	if c.in == nil {
		return
	}
	if c.known.Load() {
		r.put(c, &r.resting)
	} else {
		r.put(c, &r.waiting)
	}
}

// login records that the connection is authenticated now. The request that authenticated it is
// usually still in progress.
func (r *registry) login(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.in == nil:
	case c.atRest: // c.atRest is true if the client has already canceled the request
		r.put(c, &r.resting)
	default:
		r.put(c, &r.busy)
	}
}

// refused records that a request of an unauthenticated connection is refused with 401. The
// connection may then be closed to make room, even before its client has read the answer.
func (r *registry) refused(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.in == &r.busy && !c.known.Load() {
		r.put(c, &r.waiting)
	}
}

// gone removes a connection that is closed or hijacked from the registry.
func (r *registry) gone(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.in != nil {
		r.remove(c)
	}
}

// close makes admit refuse new connections. The channel that it returns is closed when no
// connection is left.
func (r *registry) close() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		if r.open == 0 {
			close(r.ended)
		}
	}
	return r.ended
}

// cutAll closes all connections in the registry.
func (r *registry) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range []*list{&r.waiting, &r.resting, &r.busy} {
		for c := l.head; c != nil; c = c.next {
			c.cut()
		}
	}
}

// cutShaking closes the connections whose handshake is in progress. They have no request that could
// be lost.
func (r *registry) cutShaking() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := r.waiting.head; c != nil; c = c.next {
		if c.below.shaking.Load() {
			c.cut()
		}
	}
}

// put moves the connection c to the end of list l. The caller holds the lock of the registry.
func (r *registry) put(c *Conn, l *list) {
	r.unlink(c)
	c.in, c.placed, c.prev, c.next = l, time.Now(), l.tail, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.next = c
	}
	l.tail = c
	if l.sweep == nil && l.idle > 0 {
		l.sweep = time.AfterFunc(l.idle, func() { r.sweepIdle(l) })
	}
}

func (r *registry) unlink(c *Conn) {
	if c.in == nil {
		return
	}
	l := c.in
	if c.prev == nil {
		l.head = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.tail = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.in, c.prev, c.next = nil, nil, nil
	if l.head == nil && l.sweep != nil {
		l.sweep.Stop()
		l.sweep = nil
	}
}

func (r *registry) remove(c *Conn) {
	r.unlink(c)
	r.open--
	if r.closed && r.open == 0 {
		close(r.ended)
	}
}

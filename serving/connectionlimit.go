package serving

import (
	"sync"
	"time"
)

// registered is a connection's place in the registry, whose lock guards it.
type registered struct {
	in         *list // nil: the registry does not have it
	prev, next *Conn
	placed     time.Time // into the list
	atRest     bool      // no request is under way
}

// registry has all connections, but for those that were hijacked: in the order in which they may have to go.
type registry struct {
	mu          sync.Mutex
	most        int           // connections; 0: any number
	unknownIdle time.Duration // how long an unknown one may be at rest; 0: any time
	open        int
	ended       chan struct{} // closed with the last one, after close
	closed      bool

	waiting list // unknown: in a handshake, before or between requests, or with nothing but refused ones under way
	resting list // known, at rest
	busy    list

	sweep *time.Timer // runs while one is waiting
}

// list is doubly linked, the longest in it first.
type list struct{ head, tail *Conn }

// admit takes a new connection in. Where there are as many as there may be, the one that has waited longest without a
// login makes room, or else the one that has rested longest; without any of these, admit reports false.
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

// makeRoom is for who is out of descriptors, whatever their number was thought to be.
func (r *registry) makeRoom() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evict()
}

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

// works is for a connection on which a request began.
func (r *registry) works(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.atRest = false
	wasRefused := c.refusals.Load() > 0 && !c.known.Load()
	if c.in != nil && !wasRefused {
		r.put(c, &r.busy)
	}
}

// rests is for one on which no request is under way any more.
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

// login is for one that is known now, in the midst of a request.
func (r *registry) login(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.in == nil:
	case c.atRest: // its client has given the request up
		r.put(c, &r.resting)
	default:
		r.put(c, &r.busy)
	}
}

// refused is for an unknown one whose request is refused: it may go before the answer is taken.
func (r *registry) refused(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.in == &r.busy && !c.known.Load() {
		r.put(c, &r.waiting)
	}
}

// gone is for one that is closed, or hijacked.
func (r *registry) gone(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.in != nil {
		r.remove(c)
	}
}

// close lets nobody in any more. Its channel is closed when nobody is left.
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

// cutAll ends all that are in.
func (r *registry) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range []*list{&r.waiting, &r.resting, &r.busy} {
		for c := l.head; c != nil; c = c.next {
			c.cut()
		}
	}
}

// cutShaking ends those in a handshake: no request of theirs is lost.
func (r *registry) cutShaking() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := r.waiting.head; c != nil; c = c.next {
		if c.below.shaking.Load() {
			c.cut()
		}
	}
}

// put moves c to the end of a list.
func (r *registry) put(c *Conn, l *list) {
	r.unlink(c)
	c.in, c.placed, c.prev, c.next = l, time.Now(), l.tail, nil
	if l.tail == nil {
		l.head = c
	} else {
		l.tail.next = c
	}
	l.tail = c
	if l == &r.waiting && r.sweep == nil && r.unknownIdle > 0 {
		r.sweep = time.AfterFunc(r.unknownIdle, r.sweepWaiting)
	}
}

func (r *registry) unlink(c *Conn) {
	if c.in == nil {
		return
	}
	if c.prev == nil {
		c.in.head = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		c.in.tail = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.in, c.prev, c.next = nil, nil, nil
}

func (r *registry) remove(c *Conn) {
	r.unlink(c)
	r.open--
	if r.sweep != nil && r.waiting.head == nil {
		r.sweep.Stop()
		r.sweep = nil
	}
	if r.closed && r.open == 0 {
		close(r.ended)
	}
}

// sweepWaiting ends what has waited for longer than unknownIdle, and comes again when it is over for the next. One
// timer does for all.
func (r *registry) sweepWaiting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sweep == nil {
		return
	}
	r.sweep = nil
	now := time.Now()
	next := time.Duration(0)
	for c := r.waiting.head; c != nil && next == 0; {
		following := c.next
		if wait := c.placed.Add(r.unknownIdle).Sub(now); wait > 0 {
			next = wait
		} else if c.atRest { // what is refused has a bound of its own
			r.unlink(c)
			r.open--
			c.cut()
		}
		c = following
	}
	if r.closed && r.open == 0 {
		close(r.ended)
	}
	if r.waiting.head != nil {
		if next == 0 {
			next = r.unknownIdle
		}
		r.sweep = time.AfterFunc(next, r.sweepWaiting)
	}
}

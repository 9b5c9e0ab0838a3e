package serving

import "time"

// sweepIdle ends the connections of the list l that have been idle for longer than its timeout. It
// then sets the timer for the connection whose timeout ends next: one timer serves all connections
// of the list. net/http itself ends authenticated HTTP/1.1 connections.
func (r *registry) sweepIdle(l *list) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.sweep == nil {
		return
	}
	now := time.Now()
	next := l.idle
	for c := l.head; c != nil; {
		following := c.next
		if wait := c.placed.Add(l.idle).Sub(now); wait > 0 {
			next = wait
			break
		}
		switch {
		case !c.atRest: // a refused request is in progress, and its answer has a write timeout of its own
		case l == &r.waiting:
			r.remove(c)
			c.cut()
		case c.framed:
			r.put(c, l)
			go c.goAway(c.uses)
		}
		c = following
	}
	if l.sweep != nil {
		l.sweep.Reset(next)
	}
}

// isIdle reports whether the connection c is authenticated, and no request has begun on it since its
// field uses had the value of the parameter uses.
func (r *registry) isIdle(c *Conn, uses int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.in == &r.resting && c.uses == uses
}

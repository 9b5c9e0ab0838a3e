package session

import (
	"slices"
	"time"

	"edge/streams/spdy"
)

// This file says which upstream session of a fanout carries which connection.

const (
	// maxForwardSessions bounds the upstream sessions of one client's session, with
	// the sentinel. Those that said goodbye, and have linger to end, are not counted.
	maxForwardSessions = 32
)

// assign gives a connection its upstream session: a new one, one that was dialed
// for a connection which did not wait, or if there are too many the one with the
// fewest connections.
func (f *fanout) assign(c *forwardConn) (*forwardSession, error) {
	f.mu.Lock()
	if c.ended || f.stopped {
		f.mu.Unlock()
		return nil, errShutdown
	}
	l, isNew := f.pick()
	l.stopIdle()
	l.users++
	c.upstream = l
	f.mu.Unlock()
	if isNew {
		l.dial()
	}
	<-l.ready // whoever dials closes it
	return l, l.err
}

// pick chooses, mu held.
func (f *fanout) pick() (l *forwardSession, isNew bool) {
	for _, l := range f.sessions {
		if l.users == 0 {
			return l, false
		}
	}
	if len(f.sessions) < maxForwardSessions-1 {
		l = &forwardSession{f: f, ready: make(chan struct{}), conns: map[int]*forwardConn{}}
		f.sessions = append(f.sessions, l)
		f.used++
		return l, true
	}
	return slices.MinFunc(f.sessions, func(a, b *forwardSession) int { return a.load() - b.load() }), false
}

// load is how little a session is fit for one more connection, fanout.mu held:
// most of all one that does not take what it is sent.
func (l *forwardSession) load() int {
	n := l.users
	if l.unclean {
		n += spdy.MaxStreams
	}
	for _, c := range l.conns {
		if c.queue.isPending() {
			n += spdy.MaxStreams
		}
	}
	return n
}

// remove lets no more connections come to a session, mu held.
func (f *fanout) remove(l *forwardSession) {
	f.sessions = slices.DeleteFunc(f.sessions, func(other *forwardSession) bool { return other == l })
}

// detach takes a connection off its session, fanout.mu held. What has carried one
// is not used again: bytes that a pod left unread keep one of five workers of the
// container runtime's SPDY, and the next connection might meet that one.
func (l *forwardSession) detach(c *forwardConn) {
	if c.number >= 0 {
		delete(l.conns, c.number)
		l.unclean = l.unclean || c.unclean
	}
	l.users--
	switch {
	case l.users > 0 || l.leg == nil || l.gone || l.f.stopped:
	case l.next == 0:
		l.startIdle()
	default:
		l.closeSoon()
	}
}

// startIdle keeps a session for a while that has carried nothing, fanout.mu held.
func (l *forwardSession) startIdle() {
	l.idleCount++
	rest := l.idleCount
	l.idle = time.AfterFunc(l.f.Times.Idle, func() {
		l.f.mu.Lock()
		defer l.f.mu.Unlock()
		if l.users == 0 && l.idleCount == rest && !l.gone && !l.f.stopped {
			l.closeSoon()
		}
	})
}

// stopIdle ends the rest, fanout.mu held.
func (l *forwardSession) stopIdle() {
	if l.idle != nil {
		l.idle.Stop()
	}
}

// closeSoon ends a session in an orderly way, fanout.mu held. Its reader comes to its
// end, in linger at most.
func (l *forwardSession) closeSoon() {
	l.f.remove(l)
	l.leg.Conn.SetDeadline(time.Now().Add(l.f.Times.Linger))
	l.f.reading.Add(1)
	go func() {
		defer l.f.reading.Done()
		defer l.f.recoverPanic()
		l.sayGoaway()
	}()
}

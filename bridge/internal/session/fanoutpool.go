package session

import (
	"slices"
	"time"

	"edge/streams/spdy"
)

// This file selects the upstream session that carries a connection of a fanout (a port-forward with
// one upstream session per connection).

const (
	// maxForwardSessions is the maximum number of upstream sessions of one client's port-forward,
	// including the sentinel, which carries no connection. Sessions that are closing, which takes
	// up to Linger, do not count.
	maxForwardSessions = 32
)

// assign selects the upstream session for a connection, and waits until it is ready. It prefers a
// session without connections, for example one that was dialed for a connection that has ended
// meanwhile. If there is none, it dials a new one. At the maximum number of sessions it uses the
// session with the least load.
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
	<-l.ready // closed by the goroutine that dials the upstream session
	return l, l.err
}

// pick selects an upstream session for a new connection, or creates one that must be dialed. The
// caller holds f.mu.
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

// load returns how busy an upstream session is: the session with the least load gets the next
// connection. A session that does not read its data, or that may contain unread data of an ended
// connection, has a much higher load. The caller holds fanout.mu.
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

// remove makes sure that the upstream session l gets no further connections. The caller holds f.mu.
func (f *fanout) remove(l *forwardSession) {
	f.sessions = slices.DeleteFunc(f.sessions, func(other *forwardSession) bool { return other == l })
}

// detach removes a connection from its upstream session. The caller holds fanout.mu. A session that
// has carried a connection is not reused after its last connection has ended: the container
// runtime's SPDY has five workers, bytes that the pod has not read block one of them, and a new
// connection might get that worker.
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

// startIdle closes the upstream session after Times.Idle, unless it gets a connection. The session
// has carried no connection so far. The caller holds fanout.mu.
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

// stopIdle stops the timer of startIdle. The caller holds fanout.mu.
func (l *forwardSession) stopIdle() {
	if l.idle != nil {
		l.idle.Stop()
	}
}

// closeSoon closes an upstream session gracefully: it half-closes the connection, and the session's
// read goroutine ends within Linger. The caller holds fanout.mu.
func (l *forwardSession) closeSoon() {
	l.f.remove(l)
	l.leg.Conn.SetDeadline(time.Now().Add(l.f.Times.Linger))
	l.f.reading.Go(func() {
		defer l.f.recoverPanic()
		l.sayGoaway()
	})
}

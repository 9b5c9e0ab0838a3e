package session

import (
	"sync"
	"time"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// A forwardSession is one upstream session of a fanout (a port-forward with one upstream session
// per connection). The first connection that needs the session dials it. Each session has its own
// read goroutine.
type forwardSession struct {
	f     *fanout
	ready chan struct{} // closed when the dial has ended
	err   error         // why the upstream session could not be opened; nil: it was opened

	// The fields from leg to tunnel are valid after ready is closed, if err is nil.
	leg    *leg.Leg
	reader *streams.Reader
	down   direction  // direction from upstream to the client
	tunnel *ws.Tunnel // nil: no tunnel
	table  spdy.Table

	// writing guards the fields up to goawaySaid. It is held during writes. Code that cuts the
	// session does not lock it, because the cut must end a blocked write.
	writing    sync.Mutex
	sink       *spdy.PortsSink
	goawaySaid bool // true: the method sayGoaway was called

	// The fields from conns on are guarded by fanout.mu.
	conns     map[int]*forwardConn // connections on this session, by number
	next      int                  // number of the next connection
	users     int                  // number of connections that use this session or wait for it
	unclean   bool                 // true: unread data of a connection that has ended may be left
	gone      bool                 // true: the read goroutine has ended
	idle      *time.Timer          // closes the session while it has no connection; may be nil
	idleCount int                  // how many times the method startIdle was called
}

// dial opens the upstream session. Its request is the one by which the client requested the
// port-forward.
func (l *forwardSession) dial() {
	defer close(l.ready)
	f := l.f
	a, err := f.again(f.ctx)
	if err == nil && a.Conn == nil {
		err = a.Refusal()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.stopped {
		a.Conn.Close()
		err = errShutdown
	}
	if err != nil {
		l.err = err
		f.remove(l)
		return
	}
	l.attach(a)
	if !f.closeDeadline.IsZero() {
		l.leg.Conn.SetDeadline(f.closeDeadline)
	}
	f.readers[l] = true
	f.reading.Add(1)
	go l.read()
	if l.users == 0 { // the connection for which l was dialed has ended
		l.startIdle()
	}
}

// attach creates the leg (a connection of a session), the source and the sinks for the upstream
// connection in the answer a.
func (l *forwardSession) attach(a upstream.Answer) {
	l.leg = leg.New(a.Conn, l.f.keepaliveOf(), nil)
	t := upTransport(l.leg, a.Offer.Protocol == negotiate.WebSocket)
	l.reader = streams.NewReader(t.in, l.down.flush)
	l.down.src = spdy.NewPortsSource(l.reader, t.replier, &l.table)
	l.down.sink, l.down.coalescing = spdy.NewPortServerSink(l.f.client.out, &l.f.table), l.f.session.down
	l.sink = spdy.NewPortsSink(t.out, &l.table)
	l.tunnel = t.tunnel
}

// open opens a connection on the session.
func (l *forwardSession) open(c *forwardConn) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.f.mu.Lock()
	over := c.ended
	if !over {
		c.number = l.next
		l.next++
		l.conns[c.number] = c
	}
	l.f.mu.Unlock()
	if over {
		return nil
	}
	return l.sink.Open(c.number, c.port)
}

func (l *forwardSession) write(f streams.Frame) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.sink.Write(f)
}

func (l *forwardSession) flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.sink.Flush() // ignore the error: the next write returns it too
	l.leg.Flush()
}

// read relays frames from upstream to the client until the session ends.
func (l *forwardSession) read() {
	f := l.f
	defer f.reading.Done()
	defer f.recoverPanic()
	err := l.down.run(l.relayFrame)
	l.down.flush()
	l.reader.Close()
	f.mu.Lock()
	l.gone = true
	l.stopIdle()
	f.remove(l)
	delete(f.readers, l)
	var left []*forwardConn
	for _, c := range l.conns {
		left = append(left, c)
	}
	f.mu.Unlock()
	if len(left) > 0 && f.cause() == nil {
		f.log.Warn("upstream session of a port-forward ended before its connections", "session", f.ID, "connections", len(left), "error", upstreamError(err).Error())
	}
	for _, c := range left {
		f.reset(c)
	}
	l.leg.Close()
}

// relayFrame handles each frame of upstream and writes it to the client itself, so it always
// returns false. It retires a connection before the client can read the connection's last frame. So
// the client's next connection finds the session free.
func (l *forwardSession) relayFrame(frame *streams.Frame) (forward bool, err error) {
	if frame.Kind == streams.Close {
		return false, errUpstreamGoaway
	}
	n, isError, ok := streams.PortOf(frame.Stream.ID)
	if !ok {
		return false, nil
	}
	l.f.mu.Lock()
	c := l.conns[n]
	l.f.mu.Unlock()
	switch {
	case c == nil || frame.Kind == streams.Headers:
		return false, nil
	case frame.Kind == streams.Accept:
		c.noteAccept()
		return false, nil
	}
	frame.Stream.ID = c.data
	if isError {
		frame.Stream.ID = c.failure
	}
	l.down.write(*frame)
	if c.noteFrame(frame.Kind, isError) {
		l.f.retire(c)
	}
	return false, nil
}

// sayGoaway ends an upstream session's output gracefully: it flushes, sends the tunnel's Close
// frame if there is a tunnel, and half-closes the connection.
func (l *forwardSession) sayGoaway() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.goawaySaid {
		return
	}
	l.goawaySaid = true
	err := l.sink.Flush()
	if l.tunnel != nil && err == nil {
		_ = l.tunnel.WriteClose(streams.CloseNormal)
	}
	l.leg.Flush()
	l.leg.CloseWrite()
}

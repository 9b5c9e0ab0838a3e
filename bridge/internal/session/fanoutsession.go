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

// A forwardSession is one upstream session of a fanout: dialed by the connection
// that needs it first, read by a goroutine of its own.
type forwardSession struct {
	f     *fanout
	ready chan struct{} // closed when it was dialed
	err   error         // why that failed

	// Set when it is ready.
	leg    *leg.Leg
	reader *streams.Reader
	down   direction  // from upstream to the client
	tunnel *ws.Tunnel // nil: SPDY
	table  spdy.Table

	writing    sync.Mutex // for what follows; held while bytes are written, never by who cuts the session
	sink       *spdy.PortsSink
	goawaySaid bool // goodbye was said

	// Guarded by fanout.mu.
	conns     map[int]*forwardConn // those that it carries, by number
	next      int                  // the next one's number
	users     int                  // those that it carries or is going to
	unclean   bool                 // something may be left of one that ended
	gone      bool                 // its reader has ended
	idle      *time.Timer          // ends it; nil: it never had nothing to carry
	idleCount int                  // how often it had nothing to carry
}

// dial asks for the session, as the client asked for its own.
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
	if l.users == 0 { // who wanted it is over
		l.startIdle()
	}
}

// attach puts codecs on a connection.
func (l *forwardSession) attach(a upstream.Answer) {
	l.leg = leg.New(a.Conn, l.f.keepaliveOf(), nil)
	t := upTransport(l.leg, a.Offer.Protocol == negotiate.WebSocket)
	l.reader = streams.NewReader(t.in, l.down.flush)
	l.down.src = spdy.NewPortsSource(l.reader, t.replier, &l.table)
	l.down.sink, l.down.coalescing = spdy.NewPortServerSink(l.f.client.out, &l.f.table), l.f.session.down
	l.sink = spdy.NewPortsSink(t.out, &l.table)
	l.tunnel = t.tunnel
}

// open begins a connection.
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
	l.sink.Flush() // who writes next is told of a failure
	l.leg.Flush()
}

// read carries what the pod says, until the session ends.
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
		f.log.Warn("a port-forward's upstream session ended before its connections", "session", f.ID, "connections", len(left), "error", upstreamError(err).Error())
	}
	for _, c := range left {
		f.reset(c)
	}
	l.leg.Close()
}

// relayFrame says each frame to the client itself. A connection has ended here before
// its client reads the last one, so that the next finds its session free.
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

// sayGoaway says that nothing more comes.
func (l *forwardSession) sayGoaway() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.goawaySaid {
		return
	}
	l.goawaySaid = true
	err := l.sink.Flush()
	if l.tunnel != nil && err == nil {
		l.tunnel.WriteClose(streams.CloseNormal)
	}
	l.leg.Flush()
	l.leg.CloseWrite()
}

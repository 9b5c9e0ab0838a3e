package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"edge/bridge/internal/upstream"
	"edge/streams"
	"edge/streams/spdy"
)

// A fanout is a client's port-forward of which every connection goes upstream in
// a session of its own, so that one whose pod does not read stops no other.
//
// The upstream session that was there before the 101 is the sentinel: it carries
// no connection, and its end is the end of the client's session.
//
// The client's frames come in one goroutine, which never waits for upstream but
// in hold. Each connection has one that carries what it said (forwardConn.pump),
// each upstream session one that reads it (forwardSession.read); they write to
// the client by sinks of their own.
type fanout struct {
	symmetric
	*session
	again       func(context.Context) (upstream.Answer, error) // asks for one more upstream session
	keepaliveOf func() func([]byte, bool) []byte               // makes the keepalives of one
	client      spdyTransport                                  // the client's leg
	source      *spdy.PortServerSource
	table       spdy.Table // the client's streams

	ctx    context.Context // of dials
	cancel func()

	mu            sync.Mutex               // guards what follows, and what others say it does; never held during I/O
	conns         map[uint32]*forwardConn  // by each of their streams
	halves        map[string]*forwardConn  // of which one stream is open, by request
	sessions      []*forwardSession        // that may be given a connection
	readers       map[*forwardSession]bool // that have a reader
	used          int                      // upstream sessions so far, with the sentinel
	closeDeadline time.Time                // by when the client's last words must be said; zero: it is there
	stopped       bool

	pumps, reading sync.WaitGroup
	settleOnce     sync.Once
	settled        chan struct{} // closed when nothing more comes from the client
	hasSettled     func()
}

func newFanout(
	s *session, again func(context.Context) (upstream.Answer, error), upBeat func() func([]byte, bool) []byte, client spdyTransport, source *streams.Reader,
) *fanout {
	f := &fanout{
		session: s, again: again, keepaliveOf: upBeat, client: client, used: 1,
		conns: map[uint32]*forwardConn{}, halves: map[string]*forwardConn{}, readers: map[*forwardSession]bool{},
		settled: make(chan struct{}),
	}
	f.hasSettled = sync.OnceFunc(func() { close(f.settled) })
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.source = spdy.NewPortServerSource(source, client.replier, &f.table)
	s.down.AllowReplies(spdy.MaxPortReply * spdy.MaxStreams)
	return f
}

// fromClient sees to each of the client's frames.
func (f *fanout) fromClient(frame *streams.Frame) (forward bool, err error) {
	id := frame.Stream.ID
	switch frame.Kind {
	case streams.Close:
		return false, errClientGoaway
	case streams.Open:
		return false, f.open(id, f.source.Opened())
	}
	c := f.dataConn(id)
	if c == nil {
		return false, nil // it is over, or an error stream, on which a client says nothing
	}
	switch frame.Kind {
	case streams.Data:
		f.enqueue(c, frame.Payload())
	case streams.HalfClose:
		c.queue.finish()
	case streams.Reset:
		f.clientReset(c)
	}
	return false, nil
}

// dataConn is the connection that has the stream for its data, or nil.
func (f *fanout) dataConn(id uint32) *forwardConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.conns[id]; c != nil && c.data == id {
		return c
	}
	return nil
}

// open enters a stream. Whose second one it is begins.
func (f *fanout) open(id uint32, o spdy.PortOpening) error {
	request := o.Request
	switch { // as cri-streaming's requestID has it for old clients
	case request != "":
	case o.Error:
		request = strconv.Itoa(int(id))
	default:
		request = strconv.Itoa(int(id) - 2)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closeDeadline.IsZero() || f.stopped {
		return nil
	}
	c := f.halves[request]
	if c == nil {
		c = newForwardConn(f, request)
		c.timeout = time.AfterFunc(f.Times.Open, func() { f.reset(c) })
		f.halves[request] = c
	}
	if !c.add(id, o) {
		return f.source.Reset(id) // never waits
	}
	f.conns[id] = c
	if c.data != 0 && c.failure != 0 {
		c.timeout.Stop()
		delete(f.halves, request)
		f.pumps.Add(1)
		go c.pump()
	}
	return nil
}

// enqueue puts what a connection said into its queue. If that is full, the client
// is not read for a while, and then this connection is reset alone. Who holds up
// nobody may take its time, as at the API server: an import that waits for a lock.
func (f *fanout) enqueue(c *forwardConn, b []byte) {
	if c.queue.put(b) {
		return
	}
	late := time.NewTimer(f.Times.HoldBack)
	defer late.Stop()
	for !c.queue.put(b) {
		select {
		case <-c.queue.room:
		case <-f.session.done:
			return
		case <-late.C:
			if f.isAlone(c) {
				late.Reset(f.Times.HoldBack)
				continue
			}
			f.log.Warn("a port-forward's connection was reset: it took no bytes, and held up the others", "session", f.ID, "port", c.port, "for", f.Times.HoldBack)
			f.mu.Lock()
			carrier := c.upstream
			cut := carrier != nil && f.readers[carrier]
			f.mu.Unlock()
			f.reset(c)
			if cut {
				carrier.leg.Cut() // its reader resets what else it carries
			}
			return
		}
	}
}

// isAlone tells whether a connection is the only one.
func (f *fanout) isAlone(c *forwardConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, other := range f.conns {
		if other != c {
			return false
		}
	}
	return true
}

// clientReset passes a reset on. The pod has a moment to end its side: client-go
// waits for the end of its error stream.
func (f *fanout) clientReset(c *forwardConn) {
	f.mu.Lock()
	c.dataEnded, c.unclean = true, true
	over := c.ended || c.upstream == nil || c.failureEnded
	if !over {
		c.timeout = time.AfterFunc(f.Times.Linger, func() { f.reset(c) })
	}
	f.mu.Unlock()
	if over {
		f.reset(c)
		return
	}
	c.queue.close(queueReset)
}

// reset ends a connection on the client's side.
func (f *fanout) reset(c *forwardConn) {
	f.mu.Lock()
	data, failure := c.data, c.failure
	c.unclean = true
	f.mu.Unlock()
	f.retire(c)
	for _, id := range []uint32{data, failure} {
		if id != 0 && f.source.Reset(id) != nil {
			f.clientLost() // it does not even read answers
		}
	}
}

// retire takes a connection out, and off its upstream session.
func (f *fanout) retire(c *forwardConn) {
	c.queue.close(queueDropped)
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.retired)
	if c.timeout != nil {
		c.timeout.Stop()
	}
	if f.halves[c.request] == c {
		delete(f.halves, c.request)
	}
	delete(f.conns, c.data)
	delete(f.conns, c.failure)
	if c.upstream != nil {
		c.upstream.detach(c)
	}
}

func (f *fanout) inputEnded() { f.hasSettled() }

// settle waits, for a client that says no more, until upstream has what it said
// and has accepted what it opened. It takes linger at most.
func (f *fanout) settle(*twoWay) {
	f.settleOnce.Do(func() {
		defer f.hasSettled()
		late := time.AfterFunc(f.Times.Linger, f.cancel)
		defer late.Stop()
		f.mu.Lock()
		f.closeDeadline = time.Now().Add(f.Times.Linger)
		for _, c := range f.conns {
			c.queue.close(queueClientGone)
		}
		for l := range f.readers {
			l.leg.Conn.SetDeadline(f.closeDeadline)
		}
		f.mu.Unlock()
		f.pumps.Wait()
		for _, l := range f.live() {
			l.sayGoaway()
		}
	})
}

// live are the upstream sessions that have a reader.
func (f *fanout) live() []*forwardSession {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.readers))
}

// stop ends the upstream sessions that the sentinel has outlived: those of a
// client that left have said goodbye and come to their end, others are cut. Then
// nobody but the sentinel's loop writes to the client.
func (f *fanout) stop() {
	cause := f.cause()
	closed := (*closedError)(nil)
	left := errors.Is(cause, errClientGone) || errors.As(cause, &closed)
	if left {
		<-f.settled
	}
	f.mu.Lock()
	f.stopped = true
	for _, c := range f.conns {
		c.queue.close(queueDropped)
		if c.timeout != nil {
			c.timeout.Stop()
		}
	}
	for _, l := range f.sessions {
		l.stopIdle()
	}
	f.mu.Unlock()
	f.cancel()
	if !left {
		for _, l := range f.live() {
			l.leg.Cut()
		}
	}
	f.pumps.Wait()
	f.reading.Wait()
	f.upstreams = f.used
}

// keepalive says something on every upstream session but the sentinel.
func (f *fanout) keepalive() {
	for _, l := range f.live() {
		if l.leg.IsReading() { // see session.keepalives
			l.leg.Keepalive()
		}
	}
}

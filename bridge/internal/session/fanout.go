package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
	"edge/streams"
	"edge/streams/spdy"
)

// A fanout is a client's port-forward in which each connection has an upstream session of its own.
// If the pod does not read from one connection, the others continue.
//
// The upstream session that was opened before the 101 is called the sentinel. It carries no
// connection. When it ends, the client's session ends.
//
// One goroutine reads the client's frames. It never waits for upstream, except in enqueue. Each
// connection has a goroutine that sends the client's data upstream (forwardConn.pump). Each
// upstream session has a goroutine that reads from it (forwardSession.read) and writes to the
// client with its own sink.
type fanout struct {
	symmetric
	*session
	again       func(context.Context) (upstream.Answer, error) // opens one more upstream session
	keepaliveOf func() func([]byte, bool) []byte               // returns the keepalives of one upstream session
	client      spdyTransport                                  // SPDY to the client
	source      *spdy.PortServerSource
	table       spdy.Table // the streams that the client has opened

	ctx    context.Context // context of all dials of upstream sessions
	cancel func()

	// mu guards the fields from conns to stopped, and fields of other types whose comments name
	// fanout.mu. It is never held during I/O.
	mu       sync.Mutex
	conns    map[uint32]*forwardConn  // the connections, by the ids of their two streams
	halves   map[string]*forwardConn  // connections with one open stream so far, by request id
	sessions []*forwardSession        // upstream sessions that can take a connection
	readers  map[*forwardSession]bool // upstream sessions with a running read goroutine
	used     int                      // number of upstream sessions so far, including the sentinel
	// closeDeadline is the deadline for sending the client's last data upstream; zero while the
	// client is connected.
	closeDeadline time.Time
	stopped       bool

	pumps, reading sync.WaitGroup
	settleOnce     sync.Once
	settled        chan struct{} // closed when no more frames come from the client
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

// fromClient handles each frame of the client.
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
		// The connection has ended, or id is an error stream's, on which clients send nothing.
		return false, nil
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

// dataConn returns the connection whose data stream has this id, or nil.
func (f *fanout) dataConn(id uint32) *forwardConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.conns[id]; c != nil && c.data == id {
		return c
	}
	return nil
}

// open records a stream that the client has opened. A connection begins when both of its streams
// are open.
func (f *fanout) open(id uint32, o spdy.PortOpening) error {
	request := o.Request
	// For old clients without a request id, derive it as cri-streaming's requestID does.
	switch {
	case request != "":
	case o.Error:
		request = strconv.Itoa(int(id))
	default:
		request = strconv.Itoa(int(id) - 2)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closeDeadline.IsZero() || f.stopped || f.cause() != nil {
		return nil
	}
	c := f.halves[request]
	if c == nil {
		c = newForwardConn(f, request)
		c.timeout = time.AfterFunc(f.Times.Open, func() { f.reset(c) })
		f.halves[request] = c
	}
	if !c.add(id, o) {
		return f.source.Reset(id) // Reset only queues a reply, and does not block
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

// clientReset forwards a client's reset of a stream. The pod gets up to Linger to end its side,
// because client-go waits for the end of the error stream.
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

// reset resets both streams of a connection on the client's side.
func (f *fanout) reset(c *forwardConn) {
	f.mu.Lock()
	data, failure := c.data, c.failure
	c.unclean = true
	f.mu.Unlock()
	f.retire(c)
	for _, id := range []uint32{data, failure} {
		if id != 0 && f.source.Reset(id) != nil {
			f.clientLost() // so many replies wait that the client must have stopped reading
		}
	}
}

// retire removes a connection that has ended from the port-forward and from its upstream session.
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

// settle runs after the client's last frame. It waits until upstream has the client's data and has
// accepted all streams, for at most Linger.
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

// live returns the upstream sessions whose read goroutine still runs.
func (f *fanout) live() []*forwardSession {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.readers))
}

// stop runs after the sentinel, the upstream session that carries no connection, has ended. It ends
// the other upstream sessions. If the client has disconnected, settle has already half-closed them,
// and stop waits for their end; otherwise stop cuts them. After stop, only the sentinel's loop
// writes to the client.
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

// keepalive sends a keepalive on every upstream session except the sentinel, which carries no
// connection and has its own.
func (f *fanout) keepalive() {
	for _, l := range f.live() {
		// Send no keepalive while edge does not read from this session: if upstream has already
		// closed it, a keepalive would cause a reset, which drops upstream's last data.
		if l.leg.IsReading() {
			l.leg.Keepalive()
		}
	}
}

// relayFanout relays a port-forward in which each connection gets an upstream session of its own.
// The upstream session that was opened before the 101 carries no connection: it is the sentinel,
// whose end ends the client's session.
func (p codecs) relayFanout(s *session) {
	var none spdy.Table // streams of the sentinel, the upstream session without connections
	forward := twoWay{session: s}
	up, down := upTransport(s.up, p.up.Protocol == negotiate.WebSocket), downTransport(s.down, p.Kind == negotiate.Tunnel)
	forward.upTunnel = up.tunnel
	if down.tunnel != nil {
		forward.clientClose = down.tunnel
	}
	upReader := streams.NewReader(up.in, forward.toClient.flush)
	downReader := streams.NewReader(down.in, forward.fromClient.flush)
	f := newFanout(s, p.again, p.upstreamKeepalive, down, downReader)
	forward.fromClient.src, forward.toClient.sink = f.source, spdy.NewPortServerSink(down.out, &f.table)
	forward.toClient.src, forward.fromClient.sink = spdy.NewPortsSource(upReader, up.replier, &none), spdy.NewPortsSink(up.out, &none)
	forward.kind = f
	s.alsoKeepAlive(f.keepalive)
	forward.fromClient.coalescing, forward.toClient.coalescing = s.up, s.down
	forward.run()
	downReader.Close()
	upReader.Close()
}

package session

import (
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/spdy"
)

// A forwardConn is one connection of a fanout (a port-forward with one upstream session per
// connection). It has two streams of the client, a queue of the client's data that upstream has not
// read yet, and the upstream session that carries it.
type forwardConn struct {
	f       *fanout
	request string
	queue   *connQueue

	accepted chan struct{} // closed when upstream has accepted both streams
	// answers counts for how many of the connection's two streams upstream has sent an accept. Only
	// the read goroutine of the upstream session uses it.
	answers int
	retired chan struct{} // closed when the connection is over
	finSent atomic.Bool   // true: edge has sent upstream the end of the client's data

	// The fields from data to unclean are guarded by fanout.mu. The stream ids do not change once
	// both are set.
	data, failure uint32 // ids of the client's data and error streams; 0: not open yet
	port          uint16
	// timeout resets the connection if its second stream is not opened in time, or if the
	// connection does not end in time.
	timeout      *time.Timer
	upstream     *forwardSession // nil: none yet, or the connection is over
	number       int             // number of the connection in its upstream session; -1: none
	dataEnded    bool            // true: the pod ended the data stream, or a side reset it
	failureEnded bool            // true: the pod ended the error stream
	unclean      bool            // true: the connection may have left unread data upstream
	ended        bool
}

func newForwardConn(f *fanout, request string) *forwardConn {
	return &forwardConn{
		f: f, request: request, number: -1,
		queue: newConnQueue(), accepted: make(chan struct{}), retired: make(chan struct{}),
	}
}

// add records one of the connection's two streams. It returns false if that stream is already open.
// The caller holds fanout.mu.
func (c *forwardConn) add(id uint32, o spdy.PortOpening) bool {
	stream := &c.data
	if o.Error {
		stream = &c.failure
	} else {
		c.port = o.Port // ignore an error stream's port, as the container runtime does
	}
	if *stream != 0 {
		return false
	}
	*stream = id
	return true
}

// pump sends the client's data upstream, from the time when both streams of the connection are open
// until the connection is over.
func (c *forwardConn) pump() {
	f := c.f
	defer f.pumps.Done()
	defer f.recoverPanic()
	carrier, err := f.assign(c)
	if err != nil {
		if f.cause() == nil && !c.queue.isDropped() {
			f.log.Warn("port-forward connection reset: edge could not open an upstream session for it", "session", f.ID, "port", c.port, "error", err.Error())
		}
		f.reset(c)
		return
	}
	if c.queue.isDropped() {
		f.reset(c) // the port-forward's connection ended before edge sent any data upstream
		return
	}
	for err = carrier.open(c); err == nil; {
		piece, what := c.queue.take(carrier.flush)
		switch what {
		case queueData:
			err = carrier.write(streams.Frame{Kind: streams.Data, Stream: c.upData(), Buf: piece.buf[:piece.end], Off: streams.Headroom})
			c.queue.giveBack(piece)
		case queueFin:
			err = carrier.write(streams.Frame{Kind: streams.HalfClose, Stream: c.upData()})
			c.finSent.Store(err == nil)
		case queueReset:
			carrier.flush() // sends the frames that open the two streams upstream
			if !c.awaitAccepted() {
				return
			}
			_ = carrier.write(streams.Frame{Kind: streams.Reset, Stream: c.upData()})
			carrier.flush()
			return
		case queueClientGone:
			carrier.flush()
			c.awaitAccepted()
			return
		default:
			return
		}
	}
	// forwardSession.read then fails, and resets all connections of this upstream session.
	carrier.leg.Cut()
}

// upData returns the upstream data stream. It is valid after forwardSession.open.
func (c *forwardConn) upData() streams.Stream {
	data, _ := streams.PortStreams(c.number)
	return data
}

// noteAccept records that upstream has accepted one of the connection's two streams.
func (c *forwardConn) noteAccept() {
	if c.answers++; c.answers == 2 {
		close(c.accepted)
	}
}

// awaitAccepted waits until upstream has accepted both streams. If edge resets a stream or closes
// the session before upstream has accepted it, some goroutines of the container runtime never end.
// awaitAccepted returns false if the connection ends first.
func (c *forwardConn) awaitAccepted() bool {
	select {
	case <-c.accepted:
		return true
	case <-c.retired:
	case <-c.f.ctx.Done():
	}
	return false
}

// awaitOpen waits until upstream has accepted the streams of every connection, or the connection is
// over, for at most the duration most.
func (f *fanout) awaitOpen(most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	f.mu.Lock()
	var opened []*forwardConn
	for _, c := range f.conns {
		if c.number >= 0 {
			opened = append(opened, c)
		}
	}
	f.mu.Unlock()
	for _, c := range opened {
		select {
		case <-c.accepted:
		case <-c.retired:
		case <-late.C:
			return
		}
	}
}

// noteFrame records a frame of the pod, and reports whether it was the last one. The connection was
// clean if the client ended it, the pod ended both streams, and no error was reported.
func (c *forwardConn) noteFrame(k streams.Kind, isError bool) (last bool) {
	if k == streams.Data && !isError {
		return false
	}
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	switch {
	case k != streams.HalfClose:
		c.unclean = true
	case !isError && !c.finSent.Load():
		c.unclean = true
	}
	if k == streams.Data {
		return false
	}
	if isError {
		c.failureEnded = true
	} else {
		c.dataEnded = true
	}
	return c.dataEnded && c.failureEnded
}

package session

import (
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/spdy"
)

// A forwardConn is one connection of a fanout: two streams of the client's, what
// the client said and upstream has not taken, and the upstream session that
// carries it.
type forwardConn struct {
	f       *fanout
	request string
	queue   *connQueue

	accepted chan struct{} // closed when upstream has accepted both opens
	answers  int           // how many it has, so far; its reader's
	retired  chan struct{} // closed when the connection is over
	finSent  atomic.Bool   // upstream was told that the client says no more

	// Guarded by fanout.mu. The streams do not change once both are there.
	data, failure uint32 // the client's streams; 0: not open yet
	port          uint16
	timeout       *time.Timer     // resets the connection: it is not whole in time, or does not end
	upstream      *forwardSession // nil: none yet, or over
	number        int             // which connection of the carrier it is; -1: not opened
	dataEnded     bool            // by the pod, or reset
	failureEnded  bool            // by the pod
	unclean       bool            // it may have left something behind upstream
	ended         bool
}

func newForwardConn(f *fanout, request string) *forwardConn {
	return &forwardConn{
		f: f, request: request, number: -1,
		queue: newConnQueue(), accepted: make(chan struct{}), retired: make(chan struct{}),
	}
}

// add enters one of the two streams, fanout.mu held. A second of its kind has no
// place.
func (c *forwardConn) add(id uint32, o spdy.PortOpening) bool {
	stream := &c.data
	if o.Error {
		stream = &c.failure
	} else {
		c.port = o.Port // the container runtime takes this one, too
	}
	if *stream != 0 {
		return false
	}
	*stream = id
	return true
}

// pump carries what the client says, from the time that both streams are there
// until the connection is over.
func (c *forwardConn) pump() {
	f := c.f
	defer f.pumps.Done()
	defer f.recoverPanic()
	carrier, err := f.assign(c)
	if err != nil {
		if f.cause() == nil && !c.queue.isDropped() {
			f.log.Warn("a port-forward's connection was reset: no upstream session for it", "session", f.ID, "port", c.port, "error", err.Error())
		}
		f.reset(c)
		return
	}
	if c.queue.isDropped() {
		f.reset(c) // it was over before anything of it went upstream
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
			carrier.flush() // the opens
			if !c.awaitAccepted() {
				return
			}
			carrier.write(streams.Frame{Kind: streams.Reset, Stream: c.upData()})
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
	carrier.leg.Cut() // its reader sees to its connections
}

// upData is the data stream upstream, known to who opened it.
func (c *forwardConn) upData() streams.Stream {
	data, _ := streams.PortStreams(c.number)
	return data
}

// noteAccept counts upstream's answers to the two opens.
func (c *forwardConn) noteAccept() {
	if c.answers++; c.answers == 2 {
		close(c.accepted)
	}
}

// awaitAccepted waits until upstream has accepted both opens: a container runtime
// whose client resets a stream or goes before that keeps goroutines for ever.
func (c *forwardConn) awaitAccepted() bool {
	select {
	case <-c.accepted:
		return true
	case <-c.retired:
	case <-c.f.ctx.Done():
	}
	return false
}

// noteFrame notes what the pod said, and tells whether that was its last word. The
// connection was clean if the client had ended it, the pod ended both streams,
// and nobody had anything to complain of.
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

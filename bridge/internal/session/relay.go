package session

import (
	"runtime/debug"

	"edge/bridge/internal/leg"
	"edge/streams"
)

// direction is one of the relay's two loops. It moves frames from the source, which decodes them
// from one connection, to the sink, which encodes them for the other connection. It is independent
// of the dialects.
type direction struct {
	src  streams.Source
	sink streams.Sink
	// coalescing is the connection that the sink writes to, if that connection collects writes
	// until flushLeg is called. It is nil if the sink's writes leave at once.
	coalescing *leg.Leg
	writeErr   error // first error of a write to the sink; later frames are dropped

	reader  *streams.Reader // the reader through which the field src reads
	fromLeg *leg.Leg        // the connection from which the field src reads
	// mayIdle permits src to return streams.ErrIdle when no bytes arrive, so that the loop can give
	// up its goroutine.
	mayIdle bool

	// frame is the current frame. It is a field because a local variable would escape to the heap
	// when its address is passed to the function see.
	frame streams.Frame
}

// beforeWait is called by the source's reader before the reader waits for bytes. It writes what is
// kept back. It returns streams.ErrIdle if the loop should give up its goroutine instead of
// waiting.
func (d *direction) beforeWait() error {
	d.flush()
	if d.mayIdle && d.fromLeg.ExpectsIdle() && d.reader.Between() {
		return streams.ErrIdle
	}
	return nil
}

// run relays until the source ends, and returns the source's error. For each frame it first calls
// the function see, which may keep the frame (false) or stop the loop (an error).
//
// If a write to the sink fails, run continues and drops the frames, because the source's peer may
// still send a Close or GOAWAY. The other direction's loop, which reads from the sink's connection,
// notices that this connection has failed.
func (d *direction) run(see func(*streams.Frame) (forward bool, err error)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	defer d.flushLeg()
	for {
		f := &d.frame
		if *f, err = d.src.Next(); err != nil {
			return err
		}
		if f.Kind == streams.Close {
			// Write the earlier frames now, also those that the sink keeps back. The session may end with
			// this Close, and edge may then wait some seconds before it writes again.
			d.flush()
		}
		forward, err := see(f)
		if err != nil {
			return err
		}
		if forward {
			d.write(*f)
		}
		// Clear the frame, whose payload is in a buffer: the source returns the buffer to a pool
		// while no bytes arrive.
		*f = streams.Frame{}
	}
}

// write writes a frame to the sink, unless an earlier write has failed.
func (d *direction) write(f streams.Frame) {
	if d.writeErr == nil {
		d.writeErr = d.sink.Write(f)
	}
}

// flush writes the bytes that the sink and its connection keep back. The source's reader calls it
// before it waits. It always returns nil, and stores an error in the field writeErr.
func (d *direction) flush() error {
	if d.writeErr == nil {
		d.writeErr = d.sink.Flush()
	}
	d.flushLeg()
	return nil
}

// flushLeg writes the bytes that the sink's connection has kept back.
func (d *direction) flushLeg() {
	if d.coalescing != nil && d.writeErr == nil {
		d.writeErr = d.coalescing.Flush()
	}
}

// closeWrite flushes the sink, and half-closes the connection in the parameter to. If a write to
// the sink has failed, it cuts that connection instead.
func (d *direction) closeWrite(to *leg.Leg) {
	d.flush()
	if d.writeErr != nil {
		to.Cut()
		return
	}
	to.CloseWrite()
}

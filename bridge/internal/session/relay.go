package session

import (
	"runtime/debug"

	"edge/bridge/internal/leg"
	"edge/streams"
)

// direction is one of the relay's two loops: frames from one leg's source to
// the other leg's sink. It knows no dialect.
type direction struct {
	src        streams.Source
	sink       streams.Sink
	coalescing *leg.Leg // which sink writes, if it coalesces; nil: sink writes at once
	writeErr   error    // the sink's first error; from then on frames are read and dropped

	reader  *streams.Reader // of src
	fromLeg *leg.Leg        // that it reads
	mayIdle bool            // src gives streams.ErrIdle when from is quiet; see loop

	frame streams.Frame // in hand; here, since each that see is shown would be on the heap
}

// beforeWait is that of a reader whose direction has a loop.
func (d *direction) beforeWait() error {
	d.flush()
	if d.mayIdle && d.fromLeg.ExpectsIdle() && d.reader.Between() {
		return streams.ErrIdle
	}
	return nil
}

// run relays until the source ends and returns why it did. Each frame is shown
// to see first, which may keep it (false) or stop the loop (errStop). A sink
// that fails ends nothing here: its own leg's source will tell, and a peer whose
// bytes nobody reads could not even say goodbye.
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
			d.flushLeg() // the session may end on it
		}
		forward, err := see(f)
		if err != nil {
			return err
		}
		if forward {
			d.write(*f)
		}
		*f = streams.Frame{} // its payload is in a buffer that goes back while nothing comes
	}
}

// write writes a frame unless the sink is broken.
func (d *direction) write(f streams.Frame) {
	if d.writeErr == nil {
		d.writeErr = d.sink.Write(f)
	}
}

// flush is the beforeWait of the source's reader: what the sink holds back
// leaves before the loop may wait. It never fails the read.
func (d *direction) flush() error {
	if d.writeErr == nil {
		d.writeErr = d.sink.Flush()
	}
	d.flushLeg()
	return nil
}

// flushLeg sends what was said and kept back for more.
func (d *direction) flushLeg() {
	if d.coalescing != nil && d.writeErr == nil {
		d.writeErr = d.coalescing.Flush()
	}
}

// closeWrite says what the sink holds back, and half-closes the leg that it writes.
func (d *direction) closeWrite(to *leg.Leg) {
	d.flush()
	if d.writeErr != nil {
		to.Cut()
		return
	}
	to.CloseWrite()
}

package bridge

import (
	"errors"
	"fmt"
	"runtime/debug"

	"edge/streams"
)

// direction is one of the relay's two loops: frames from one leg's source to
// the other leg's sink. It knows no dialect.
type direction struct {
	src    streams.Source
	sink   streams.Sink
	to     *leg  // which sink writes, if in bursts; nil: at once
	broken error // the sink's first error; from then on frames are read and dropped

	reader *streams.Reader // of src
	from   *leg            // that it reads
	rests  bool            // src gives streams.ErrIdle when from is quiet; see loop

	frame streams.Frame // in hand; here, since each that see is shown would be on the heap
}

// beforeWait is that of a reader whose direction has a loop.
func (d *direction) beforeWait() error {
	d.flush()
	if d.rests && d.from.isQuiet() && d.reader.Between() {
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
	defer d.release()
	for {
		f := &d.frame
		if *f, err = d.src.Next(); err != nil {
			return err
		}
		if f.Kind == streams.Close {
			d.release() // the session may end on it
		}
		forward, err := see(f)
		if err != nil {
			return err
		}
		if forward {
			d.say(*f)
		}
		*f = streams.Frame{} // its payload is in a buffer that goes back while nothing comes
	}
}

// say writes a frame unless the sink is broken.
func (d *direction) say(f streams.Frame) {
	if d.broken == nil {
		d.broken = d.sink.Write(f)
	}
}

// flush is the beforeWait of the source's reader: what the sink holds back
// leaves before the loop may wait. It never fails the read.
func (d *direction) flush() error {
	if d.broken == nil {
		d.broken = d.sink.Flush()
	}
	d.release()
	return nil
}

// release sends what was said and kept back for more.
func (d *direction) release() {
	if d.to != nil && d.broken == nil {
		d.broken = d.to.release()
	}
}

// finish says what the sink holds back, and half-closes the leg that it writes.
func (d *direction) finish(to *leg) {
	d.flush()
	if d.broken != nil {
		to.shut()
		return
	}
	to.closeWrite()
}

// panicError is a bug of ours that ends one session and not the process, as
// net/http has it for requests. A loop turns it into its error, so that the
// client is told; session.contain takes one that happens around the loops.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("internal error: %v", e.value) }

func isPanic(err error) bool {
	bug := (*panicError)(nil)
	return errors.As(err, &bug)
}

func always(*streams.Frame) (bool, error) { return true, nil }

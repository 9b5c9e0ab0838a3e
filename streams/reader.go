package streams

import (
	"errors"
	"io"
)

const (
	// peekSize is what an idle reader waits with: enough for any frame header.
	peekSize = 16
	// maxEmptyReads bounds reads that return nothing and no error.
	maxEmptyReads = 100
)

// A Trier is an io.Reader that can be asked for what is there already: TryRead
// is Read, but where that would wait it returns ErrWouldBlock. Unless again is
// set it may say so without asking the kernel, if the last read took all. Its Read
// may return ErrWouldBlock after a long wait: it is asked whether to wait on.
type Trier interface {
	io.Reader
	TryRead(b []byte, again bool) (int, error)
}

// soonTries is how often a reader asks for the rest of a frame before it waits.
// moby/spdystream writes the pieces of a frame one by one: they are a few
// microseconds apart, and to go to sleep in between costs more than to ask.
const soonTries = 4

// Reader gives a source the bytes of one leg, as slices of a borrowed buffer.
//
// While nothing is in hand it holds no buffer: it waits with a few bytes of its
// own. It reads ahead for small needs, so that many small frames cost one read,
// and reads exactly for large ones, so that they need no move.
type Reader struct {
	src  io.Reader
	try  Trier        // src, if it is one and wait is not nil
	wait func() error // called before a read that may block; nil: nothing to do

	buf   *Buffer // nil while idle
	begin int     // buf[begin:end] is unread
	end   int
	peek  [peekSize]byte
	soon  bool // the rest of a frame is wanted
}

// NewReader reads from src. beforeWait, if not nil, is called before each read
// that may block: the relay flushes its sink there, and what is there already is
// taken first if src is a Trier. An error of it is Need's.
func NewReader(src io.Reader, beforeWait func() error) *Reader {
	r := &Reader{src: src, wait: beforeWait}
	if beforeWait != nil {
		r.try, _ = src.(Trier)
	}
	return r
}

// MaxNeed is the most that Need can be asked for, in bytes.
const MaxNeed = bufferSize - Headroom

// Need returns the next n bytes without consuming them; n is 1 to MaxNeed.
// The slice, and Headroom bytes before it (see Room), stay valid until the next
// Need. It returns io.EOF if no byte came, io.ErrUnexpectedEOF if fewer than n.
func (r *Reader) Need(n int) ([]byte, error) { return r.need(n, false) }

// NeedSoon is Need for the rest of a frame, which is on its way.
func (r *Reader) NeedSoon(n int) ([]byte, error) { return r.need(n, true) }

func (r *Reader) need(n int, soon bool) ([]byte, error) {
	r.soon = soon
	if r.end-r.begin < n {
		if err := r.fill(n, soon); err != nil {
			return nil, err
		}
	}
	return r.buf[r.begin : r.begin+n], nil
}

// Room returns the last n bytes that Need gave and Skip consumed, with all the
// room before them: payload is buf[off:].
func (r *Reader) Room(n int) (buf []byte, off int) {
	return r.buf[:r.begin], r.begin - n
}

// Skip consumes n bytes that Need returned.
func (r *Reader) Skip(n int) { r.begin += n }

// Between tells beforeWait that the wait is for a frame to begin. There, and only
// there, may it return ErrIdle.
func (r *Reader) Between() bool { return r.buf == nil && !r.soon }

// Buffered is the number of bytes in hand.
func (r *Reader) Buffered() int { return r.end - r.begin }

// Release gives the buffer back if nothing unread is in it. Sources call it
// when they start to wait for a frame; at the end of a session Close does.
func (r *Reader) Release() {
	if r.buf != nil && r.begin == r.end {
		r.Close()
	}
}

// Close gives the buffer back, with what may be unread in it.
func (r *Reader) Close() {
	if r.buf != nil {
		Return(r.buf)
		r.buf, r.begin, r.end = nil, 0, 0
	}
}

func (r *Reader) fill(n int, soon bool) error {
	r.Release()
	if r.buf == nil {
		got, err := r.read(r.peek[:], soon)
		if err != nil {
			return err
		}
		r.buf = Borrow()
		r.begin = Headroom
		r.end = Headroom + copy(r.buf[Headroom:], r.peek[:got])
	}
	if r.begin+n > len(r.buf) {
		r.end = Headroom + copy(r.buf[Headroom:], r.buf[r.begin:r.end])
		r.begin = Headroom
	}
	for r.end-r.begin < n {
		limit := r.begin + n
		if n < Small {
			limit = len(r.buf)
		}
		got, err := r.read(r.buf[r.end:limit], true)
		r.end += got
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// read waits for at least one byte.
func (r *Reader) read(b []byte, soon bool) (int, error) {
	if r.try != nil {
		tries := 1
		if soon {
			tries = soonTries
		}
		for range tries {
			n, err := r.try.TryRead(b, soon)
			if n > 0 {
				return n, nil
			}
			if err != nil && !errors.Is(err, ErrWouldBlock) {
				return 0, err
			}
		}
	}
	for range maxEmptyReads {
		if r.wait != nil {
			if err := r.wait(); err != nil {
				return 0, err
			}
		}
		n, err := r.src.Read(b)
		if n > 0 {
			return n, nil // an error that came with bytes comes again
		}
		if err != nil && !errors.Is(err, ErrWouldBlock) {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

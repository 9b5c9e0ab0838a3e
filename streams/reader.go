package streams

import (
	"errors"
	"io"
)

const (
	// peekSize is the number of bytes with which an idle Reader waits for a frame; every frame
	// header fits.
	peekSize = 16
	// maxEmptyReads limits consecutive reads that return no bytes and no error.
	maxEmptyReads = 100
)

// A Trier is an io.Reader that can also return the bytes that have already arrived, without
// waiting. TryRead is like Read, but returns ErrWouldBlock where Read would wait. If the parameter
// again is false, and the last read took all bytes, TryRead may return ErrWouldBlock without a
// system call. After a long wait, Read may return ErrWouldBlock too: the Reader then calls its
// function beforeWait again, which decides whether the wait goes on.
type Trier interface {
	io.Reader
	TryRead(b []byte, again bool) (int, error)
}

// soonTries is how often a Reader calls TryRead for the rest of a frame before it waits.
// moby/spdystream writes the pieces of a frame one by one, some microseconds apart. Sleeping
// between the pieces would cost more than these calls.
const soonTries = 4

// Reader reads the bytes of one connection for a Source, and returns them as slices of a borrowed
// buffer.
//
// While it has no unread bytes it holds no buffer: it waits with a small array (peekSize). If the
// Source needs few bytes, the Reader reads ahead, so that one read returns many small frames. If
// the Source needs n bytes of a large payload, the Reader reads exactly n bytes, so that no byte
// must be moved.
type Reader struct {
	src  io.Reader
	try  Trier        // the field src, if src is a Trier and the field wait is set; otherwise nil
	wait func() error // the parameter beforeWait of NewReader: called before a read that may block; nil: no call

	buf   *Buffer // nil: the Reader has no unread bytes
	begin int     // bytes buf[begin:end] are unread
	end   int
	peek  [peekSize]byte
	soon  bool // true: the Source's last call was NeedSoon, for the rest of a frame
}

// NewReader returns a Reader of src. If beforeWait is not nil, the Reader calls it before each read
// that may block: there the relay flushes its sink, which writes to the other side. If src is a
// Trier, the Reader first takes the bytes that have already arrived. If beforeWait returns an
// error, Need returns that error.
func NewReader(src io.Reader, beforeWait func() error) *Reader {
	r := &Reader{src: src, wait: beforeWait}
	if beforeWait != nil {
		r.try, _ = src.(Trier)
	}
	return r
}

// MaxNeed is the largest n for Need, in bytes.
const MaxNeed = bufferSize - Headroom

// Need returns the next n bytes without consuming them; n is 1 to MaxNeed. The slice, and Headroom
// bytes before it (see Room), stay valid until the next Need. If src ends, Need returns io.EOF if
// no byte came, and io.ErrUnexpectedEOF if fewer than n bytes came.
func (r *Reader) Need(n int) ([]byte, error) { return r.need(n, false) }

// NeedSoon is like Need. The Source calls it for the rest of a frame, which should arrive soon.
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

// Room returns the n bytes that Need returned and Skip consumed last, together with the free bytes
// before them: the n bytes are buf[off:].
func (r *Reader) Room(n int) (buf []byte, off int) {
	return r.buf[:r.begin], r.begin - n
}

// Skip consumes n bytes that Need returned.
func (r *Reader) Skip(n int) { r.begin += n }

// Between reports whether the Reader waits for a frame to begin. beforeWait calls it, because only
// then may beforeWait return ErrIdle.
func (r *Reader) Between() bool { return r.buf == nil && !r.soon }

// Buffered returns the number of bytes that the Reader holds and that no Skip has consumed.
func (r *Reader) Buffered() int { return r.end - r.begin }

// Release returns the Reader's buffer to the pool if it has no unread bytes. Sources call Release
// when they start to wait for a frame. At the end of a session they call Close instead.
func (r *Reader) Release() {
	if r.buf != nil && r.begin == r.end {
		r.Close()
	}
}

// Close returns the Reader's buffer to the pool. Unread bytes are lost.
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

// read reads from src into b and returns at least one byte or an error. It waits if necessary.
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
			// Return the bytes without err: the next Read of src returns the error again.
			return n, nil
		}
		if err != nil && !errors.Is(err, ErrWouldBlock) {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

package roundtrip

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	// keptBody limits how many bytes of one request's body edge stores. 1 MiB is enough for most
	// objects, also for a large ConfigMap.
	keptBody = 1 << 20
	// keptBodies limits the stored bodies of all requests together, in bytes: 64 requests of
	// keptBody.
	keptBodies = 64 << 20
)

// A Keeper stores request bodies while they are sent, so that the next RoundTripper can send a
// request again. To do so, that RoundTripper closes the body that it has and gets a new one from
// the request's GetBody. The new body starts at the beginning. GetBody returns ErrNotKept if a part
// of the body was not stored. The RoundTripper closes the new body too, as every RoundTripper does.
//
// Memory is allocated as bytes arrive, and released when the answer's header has arrived. A body
// longer than keptBody passes through and is not stored. The same holds for a body that arrives
// while stored bodies already use keptBodies bytes.
type Keeper struct {
	next http.RoundTripper
	used atomic.Int64 // number of stored bytes of all requests, at most keptBodies
}

// NewKeeper returns a Keeper that passes its requests to next.
func NewKeeper(next http.RoundTripper) *Keeper { return &Keeper{next: next} }

// RoundTrip sends req and does not modify it. If reading req.Body fails, the error is a *BodyError.
func (k *Keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return k.next.RoundTrip(req)
	}
	b := &keptSource{keeper: k, src: req.Body}
	b.turn.L = &b.mu
	out := *req
	out.Body, out.GetBody = b.reader(), b.again
	resp, err := k.next.RoundTrip(&out)
	failed := b.done(err != nil)
	if err != nil && failed != nil {
		return nil, &BodyError{failed}
	}
	return resp, err
}

// keptSource is one request's body, with the part of it that was read so far.
//
// Only one keptReader is current at a time. When an attempt has failed, its reader may still be
// inside a Read of src while the next reader starts. The bytes of that Read are stored too, and the
// next reader waits for them.
type keptSource struct {
	keeper *Keeper
	src    io.ReadCloser

	mu      sync.Mutex
	turn    sync.Cond // signals that a Read of the field src has returned
	data    []byte    // all bytes read so far, from the beginning
	lost    bool      // true: the field data is not complete, because bytes were dropped
	err     error     // the error that a Read of the field src has returned, also io.EOF
	reading bool      // true: a goroutine is in a Read of the field src
	current *keptReader
	over    bool // true: RoundTrip has returned, and no more bytes are stored
}

// A keptReader is the request body of one attempt to send the request.
type keptReader struct {
	b      *keptSource
	at     int // offset in the stored body (b.data) of the next byte to read
	closed bool
}

func (b *keptSource) reader() *keptReader {
	r := &keptReader{b: b}
	b.current = r
	return r
}

// again is the request's GetBody: it returns a reader that begins at the start of the body.
func (b *keptSource) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost || b.over {
		return nil, ErrNotKept
	}
	if b.current != nil {
		b.current.closed = true
	}
	return b.reader(), nil
}

// Read returns the stored bytes of the body first, then the bytes that it reads from src, the
// client's body.
func (r *keptReader) Read(p []byte) (int, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case r.closed || r != b.current:
			return 0, http.ErrBodyReadAfterClose
		case !b.lost && r.at < len(b.data):
			n := copy(p, b.data[r.at:])
			r.at += n
			if b.over && r.at == len(b.data) {
				b.drop()
			}
			return n, nil
		case b.err != nil:
			return 0, b.err
		case len(p) == 0:
			return 0, nil
		case !b.reading:
			return b.fetch(r, p)
		}
		b.turn.Wait()
	}
}

// fetch reads more bytes from src. The caller holds b.mu; fetch unlocks it during the Read.
func (b *keptSource) fetch(r *keptReader, p []byte) (int, error) {
	b.reading = true
	b.mu.Unlock()
	n, err := b.src.Read(p)
	b.mu.Lock()
	b.reading = false
	if err != nil {
		b.err = err
	}
	b.keep(p[:n])
	b.turn.Broadcast()
	if r.closed || r != b.current { // the reader of the next attempt gets these bytes from b.data
		return 0, http.ErrBodyReadAfterClose
	}
	r.at += n
	return n, err
}

// keep stores p, if the limits keptBody and keptBodies allow it. Otherwise it drops all stored
// bytes of the body.
func (b *keptSource) keep(p []byte) {
	if b.lost || len(p) == 0 {
		return
	}
	had := cap(b.data)
	if b.over || len(b.data)+len(p) > keptBody {
		b.drop()
		return
	}
	if room := had - len(b.data); len(p) > room {
		grown := min(max(2*had, len(b.data)+len(p)), keptBody)
		if b.keeper.used.Add(int64(grown-had)) > keptBodies {
			b.keeper.used.Add(int64(had - grown))
			b.drop()
			return
		}
		b.data = append(make([]byte, 0, grown), b.data...)
	}
	b.data = append(b.data, p...)
}

// drop releases the stored body.
func (b *keptSource) drop() {
	b.keeper.used.Add(-int64(cap(b.data)))
	b.data, b.lost = nil, true
}

// Close ends the reader of one attempt; the transport calls it. src stays open until the request
// ends.
func (r *keptReader) Close() error {
	b := r.b
	b.mu.Lock()
	r.closed = true
	over := b.over && r == b.current
	if over {
		b.drop()
	}
	b.turn.Broadcast()
	b.mu.Unlock()
	if over {
		return b.src.Close()
	}
	return nil
}

// done is called when RoundTrip has returned. It releases the stored bytes, unless a second attempt
// still has to read some of them. It returns the error of reading src, or nil at io.EOF.
func (b *keptSource) done(failed bool) error {
	b.mu.Lock()
	b.over = true
	r := b.current
	r.closed = r.closed || failed
	closing := r.closed
	if closing || r.at == len(b.data) {
		b.drop()
	}
	b.turn.Broadcast()
	err := b.err
	b.mu.Unlock()
	if closing {
		b.src.Close()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

package roundtrip

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	// keptBody is how much of one request's body is kept, in bytes: what most objects have, a large ConfigMap too.
	keptBody = 1 << 20
	// keptBodies is how much is kept of all, in bytes: 64 requests at their most.
	keptBodies = 64 << 20
)

// A Keeper keeps bodies while they are sent, so that a layer below it can send a request once more: it closes the body
// that it had, and takes one from the request's GetBody, which starts at the beginning and is ErrNotKept where that is
// gone. The layer closes that, too, as every RoundTripper does.
//
// Memory is taken as bytes arrive, and given back when the answer's head is there. A body that is longer than keptBody,
// or that comes when keptBodies are in use, passes through and is not kept.
type Keeper struct {
	next http.RoundTripper
	used atomic.Int64 // bytes, of keptBodies
}

// NewKeeper puts a Keeper before next.
func NewKeeper(next http.RoundTripper) *Keeper { return &Keeper{next: next} }

// RoundTrip sends req, which is not changed. An error of reading the body is a *BodyError.
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

// keptSource is one request's body, and what of it was read so far.
//
// Readers take turns: one that fails may still stand in a Read of src when the next one begins. What that Read returns
// is kept, too, and the next reader waits for it.
type keptSource struct {
	keeper *Keeper
	src    io.ReadCloser

	mu      sync.Mutex
	turn    sync.Cond // a Read of src is over
	data    []byte    // from the beginning, all that was read
	lost    bool      // data is not all that was read
	err     error     // of src, its end too
	reading bool      // somebody stands in src.Read
	current *keptReader
	over    bool // RoundTrip has returned: nothing is kept any more
}

// A keptReader is the body of one try.
type keptReader struct {
	b      *keptSource
	at     int // in data
	closed bool
}

func (b *keptSource) reader() *keptReader {
	r := &keptReader{b: b}
	b.current = r
	return r
}

// again is the request's GetBody.
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

// Read gives what is kept, then what comes.
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

// fetch reads on from src. It is called, and returns, with mu held.
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
	if r.closed || r != b.current { // the bytes are the next reader's
		return 0, http.ErrBodyReadAfterClose
	}
	r.at += n
	return n, err
}

// keep adds p to what is kept, as far as there is room.
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

// drop gives the memory back.
func (b *keptSource) drop() {
	b.keeper.used.Add(-int64(cap(b.data)))
	b.data, b.lost = nil, true
}

// Close is the transport's: it ends this try's reader. The client's body ends with the request.
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

// done is for when RoundTrip returns: memory goes back, but for what the transport has yet to read of a second try. It
// returns what broke the body, if anything did.
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

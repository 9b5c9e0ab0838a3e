package bridge

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"edge/impersonate"
)

// An Observer is told what becomes of each request, but of a preflight that edge
// answers (see crossOrigin). It decides nothing, but that a request which cannot be
// put on record is not served. Package audit is one.
type Observer interface {
	// Begin is called when a request has arrived. Its header is the client's, but for
	// X-Forwarded-For, which is edge's word; credentials are still in it, and the
	// Observation is to keep none.
	Begin(r *http.Request) Observation
}

// An Observation is about one request. Its methods are called one after the other,
// in this order, each at most once; after Ended nothing is.
type Observation interface {
	// Identified says who sent the request and as whom it goes on, or why it is
	// refused; then of the identity only the Requestor may be set. An error refuses
	// the request: it is the answer if it is an APIStatus, else a 500. r is as Begin
	// saw it, without its credential.
	Identified(r *http.Request, id impersonate.Identity, refused error) error
	// Started says that the answer begins, with this status: 101 for a stream.
	Started(code int)
	// Ended says that all is over: the answer is written, or the stream closed.
	Ended(End)
}

// End is how a request ended.
type End struct {
	Code     int           // of the answer; 0 if none was begun
	In, Out  int64         // bytes from and to the client: of bodies, or of a stream's connection
	Duration time.Duration // since the request arrived
	// Refusal says why edge itself is the author of the answer; "" if the API server is.
	Refusal Reason
	// Cut: the answer, or the stream, was not brought to its end.
	Cut bool
	// Panic is what ended the request if edge has a bug. Cutting an answer is none.
	Panic any
	// Stream is set for what was upgraded.
	Stream *Stream
}

// Stream is a session that has ended.
type Stream struct {
	ID         string // as in the log
	Downstream string // dialects
	Upstream   string
	Cause      string
}

// sighting is an Observation with what bridge has to count for it. Without an
// Observer it is nil, and does nothing.
type sighting struct {
	Observation
	began   time.Time
	answer  *watched
	body    *counted
	session bool // the session tells the end
}

func (h *Handler) begin(r *http.Request) *sighting {
	if h.observe == nil {
		return nil
	}
	s := &sighting{began: time.Now(), Observation: h.observe.Begin(r)}
	if r.Body != nil && r.Body != http.NoBody {
		s.body = &counted{ReadCloser: r.Body}
		r.Body = s.body
	}
	return s
}

func (s *sighting) identified(r *http.Request, id impersonate.Identity, refused error) error {
	if s == nil {
		return nil
	}
	return s.Identified(r, id, refused)
}

func (s *sighting) watch(w http.ResponseWriter) http.ResponseWriter {
	if s == nil {
		return w
	}
	s.answer = &watched{ResponseWriter: w, started: s.Started}
	return s.answer
}

// returned is deferred by the handler. A panic is how a handler cuts an answer, and
// goes on.
func (s *sighting) returned(r *http.Request) {
	if s == nil || s.session {
		return
	}
	p := recover()
	end := End{
		Code: s.answer.code, Out: s.answer.written, Duration: time.Since(s.began), Refusal: s.answer.refusal,
		Cut: p != nil || r.Context().Err() != nil,
	}
	if p != http.ErrAbortHandler {
		end.Panic = p
	}
	if s.body != nil {
		end.In = s.body.read.Load()
	}
	s.Ended(end)
	if p != nil {
		panic(p)
	}
}

// switching says that the 101 is next.
func (s *sighting) switching() {
	if s != nil {
		s.answer.begin(http.StatusSwitchingProtocols)
	}
}

// handOver leaves the end to a session, which may last for days. By the answer it
// would keep net/http's connection: the request and 10 KiB of buffers.
func (s *sighting) handOver() {
	if s != nil {
		s.session = true
		s.answer, s.body = nil, nil
	}
}

// ended is the session's. The code is 101.
func (s *sighting) ended(in, out int64, cause error, stream Stream) {
	if s == nil {
		return
	}
	end := End{
		Code: http.StatusSwitchingProtocols, In: in, Out: out, Duration: time.Since(s.began), Cut: cause != errCompleted, Stream: &stream,
	}
	if bug := (*panicError)(nil); errors.As(cause, &bug) {
		end.Panic = bug.value
	}
	s.Ended(end)
}

// watched notes what is answered.
type watched struct {
	http.ResponseWriter
	started func(code int)
	code    int
	written int64
	refusal Reason
}

func (w *watched) WriteHeader(code int) {
	if code >= http.StatusOK {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) begin(code int) {
	if w.code == 0 {
		w.code = code
		w.started(code)
	}
}

func (w *watched) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// counted counts what is read of a request's body.
type counted struct {
	io.ReadCloser
	read atomic.Int64 // the transport may read on for a moment
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.read.Add(int64(n))
	return n, err
}

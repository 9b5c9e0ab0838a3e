package bridge

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
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
	// Streaming says that the request is to become this stream, of which the dialect
	// upstream is not known yet. An error refuses it, as that of Identified does.
	Streaming(Stream) error
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
	Refusal status.Reason
	// Cut: the answer, or the stream, was not brought to its end.
	Cut bool
	// Panic is what ended the request if edge has a bug. Cutting an answer is none.
	Panic any
	// Stream is set for what was upgraded.
	Stream *Stream
}

// Stream is an exec, attach or port-forward, or another upgrade.
type Stream struct {
	ID         string // as in the log
	Verb       string // exec, attach or portforward; "" of other upgrades
	Namespace  string // of Pod
	Pod        string
	Downstream string // dialects
	Upstream   string
	Cause      session.Cause // "": it has not ended
	Detail     string        // what the log says of Cause, which may name addresses
}

func streamOf(d session.Description) Stream {
	return Stream{
		ID: d.ID, Verb: d.Target.Verb, Namespace: d.Target.Namespace, Pod: d.Target.Pod, Downstream: d.Downstream, Upstream: d.Upstream,
	}
}

// Observers joins several into one. Of none it is nil.
func Observers(all ...Observer) Observer {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return observers(all)
}

type observers []Observer

func (all observers) Begin(r *http.Request) Observation {
	seen := make(observations, len(all))
	for i, o := range all {
		seen[i] = o.Begin(r)
	}
	return seen
}

type observations []Observation

// Identified asks all; one refusal is enough.
func (all observations) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	var vetoes []error
	for _, o := range all {
		vetoes = append(vetoes, o.Identified(r, id, refused))
	}
	return errors.Join(vetoes...)
}

// Streaming asks all; one refusal is enough.
func (all observations) Streaming(s Stream) error {
	var vetoes []error
	for _, o := range all {
		vetoes = append(vetoes, o.Streaming(s))
	}
	return errors.Join(vetoes...)
}

func (all observations) Started(code int) {
	for _, o := range all {
		o.Started(code)
	}
}

func (all observations) Ended(end End) {
	for _, o := range all {
		o.Ended(end)
	}
}

// observed is an Observation with what bridge has to count for it. Without an
// Observer it is nil, and does nothing.
type observed struct {
	Observation
	began      time.Time
	answer     *answerRecorder
	body       *countedBody
	handedOver bool // the session tells the end
}

// begin tells an Observer of a request; nil: there is none.
func begin(observe Observer, r *http.Request) *observed {
	if observe == nil {
		return nil
	}
	s := &observed{began: time.Now(), Observation: observe.Begin(r)}
	if r.Body != nil && r.Body != http.NoBody {
		s.body = &countedBody{ReadCloser: r.Body}
		r.Body = s.body
	}
	return s
}

func (s *observed) identified(r *http.Request, id impersonate.Identity, refused error) error {
	if s == nil {
		return nil
	}
	return s.Identified(r, id, refused)
}

func (s *observed) streaming(d session.Description) error {
	if s == nil {
		return nil
	}
	return s.Streaming(streamOf(d))
}

func (s *observed) recordAnswer(w http.ResponseWriter) http.ResponseWriter {
	if s == nil {
		return w
	}
	s.answer = &answerRecorder{ResponseWriter: w, started: s.Started}
	return s.answer
}

// handlerReturned is deferred by the handler. A panic is how a handler cuts an answer, and
// goes on.
func (s *observed) handlerReturned(r *http.Request) {
	if s == nil || s.handedOver {
		return
	}
	p := recover()
	end := End{
		Code: s.answer.code, Out: s.answer.written, Duration: time.Since(s.began), Refusal: s.answer.refusal,
		Cut: p != nil || r.Context().Err() != nil,
	}
	if p != http.ErrAbortHandler { // itself, as net/http looks for it: an error that wraps it is a panic
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

// switchingProtocols says that the 101 is next.
func (s *observed) switchingProtocols() {
	if s != nil {
		s.answer.begin(http.StatusSwitchingProtocols)
	}
}

// handOver leaves the end to a session, which may last for days, and returns what it is to call; nil: nothing. By the
// answer it would keep net/http's connection: the request and 10 KiB of buffers.
func (s *observed) handOver() func(session.Summary) {
	if s == nil {
		return nil
	}
	s.handedOver = true
	s.answer, s.body = nil, nil
	return s.ended
}

// ended is the session's. The code is 101.
func (s *observed) ended(end session.Summary) {
	stream := streamOf(end.Description)
	stream.Cause, stream.Detail = end.Cause, end.Detail
	s.Ended(End{
		Code: http.StatusSwitchingProtocols, In: end.In, Out: end.Out, Duration: time.Since(s.began), Cut: end.Cause != session.CauseCompleted,
		Panic: end.Panic, Stream: &stream,
	})
}

// answerRecorder notes what is answered.
type answerRecorder struct {
	http.ResponseWriter
	started func(code int)
	code    int
	written int64
	refusal status.Reason
}

func (w *answerRecorder) WriteHeader(code int) {
	if code >= http.StatusOK {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *answerRecorder) begin(code int) {
	if w.code == 0 {
		w.code = code
		w.started(code)
	}
}

func (w *answerRecorder) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}

// NoteReason is for who answers in edge's own name.
func (w *answerRecorder) NoteReason(reason status.Reason) { w.refusal = reason }

// Unwrap is for http.ResponseController.
func (w *answerRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// countedBody counts what is read of a request's body.
type countedBody struct {
	io.ReadCloser
	read atomic.Int64 // the transport may read on for a moment
}

func (c *countedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// Uncounted is for who drops a body that nobody served.
func (c *countedBody) Uncounted() io.ReadCloser { return c.ReadCloser }

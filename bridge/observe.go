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

// An Observer is notified of each request, except a CORS preflight that edge answers itself (see
// crossOrigin). An Observer cannot change a request. It can only refuse a request that it cannot
// record. Package audit implements an Observer.
type Observer interface {
	// Begin is called when a request has arrived. The header of r is the client's, except for
	// X-Forwarded-For and Audit-ID, which edge has set. The header still contains credentials; the Observation
	// must not keep them.
	Begin(r *http.Request) Observation
}

// An Observation is an Observer's record of one request. Its methods are called one at a time, in
// the order in which they are listed here, each at most once. No method is called after Ended.
type Observation interface {
	// Identified reports the identity under which the request goes upstream, or in refused the
	// reason why edge refuses it. If refused is set, only the Requestor of id may be set. If
	// Identified returns an error, edge refuses the request: an APIStatus error is the answer, any
	// other becomes a 500. r is the request that was passed to Begin, without its credential.
	Identified(r *http.Request, id impersonate.Identity, refused error) error
	// Streaming reports that the request is about to become the stream that the argument describes.
	// Stream.Upstream is not known yet. An error refuses the request, as in Identified.
	Streaming(stream Stream) error
	// Started reports that the answer begins. code is its status code: 101 for a stream.
	Started(code int)
	// Ended reports that the request is over: the answer is written, or the stream is closed.
	Ended(end End)
}

// End describes how a request ended.
type End struct {
	Code int // status code of the answer; 0 if no answer was begun
	// In and Out count the bytes from and to the client: of the bodies, or of the connection if the
	// request became a stream.
	In, Out  int64
	Duration time.Duration // time from the arrival of the request to its end
	// Refusal is the reason why edge itself answered the request; "" if the API server answered.
	Refusal status.Reason
	// Cut is true if the answer or the stream ended early.
	Cut bool
	// Panic is the value of a panic that ended the request, which is a bug in edge.
	// http.ErrAbortHandler is not reported.
	Panic any
	// Stream is set if the request was upgraded.
	Stream *Stream
}

// Stream describes an exec, an attach, a port-forward or another upgrade.
type Stream struct {
	ID         string // the session's ID in the log
	AuditID    string // of the request that became the stream
	Verb       string // exec, attach or portforward; "" for other upgrades
	Namespace  string // the namespace of Pod
	Pod        string
	Downstream string // dialects on the client's side, and on the API server's side
	Upstream   string
	Cause      session.Cause // "": the stream has not ended
	Detail     string        // the log's text for Cause; it may contain network addresses
}

func streamOf(d session.Description) Stream {
	return Stream{
		ID: d.ID, AuditID: d.AuditID, Verb: d.Target.Verb, Namespace: d.Target.Namespace, Pod: d.Target.Pod, Downstream: d.Downstream, Upstream: d.Upstream,
	}
}

// Observers combines several observers into one. It returns nil if there are none.
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

// Identified calls Identified of every observation. The request is refused if at least one of them
// returns an error.
func (all observations) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	var vetoes []error
	for _, o := range all {
		vetoes = append(vetoes, o.Identified(r, id, refused))
	}
	return errors.Join(vetoes...)
}

// Streaming calls Streaming of every observation. The stream is refused if at least one of them
// returns an error.
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

// observed is an Observation together with the counters that bridge keeps for it. Without an
// Observer it is nil, and all its methods do nothing.
type observed struct {
	Observation
	began      time.Time
	answer     *answerRecorder
	body       *countedBody
	handedOver bool // the session, not the HTTP handler, reports the end of the request
}

// begin notifies the Observer observe of a request. It returns nil if observe is nil.
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

// handlerReturned reports the end of the request to the Observer. ServeHTTP defers it. Code that
// handles a request panics to cut an answer short; handlerReturned passes the panic on.
func (s *observed) handlerReturned(r *http.Request) {
	if s == nil || s.handedOver {
		return
	}
	p := recover()
	end := End{
		Code: s.answer.code, Out: s.answer.written, Duration: time.Since(s.began), Refusal: s.answer.refusal,
		Cut: p != nil || r.Context().Err() != nil,
	}
	// Compare with !=, as net/http does: a panic with an error that wraps ErrAbortHandler counts as
	// a bug.
	if p != http.ErrAbortHandler { //nolint:errorlint // see above
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

// switchingProtocols reports to the Observer that edge writes the 101 next.
func (s *observed) switchingProtocols() {
	if s != nil {
		s.answer.begin(http.StatusSwitchingProtocols)
	}
}

// handOver transfers the duty to report the end of the stream from the HTTP handler to a session,
// which may last for days. It returns the function that the session must call at its end, or nil
// without an Observer. handOver drops the fields answer and body: they would keep net/http's
// connection, that is the request and 10 KiB of buffers, in memory.
func (s *observed) handOver() func(session.Summary) {
	if s == nil {
		return nil
	}
	s.handedOver = true
	s.answer, s.body = nil, nil
	return s.ended
}

// ended reports the end of a stream to the Observer. The session calls it. The status code is
// always 101.
func (s *observed) ended(end session.Summary) {
	stream := streamOf(end.Description)
	stream.Cause, stream.Detail = end.Cause, end.Detail
	s.Ended(End{
		Code: http.StatusSwitchingProtocols, In: end.In, Out: end.Out, Duration: time.Since(s.began), Cut: end.Cause != session.CauseCompleted,
		Panic: end.Panic, Stream: &stream,
	})
}

// answerRecorder records the status code, the size and the refusal reason of the answer.
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

// NoteReason is called by code that answers on behalf of edge itself. It stores the Reason for the
// Observer.
func (w *answerRecorder) NoteReason(reason status.Reason) { w.refusal = reason }

// Unwrap lets http.ResponseController find the underlying writer.
func (w *answerRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// countedBody counts the bytes that are read from a request's body.
type countedBody struct {
	io.ReadCloser
	read atomic.Int64 // bytes read; the transport may read after the handler has returned
}

func (c *countedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// Uncounted returns the client's body, for code that discards the body of a refused request.
func (c *countedBody) Uncounted() io.ReadCloser { return c.ReadCloser }

package bridge

import (
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"edge/streams"
)

// times are a session's waits. Only tests have others than these.
type times struct {
	// keepalive is how often each leg gets a ping; load balancers drop a
	// connection after 60 s without a byte.
	keepalive time.Duration
	// linger bounds how long an ended session waits for its peers to close.
	linger time.Duration
	// answer bounds the wait for a client's Close, which RFC 6455 section 5.5.1 asks
	// of it and which comes in a round trip.
	answer time.Duration
	// open bounds how long an SPDY client may take to open its streams, as the
	// container runtime does.
	open time.Duration
	// holdBack bounds how long one connection of a port-forward, if it has an
	// upstream session of its own that takes no bytes, may hold up the others.
	holdBack time.Duration
	// idle is how long such a session is kept without a connection.
	idle time.Duration
}

const maxHoldBack = 30 * time.Second

var defaultTimes = times{keepalive: 20 * time.Second, linger: 5 * time.Second, answer: time.Second, open: 30 * time.Second, holdBack: maxHoldBack, idle: time.Minute}

// session is one exec, attach, port-forward or opaque upgrade, from upstream's
// 101 to the close of both connections. It runs in two goroutines, one for each
// direction, and the registry knows it until both have ended.
type session struct {
	id         string
	user       string
	requestor  string // who acts as user; "": the user
	target     target
	downstream string // dialects, for the log
	upstream   string
	log        *slog.Logger
	times

	down, up  *leg
	idlers    *idlePoller // waits for legs whose loops rest; nil: their goroutines do
	started   time.Time
	upstreams int // upstream sessions that a port-forward used; 0: the one

	// answers: upstream answers pings, or it is lost. An API server that feeds a
	// process which does not read may be silent for long; its clients give it up.
	answers bool
	// onLost is called at the end if upstream was lost; may be nil.
	onLost func()
	seen   *sighting // told at the end

	tick struct {
		sync.Mutex
		timer *time.Timer
		done  bool
		also  func() // for legs that come and go; may be nil
	}

	end struct {
		sync.Mutex
		cause error // the first reason to end
	}
	over chan struct{} // closed when there is a cause
}

// Causes of a session's end. They are compared, and logged.
var (
	errCompleted  = errors.New("completed")
	errClientGone = errors.New("client gone")
	errNoStatus   = errors.New("upstream ended the session without a status")
	errBadStatus  = errors.New("upstream ended the session with a status that is not one")
	errNotOpened  = errors.New("client did not open its streams in time")
	errShutdown   = errors.New("edge is shutting down")
	errSilent     = errors.New("upstream does not answer any more")
)

// closedError is a client's Close, which is answered with its code (0: none).
type closedError struct{ code uint32 }

func (e *closedError) Error() string { return "client closed the session" }

// breachError is a client's breach of its protocol.
type breachError struct{ err error }

func (e *breachError) Error() string { return "client: " + e.err.Error() }
func (e *breachError) Unwrap() error { return e.err }

func (e *breachError) closeCode() uint32 {
	var protocol *streams.ProtocolError
	if errors.As(e.err, &protocol) {
		return uint32(protocol.Code)
	}
	return streams.ClosePolicy
}

// ended notes why the session ends; the first cause stays.
func (s *session) ended(cause error) {
	s.end.Lock()
	defer s.end.Unlock()
	if s.end.cause == nil {
		s.end.cause = cause
		close(s.over)
	}
}

func (s *session) cause() error {
	s.end.Lock()
	defer s.end.Unlock()
	return s.end.cause
}

// lost ends a session whose client takes no more bytes. Nobody else might ever
// notice: while upstream takes no stdin, the client is not read.
func (s *session) lost() {
	if s.cause() == nil {
		s.abort(errClientGone)
	}
}

// abort ends both legs at once.
func (s *session) abort(cause error) {
	s.ended(cause)
	s.up.shut()
	s.down.shut()
}

// keepalives starts the session's one timer.
func (s *session) keepalives() {
	s.tick.Lock()
	defer s.tick.Unlock()
	s.tick.timer = time.AfterFunc(s.times.keepalive, func() {
		s.tick.Lock()
		defer s.tick.Unlock()
		if s.tick.done {
			return
		}
		s.down.keepalive()
		// While the client holds the output back, upstream may have ended already,
		// with its last words in buffers on the way: a byte to an end that is closed
		// is answered by a reset, which drops them.
		if s.up.reading.Load() {
			s.up.keepalive()
		}
		if s.answers && s.up.silent() >= mostSilent {
			s.ended(errSilent)
			s.up.shut()
		}
		if s.tick.also != nil {
			s.tick.also()
		}
		s.tick.timer.Reset(s.times.keepalive)
	})
}

// mostSilent is how many keepalives in a row may go without a byte in return, where
// answers is set: 80 s. client-go waits 61 s.
const mostSilent = 4

// keepAlso adds keepalives of other legs.
func (s *session) keepAlso(also func()) {
	s.tick.Lock()
	defer s.tick.Unlock()
	s.tick.also = also
}

// contain is deferred by each goroutine of a session.
func (s *session) contain() {
	if p := recover(); p != nil {
		s.abort(&panicError{p, debug.Stack()})
	}
}

// what is what the log says of a session, when it begins and when it has ended.
func (s *session) what() []any {
	line := []any{
		"session", s.id,
		"user", s.user,
		"verb", s.target.verb,
		"namespace", s.target.namespace,
		"pod", s.target.pod,
		"proxied", s.target.via(),
		"downstream", s.downstream,
		"upstream", s.upstream,
	}
	if s.requestor != "" {
		line = append(line, "requestor", s.requestor)
	}
	return line
}

// begun logs that a session begins: an edge that is killed in the meantime leaves at
// least this of it.
func (s *session) begun() { s.log.Info("session began", s.what()...) }

// finish closes both legs, waits for their goroutines and logs the end.
func (s *session) finish() {
	s.tick.Lock()
	s.tick.done = true
	s.tick.timer.Stop()
	s.tick.Unlock()
	s.up.close()
	s.down.close()

	cause := s.cause()
	if cause == nil {
		cause = errCompleted
	}
	line := append(s.what(),
		"bytesUp", s.down.in.Load(),
		"bytesDown", s.down.out.Load(),
		"duration", time.Since(s.started).Round(time.Millisecond),
		"cause", cause.Error(),
	)
	if s.upstreams > 0 {
		line = append(line, "upstreamSessions", s.upstreams)
	}
	s.log.Info("session ended", line...)
	s.seen.ended(s.down.in.Load(), s.down.out.Load(), cause,
		Stream{ID: s.id, Downstream: s.downstream, Upstream: s.upstream, Cause: cause.Error()})
	if s.onLost != nil && isLost(cause) {
		s.onLost()
	}
	if bug := (*panicError)(nil); errors.As(cause, &bug) {
		s.log.Error("a session panicked", "session", s.id, "stack", string(bug.stack))
	}
}

// brokenError is upstream's connection that broke, or upstream's breach of its
// protocol. The log has the details, which name addresses.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "upstream connection: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// isLost tells whether a cause is upstream's end without a word about the outcome.
func isLost(cause error) bool {
	var broken *brokenError
	return cause == errNoStatus || cause == errBadStatus || cause == errSilent || errors.As(cause, &broken)
}

// upstreamError says in words of ours why upstream's side ended.
func upstreamError(err error) error {
	if err == io.EOF {
		return errNoStatus
	}
	return &brokenError{err}
}

// clientError says why the client's side ended.
func clientError(err error) error {
	var protocol *streams.ProtocolError
	if errors.As(err, &protocol) || errors.Is(err, streams.ErrReplies) {
		return &breachError{err}
	}
	if isPanic(err) || err == errClientLeft {
		return err
	}
	return errClientGone
}

// shutdown ends the session because edge ends: upstream goes first, so that the
// loop which speaks to the client can still tell it.
func (s *session) shutdown() {
	s.ended(errShutdown)
	s.up.shut()
}

// awaitClose reads a client that broke the protocol to its end: its bytes mean
// nothing any more, but unread they would make the close a reset, and our
// goodbye could be lost.
func (s *session) awaitClose() {
	s.down.conn.SetReadDeadline(time.Now().Add(s.linger))
	s.discard()
	s.down.shut()
}

// discard reads the client to its end.
func (s *session) discard() {
	buf := make([]byte, 512)
	for {
		if _, err := s.down.Read(buf); err != nil {
			return
		}
	}
}

// awaitAnswer lets a WebSocket client, which has been sent a Close, answer it or
// go before edge half-closes. A load balancer that speaks HTTP/2 to a browser (RFC
// 8441) may make a reset of the half-close, and whoever can answer no more takes
// it for an abnormal end.
func (s *session) awaitAnswer(answered, gone <-chan struct{}) {
	late := time.NewTimer(min(s.answer, s.linger))
	defer late.Stop()
	select {
	case <-answered:
	case <-gone:
	case <-late.C:
	}
}

package session

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
)

// Times are a session's waits. Only tests have others than these.
type Times struct {
	// Keepalive is how often each leg gets a ping; load balancers drop a
	// connection after 60 s without a byte.
	Keepalive time.Duration
	// Linger bounds how long an ended session waits for its peers to close.
	Linger time.Duration
	// Answer bounds the wait for a client's Close, which RFC 6455 section 5.5.1 asks
	// of it and which comes in a round trip.
	Answer time.Duration
	// Open bounds how long an SPDY client may take to open its streams, as the
	// container runtime does.
	Open time.Duration
	// HoldBack bounds how long one connection of a port-forward, if it has an
	// upstream session of its own that takes no bytes, may hold up the others.
	HoldBack time.Duration
	// Idle is how long such a session is kept without a connection.
	Idle time.Duration
}

const maxHoldBack = 30 * time.Second

var DefaultTimes = Times{Keepalive: keepaliveInterval, Linger: 5 * time.Second, Answer: time.Second, Open: 30 * time.Second, HoldBack: maxHoldBack, Idle: time.Minute}

// Description says what a stream is. It does not change.
type Description struct {
	ID         string // as in the log
	User       string // as whom it goes upstream
	Requestor  string // who acts as User; "": the user
	Target     negotiate.Target
	Downstream string // dialects
	Upstream   string // "" before upstream has answered
	Started    time.Time
}

// Summary says how a stream ended.
type Summary struct {
	Description
	Cause    Cause
	Detail   string // what the log says of the cause, which may name addresses
	In, Out  int64  // bytes from and to the client
	Duration time.Duration
	Sessions int // upstream sessions that a port-forward used; 0: the one
	Panic    any // what ended it if edge has a bug
}

// session is one exec, attach, port-forward or opaque upgrade, from upstream's
// 101 to the close of both connections. It runs in two goroutines, one for each
// direction, and the registry knows it until both have ended.
type session struct {
	Description
	log *slog.Logger
	Times

	down, up   *leg.Leg
	idlePoller *leg.IdlePoller // waits for legs whose loops rest; nil: their goroutines do
	upstreams  int             // upstream sessions that a port-forward used; 0: the one

	answersPings bool // see Params
	// onLost is called at the end if upstream was lost; may be nil.
	onLost func()
	onEnd  func(Summary) // called last of all; may be nil

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
	done chan struct{} // closed when there is a cause
}

// setCause notes why the session ends; the first cause stays.
func (s *session) setCause(cause error) {
	s.end.Lock()
	defer s.end.Unlock()
	if s.end.cause == nil {
		s.end.cause = cause
		close(s.done)
	}
}

func (s *session) cause() error {
	s.end.Lock()
	defer s.end.Unlock()
	return s.end.cause
}

// clientLost ends a session whose client takes no more bytes. Nobody else might ever
// notice: while upstream takes no stdin, the client is not read.
func (s *session) clientLost() {
	if s.cause() == nil {
		s.abort(errClientGone)
	}
}

// abort ends both legs at once.
func (s *session) abort(cause error) {
	s.setCause(cause)
	s.up.Cut()
	s.down.Cut()
}

// describe is what the log says of a session, when it begins and when it has ended.
func (s *session) describe() []any {
	line := []any{
		"session", s.ID,
		"user", s.User,
		"verb", s.Target.Verb,
		"namespace", s.Target.Namespace,
		"pod", s.Target.Pod,
		"proxied", s.Target.Via(),
		"downstream", s.Downstream,
		"upstream", s.Upstream,
	}
	if s.Requestor != "" {
		line = append(line, "requestor", s.Requestor)
	}
	return line
}

// logBegin logs that a session begins: an edge that is killed in the meantime leaves at
// least this of it.
func (s *session) logBegin() { s.log.Info("session began", s.describe()...) }

// finish closes both legs, waits for their goroutines and logs the end.
func (s *session) finish() {
	s.tick.Lock()
	s.tick.done = true
	s.tick.timer.Stop()
	s.tick.Unlock()
	s.up.Close()
	s.down.Close()

	cause := s.cause()
	if cause == nil {
		cause = errCompleted
	}
	end := Summary{
		Description: s.Description, Cause: causeOf(cause), Detail: cause.Error(),
		In: s.down.BytesRead(), Out: s.down.BytesWritten(), Duration: time.Since(s.Started), Sessions: s.upstreams,
	}
	bug := (*panicError)(nil)
	if errors.As(cause, &bug) {
		end.Panic = bug.value
	}
	line := append(s.describe(),
		"bytesUp", end.In,
		"bytesDown", end.Out,
		"duration", end.Duration.Round(time.Millisecond),
		"cause", end.Detail,
	)
	if end.Sessions > 0 {
		line = append(line, "upstreamSessions", end.Sessions)
	}
	s.log.Info("session ended", line...)
	if s.onEnd != nil {
		s.onEnd(end)
	}
	if s.onLost != nil && isLost(cause) {
		s.onLost()
	}
	if bug != nil {
		s.log.Error("a session panicked", "session", s.ID, "stack", string(bug.stack))
	}
}

// stop ends the session for a reason of edge's: upstream goes first, so that the
// loop which speaks to the client can still tell it.
func (s *session) stop(cause error) {
	s.setCause(cause)
	s.up.Cut()
}

// keepalives starts the session's one timer.
func (s *session) keepalives() {
	s.tick.Lock()
	defer s.tick.Unlock()
	s.tick.timer = time.AfterFunc(s.Times.Keepalive, func() {
		s.tick.Lock()
		defer s.tick.Unlock()
		if s.tick.done {
			return
		}
		s.down.Keepalive()
		// While the client holds the output back, upstream may have ended already,
		// with its last words in buffers on the way: a byte to an end that is closed
		// is answered by a reset, which drops them.
		if s.up.IsReading() {
			s.up.Keepalive()
		}
		if s.answersPings && s.up.Silent() >= mostSilent {
			s.setCause(errSilent)
			s.up.Cut()
		}
		if s.tick.also != nil {
			s.tick.also()
		}
		s.tick.timer.Reset(s.Times.Keepalive)
	})
}

// alsoKeepAlive has the session's timer call also, for the keepalives of legs that come and go.
func (s *session) alsoKeepAlive(also func()) {
	s.tick.Lock()
	defer s.tick.Unlock()
	s.tick.also = also
}

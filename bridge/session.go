package bridge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"edge/streams"
)

const (
	// keepaliveEvery is how often each leg gets a ping; load balancers drop a
	// connection after 60 s without a byte.
	keepaliveEvery = 20 * time.Second
	// linger bounds how long an ended session waits for its peers to close.
	linger = 5 * time.Second
	// openTimeout bounds how long an SPDY client may take to open its streams,
	// as the container runtime does.
	openTimeout = 30 * time.Second
)

// session is one exec, attach, port-forward or opaque upgrade, from upstream's
// 101 to the close of both connections. It runs in the handler's goroutine and
// one more, and none outlives the handler.
type session struct {
	id         string
	user       string
	target     target
	downstream string // dialects, for the log
	upstream   string
	log        *slog.Logger

	down, up *leg
	started  time.Time

	tick struct {
		sync.Mutex
		timer *time.Timer
		done  bool
	}

	end struct {
		sync.Mutex
		cause error // the first reason to end
	}
}

// Causes of a session's end. They are compared, and logged.
var (
	errCompleted    = errors.New("completed")
	errClientGone   = errors.New("client gone")
	errClientClosed = errors.New("client closed the session")
	errNoStatus     = errors.New("upstream ended the session without a status")
	errNotOpened    = errors.New("client did not open its streams in time")
	errShutdown     = errors.New("edge is shutting down")
)

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
	}
}

func (s *session) cause() error {
	s.end.Lock()
	defer s.end.Unlock()
	return s.end.cause
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
	s.tick.timer = time.AfterFunc(keepaliveEvery, func() {
		s.tick.Lock()
		defer s.tick.Unlock()
		if s.tick.done {
			return
		}
		s.down.keepalive()
		s.up.keepalive()
		s.tick.timer.Reset(keepaliveEvery)
	})
}

// finish closes both legs, waits for their goroutines and logs the one line.
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
	s.log.Info("session ended",
		"session", s.id,
		"user", s.user,
		"verb", s.target.verb,
		"namespace", s.target.namespace,
		"pod", s.target.pod,
		"downstream", s.downstream,
		"upstream", s.upstream,
		"bytesUp", s.down.in.Load(),
		"bytesDown", s.down.out.Load(),
		"duration", time.Since(s.started).Round(time.Millisecond),
		"cause", cause.Error(),
	)
}

// upstreamError says in words of ours why upstream's side ended.
func upstreamError(err error) error {
	switch {
	case err == io.EOF:
		return errNoStatus
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("upstream did not answer in time: %w", err)
	default:
		return fmt.Errorf("upstream connection: %w", err)
	}
}

// clientError says why the client's side ended.
func clientError(err error) error {
	var protocol *streams.ProtocolError
	if errors.As(err, &protocol) || errors.Is(err, streams.ErrReplies) {
		return &breachError{err}
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
	discard := streams.Borrow()
	defer streams.Return(discard)
	s.down.conn.SetReadDeadline(time.Now().Add(linger))
	for {
		if _, err := s.down.conn.Read(discard[:]); err != nil {
			break
		}
	}
	s.down.shut()
}

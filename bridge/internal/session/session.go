package session

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
)

// Times are the timeouts and intervals of a session. Only tests change them.
type Times struct {
	// Keepalive is how often edge sends a keepalive on each connection of a session. Load balancers
	// close a connection after 60 s without a byte.
	Keepalive time.Duration
	// Linger is how long edge waits, after a session has ended, until the client and the API server
	// close their sides.
	Linger time.Duration
	// Answer is how long edge waits for the client to answer edge's WebSocket Close with its own.
	// RFC 6455 section 5.5.1 requires that answer, and it arrives within one round trip.
	Answer time.Duration
	// CatchUp is how long edge waits for a WebSocket client that has answered neither edge's last ping
	// nor its Close. The client may still be reading output that a load balancer has stored, which can
	// be some megabytes.
	CatchUp time.Duration
	// Open is how long an SPDY client may take to open its streams. The container runtime has the
	// same timeout.
	Open time.Duration
	// Accept is the least time from the start of an exec or attach until edge closes its connection
	// upstream, if that connection is a WebSocket. Accept has no effect beyond Linger. The API server
	// opens the container runtime's streams after its 101 and does not report when they are open. On a
	// busy machine this took more than a second.
	Accept time.Duration
	// HoldBack is how long one connection of a port-forward may hold up the client's other
	// connections. It applies if each connection has its own upstream session, and upstream reads
	// no bytes of this one.
	HoldBack time.Duration
	// Idle is how long edge keeps an upstream session of a port-forward that has no connection yet.
	Idle time.Duration
}

const maxHoldBack = 30 * time.Second

var DefaultTimes = Times{Keepalive: keepaliveInterval, Linger: 5 * time.Second, Answer: time.Second, CatchUp: time.Minute, Open: 30 * time.Second, Accept: 5 * time.Second, HoldBack: maxHoldBack, Idle: time.Minute}

// Description describes a stream. It is immutable.
type Description struct {
	ID         string // the session's ID in the log
	AuditID    string // of the request that became the session
	User       string // user name under which the stream goes upstream
	Requestor  string // authenticated user, if it acts as User; "": it is User
	Target     negotiate.Target
	Downstream string // dialect on the client's side
	Upstream   string // dialect on the API server's side; "" before upstream has answered
	Started    time.Time
}

// Summary describes how a stream ended.
type Summary struct {
	Description
	Cause    Cause
	Detail   string // the log's text for the cause; it may contain network addresses
	In, Out  int64  // number of bytes from and to the client
	Duration time.Duration
	// Sessions is the number of upstream sessions that a port-forward used; 0: it used one.
	Sessions int
	Panic    any // value of the panic that ended the stream, a bug in edge
}

// session is one exec, attach, port-forward or opaque upgrade (one that edge does not parse), from
// upstream's 101 until both connections are closed. It has two loops, one per direction. The
// registry stores it until both loops have ended.
type session struct {
	Description
	log *slog.Logger
	*Times
	metrics *Metrics   // nil: the session is not measured
	echo    *echoClock // nil: the time of an echo is not measured

	down, up *leg.Leg
	// opens tells cutUpstream how to wait until upstream has accepted the session's streams.
	opens struct {
		sync.Mutex
		// await waits, for a limited time, until upstream has accepted the streams that edge opened
		// there. nil: the session is not prepared yet.
		await func()
		// prepared is closed when await is set. It is nil while nobody waits for that, because an
		// idle session should keep little memory.
		prepared chan struct{}
	}
	// idlePoller waits for bytes on connections whose relay loops have given up their goroutine.
	// nil: a goroutine waits.
	idlePoller *leg.IdlePoller
	// upstreams is the number of upstream sessions that a port-forward used; 0: it used one.
	upstreams int

	answersPings bool // true: upstream counts as lost if it does not answer pings
	// onLost is called after the session if upstream was lost; may be nil.
	onLost func()
	onEnd  func(Summary) // called after the session; may be nil

	tick struct {
		sync.Mutex
		timer *time.Timer
		done  bool
		also  func() // sends keepalives on a port-forward's further upstream sessions, or nil
	}

	end struct {
		sync.Mutex
		cause error // the first reason why the session ends; nil: it has not ended
	}
	done chan struct{} // closed when the cause of the session's end is set
}

// setCause records why the session ends. Only the first cause is kept; setCause returns true if it
// is this one.
func (s *session) setCause(cause error) bool {
	s.end.Lock()
	defer s.end.Unlock()
	if s.end.cause != nil {
		return false
	}
	s.end.cause = cause
	close(s.done)
	return true
}

func (s *session) cause() error {
	s.end.Lock()
	defer s.end.Unlock()
	return s.end.cause
}

// clientLost ends a session whose client no longer reads. Without clientLost, edge might never
// notice this: while upstream does not read stdin, edge does not read from the client.
func (s *session) clientLost() {
	if s.setCause(errClientGone) {
		s.metrics.unanswered(clientSide)
		s.down.Cut()
		go s.cutUpstream() // the caller may hold a lock that the relay loops need to end
	}
}

// abort closes both connections of the session at once.
func (s *session) abort(cause error) {
	s.setCause(cause)
	s.up.Cut()
	s.down.Cut()
}

// cutUpstream closes the connection to upstream as soon as upstream has accepted its streams. The
// comment of execSession.awaitAccepted says why.
func (s *session) cutUpstream() {
	awaitOpen, prepared := s.awaitOpen()
	if awaitOpen == nil {
		await(prepared, s.Linger)
		awaitOpen, _ = s.awaitOpen()
	}
	if awaitOpen != nil { // nil: the session could not even be prepared
		awaitOpen()
	}
	s.up.Cut()
}

// awaitOpen returns the function of setAwaitOpen or, as long as there is none, nil and a channel that
// is closed when there is one.
func (s *session) awaitOpen() (awaitOpen func(), prepared <-chan struct{}) {
	s.opens.Lock()
	defer s.opens.Unlock()
	if s.opens.await == nil && s.opens.prepared == nil {
		s.opens.prepared = make(chan struct{})
	}
	return s.opens.await, s.opens.prepared
}

// setAwaitOpen sets the function that cutUpstream calls. It is called once.
func (s *session) setAwaitOpen(awaitOpen func()) {
	s.opens.Lock()
	defer s.opens.Unlock()
	s.opens.await = awaitOpen
	if s.opens.prepared != nil {
		close(s.opens.prepared)
	}
}

// finish closes both connections of the session, waits for their goroutines and logs the end.
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
	s.logEnd(end)
	s.metrics.over(end)
	if s.onEnd != nil {
		s.onEnd(end)
	}
	if s.onLost != nil && isLost(cause) {
		s.onLost()
	}
	if bug != nil {
		s.log.Error("panic in a session", "session", s.ID, "stack", string(bug.stack))
	}
}

// stop ends the session because edge decides so. It cuts upstream only, so that the output loop can
// still send the reason to the client. It does not wait.
func (s *session) stop(cause error) {
	s.setCause(cause)
	go s.cutUpstream()
}

// keepalives starts the timer that sends the session's keepalives. It is the session's only timer.
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
		// Send no keepalive upstream while edge does not read from there. If the client is slow,
		// upstream may have closed already, with its last data still in buffers. A keepalive to a
		// closed connection would cause a reset, which drops that data.
		if s.up.IsReading() {
			s.up.Keepalive()
		}
		if s.answersPings && s.up.Silent() >= mostSilent {
			if s.setCause(errSilent) { // else the session ends already, or was counted at the last keepalive
				s.metrics.unanswered(upstreamSide)
			}
			s.up.Cut()
		}
		if s.tick.also != nil {
			s.tick.also()
		}
		s.tick.timer.Reset(s.Times.Keepalive)
	})
}

// alsoKeepAlive registers a function that the session's keepalive timer calls too. The function
// sends keepalives on the further upstream sessions of a port-forward.
func (s *session) alsoKeepAlive(also func()) {
	s.tick.Lock()
	defer s.tick.Unlock()
	s.tick.also = also
}

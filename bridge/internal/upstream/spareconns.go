package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/roundtrip"
)

const (
	// MaxSpares is the number of spare connections to the API server that edge keeps for each
	// credential. A stream that starts on a spare connection does not wait for a TLS handshake.
	MaxSpares = 2
	// spareAge is how long edge keeps a spare connection. kube-apiserver closes a connection
	// without a request header after 32 s, edge after 30 s. If an API server's machine has failed,
	// new streams may use a connection to it for up to spareAge.
	spareAge = 10 * time.Second
)

// sparePool holds connections to the API server that have completed TLS and carried no request. It
// opens some only while streams start less than spareAge apart. A spare connection belongs to no
// client: each request sends its own credential, see newRoute.
//
// Each request is still sent upstream only once. edge checks a spare before its use. If a spare
// ends just then, the stream fails, as on any new connection. A spare that was opened before the
// last late PING (see roundtrip.Doubt) is not used.
type sparePool struct {
	dialer *dialer
	doubt  *roundtrip.Doubt
	age    time.Duration
	ctx    context.Context // canceled by close, which ends the dialing of spares
	cancel context.CancelFunc
	keeper sync.WaitGroup // used to wait until the goroutine of the method keep has ended
	more   chan struct{}  // wakes up the goroutine of the method keep

	mu         sync.Mutex
	ready      []spareConn // the spare connections, oldest first; at most MaxSpares
	lastStream time.Time   // when the last stream started
	wanted     bool        // true: the method keep opens spare connections, up to MaxSpares
	keeping    bool        // true: the goroutine of the method keep runs
	closed     bool
}

// A spareConn is a connection for an upgrade: a spare connection, or one that a stream uses.
type spareConn struct {
	*tls.Conn
	since time.Time // when this spare was opened; zero: opened for a stream, not as a spare
}

func newSparePool(d *dialer, doubt *roundtrip.Doubt) *sparePool {
	s := &sparePool{dialer: d, doubt: doubt, age: spareAge, more: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// dialTLS returns a connection for an upgrade: a usable spare connection, or else a new one.
func (s *sparePool) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	if address == s.dialer.address {
		for c, ok := s.take(); ok; c, ok = s.take() {
			if time.Since(c.since) < s.age && c.since.After(s.doubt.Since()) && c.isUsable() {
				return c, nil
			}
			c.Close()
		}
	}
	conn, err := s.dialer.dialTLS(ctx, network, address)
	if err != nil || address != s.dialer.address {
		return conn, err
	}
	return spareConn{Conn: conn.(*tls.Conn)}, nil
}

// take removes the newest spare connection from the pool and returns it.
func (s *sparePool) take() (c spareConn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.ready) - 1
	if last < 0 {
		return c, false
	}
	c = s.ready[last]
	s.ready = slices.Delete(s.ready, last, last+1)
	return c, true
}

// isUsable reports whether the API server has neither closed the connection nor sent data on it. It
// reads TLS records such as session tickets.
func (c spareConn) isUsable() bool {
	var b [1]byte
	n, quiet := leg.TryRead(c.Conn, b[:]) // possible: fill keeps no spare connections if CanTry is false
	return n == 0 && quiet
}

// fill is called when a stream has started over the connection c. It makes keep open spare
// connections. This does not happen earlier, so that the stream does not share the CPU with the
// handshakes of spares.
func (s *sparePool) fill(c spareConn) {
	if !leg.CanTry(c.Conn) { // c cannot be read without waiting, which isUsable needs
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.lastStream
	s.lastStream = time.Now()
	if s.closed || s.lastStream.Sub(before) > s.age {
		return
	}
	s.wanted = true
	if s.keeping {
		select {
		case s.more <- struct{}{}:
		default:
		}
		return
	}
	s.keeping = true
	s.keeper.Go(s.keep)
}

// keep opens spare connections while they are wanted, and closes those older than s.age. It ends
// when none is left.
func (s *sparePool) keep() {
	for {
		wait, missing := s.tidy()
		switch {
		case missing:
			s.dialOne()
		case wait <= 0:
			return
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-s.more:
			case <-s.ctx.Done():
			}
			timer.Stop()
		}
	}
}

// tidy closes old spare connections. It returns how long keep must wait before it calls tidy again,
// or that a spare is missing.
func (s *sparePool) tidy() (wait time.Duration, missing bool) {
	for _, c := range s.takeExpired() {
		c.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted = s.wanted && !s.closed && len(s.ready) < MaxSpares; s.wanted {
		return 0, true
	}
	if len(s.ready) == 0 {
		s.keeping = false
		return 0, false
	}
	return max(time.Until(s.ready[0].since.Add(s.age)), time.Millisecond), false
}

// takeExpired removes and returns the spare connections older than s.age, or all of them after
// close.
func (s *sparePool) takeExpired() []spareConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	young := slices.IndexFunc(s.ready, func(c spareConn) bool { return !s.closed && time.Since(c.since) < s.age })
	if young < 0 {
		young = len(s.ready)
	}
	old := slices.Clone(s.ready[:young])
	s.ready = slices.Delete(s.ready, 0, young)
	return old
}

// dialOne opens one spare connection. If that fails, keep opens no more until the next stream
// starts.
func (s *sparePool) dialOne() {
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout+handshakeTimeout)
	defer cancel()
	conn, err := s.dialer.dialTLS(ctx, "tcp", s.dialer.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.wanted = false
		return
	}
	s.ready = append(s.ready, spareConn{conn.(*tls.Conn), time.Now()})
}

// close closes all spare connections and waits until keep has ended. Afterwards the pool stays
// empty.
func (s *sparePool) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.keeper.Wait()
}

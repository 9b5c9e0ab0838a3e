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
	// MaxSpares is for each credential: as many streams can begin at once without a
	// handshake of their own.
	MaxSpares = 2
	// spareAge is how long one waits. kube-apiserver gives a connection 32 s for the
	// head of its first request, edge 30 s; and as long streams may meet the
	// connection of an API server whose machine is gone.
	spareAge = 10 * time.Second
)

// sparePool are connections to the API server that are through with their
// handshakes, and have carried no request. There are some only while streams begin
// less than spareAge apart. They are nobody's: what is sent over one brings its
// credential, see newRoute.
//
// A request still goes upstream once: a spare is looked at before it is used, and
// one that ends just then fails a stream as any new connection would. One that was
// made before a doubt about the way there is not used.
type sparePool struct {
	dialer *dialer
	doubt  *roundtrip.Doubt
	age    time.Duration
	ctx    context.Context // of who dials them
	cancel context.CancelFunc
	keeper sync.WaitGroup // one goroutine while there are any
	more   chan struct{}  // tells it to look again

	mu         sync.Mutex
	ready      []spareConn // the oldest first, at most maxSpares
	lastStream time.Time   // the last stream
	wanted     bool        // as many as there may be
	keeping    bool        // keeper has begun
	closed     bool
}

// A spareConn is a connection for an upgrade, ready or given away.
type spareConn struct {
	*tls.Conn
	since time.Time // when it was made; zero: for the stream that has it
}

func newSparePool(d *dialer, doubt *roundtrip.Doubt) *sparePool {
	s := &sparePool{dialer: d, doubt: doubt, age: spareAge, more: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// dialTLS is the dialer's, but gives a connection that is there already if it
// can.
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

// take gives the one that was made last.
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

// isUsable tells whether the API server has neither closed the connection nor said
// anything on it. It reads what TLS has to say, such as tickets.
func (c spareConn) isUsable() bool {
	var b [1]byte
	n, quiet := leg.TryRead(c.Conn, b[:]) // which it can, see fill
	return n == 0 && quiet
}

// fill is for when a stream has begun, over c: not before, so that it need not
// share the processor with handshakes for others.
func (s *sparePool) fill(c spareConn) {
	if !leg.CanTry(c.Conn) { // nobody could tell whether a spare is still good
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

// keep makes spares where they are wanted, and drops those that have grown old. It
// ends when there are none.
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

// tidy drops the old, and tells when to do so again, or that one is missing.
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

// takeExpired takes those that have waited too long.
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

// dialOne makes one. If that fails, the next stream may want some again.
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

// close drops them, and waits. There are none afterwards.
func (s *sparePool) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.keeper.Wait()
}

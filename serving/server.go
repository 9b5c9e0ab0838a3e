package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

const (
	// http2ReadIdle is how long an HTTP/2 client may be silent before edge sends a PING.
	// http2PingTimeout is how long the client may take to answer the PING.
	http2ReadIdle    = 30 * time.Second
	http2PingTimeout = 15 * time.Second
	// http2FrameBytes is SETTINGS_MAX_FRAME_SIZE, the default of HTTP/2. Package http2 allocates a
	// buffer of the size that a frame's header announces, before the frame's bytes arrive.
	http2FrameBytes = 16 << 10
	// streamWindow and connWindow are how many bytes a client may upload on a stream and on a
	// connection before edge acknowledges them: 4 MiB allow 40 MB/s at a round-trip time of 100 ms.
	// While more than manyConns connections are open, a new one has half of both.
	streamWindow = 1 << 20
	connWindow   = 4 << 20
	manyConns    = 64
	// acceptPause is the pause after an accept error that may be temporary, such as one for lack of
	// file descriptors.
	acceptPause = 5 * time.Millisecond
	// complaintInterval is the least time between two log messages that connections cannot be
	// accepted.
	complaintInterval = time.Minute
)

// Config is what a Server needs in addition to an http.Server.
type Config struct {
	// TLS is the configuration of handshakes. nil: no TLS, and HTTP/1.1 only.
	TLS *tls.Config
	// HTTP2Streams limits the concurrent requests of one HTTP/2 connection. 0: HTTP/1.1 only.
	HTTP2Streams uint32
	// MaxConnections limits the open connections. Hijacked connections, those of streams, do not
	// count. 0: no limit.
	MaxConnections int
	// IdleTimeout is the idle timeout of an authenticated connection, UnknownIdleTimeout is that of
	// an unauthenticated connection. 0: no timeout.
	IdleTimeout, UnknownIdleTimeout time.Duration
}

// Server accepts connections and serves HTTP/1.1 and HTTP/2 on them. New creates it.
type Server struct {
	cfg     Config
	handler http.Handler
	log     *log.Logger
	shake   time.Duration // timeout of a TLS handshake

	http1         *http.Server
	http2         *http.Server // accepts no connections: package http2 takes limits and hooks from this server
	wide, narrow  *http2.Server
	conns         registry
	budget        budget
	ready         *connListener // passes connections to the server http1
	accepting     sync.Mutex
	listeners     []net.Listener
	ending        bool
	servers       sync.WaitGroup // waits for the goroutine that runs http1.Serve
	complained    time.Time      // time of the last log message that accepting fails; the lock accepting guards this field
	maxHeaderSize int
}

// New returns a Server with the handler, timeouts, MaxHeaderBytes and log of base. The Server owns
// base from then on.
func New(base *http.Server, cfg Config) *Server {
	s := &Server{
		cfg: cfg, handler: base.Handler, log: base.ErrorLog, shake: base.ReadHeaderTimeout,
		http1: base, maxHeaderSize: base.MaxHeaderBytes,
		conns: registry{
			most: cfg.MaxConnections, ended: make(chan struct{}),
			waiting: list{idle: cfg.UnknownIdleTimeout}, resting: list{idle: cfg.IdleTimeout},
		},
		budget: budget{limit: headerBudget, holders: make(map[*Conn]struct{})},
		ready:  newConnListener(),
	}
	if s.log == nil {
		s.log = log.Default()
	}
	base.Handler, base.IdleTimeout = http.HandlerFunc(s.serve), cfg.IdleTimeout
	base.ConnContext = func(ctx context.Context, conn net.Conn) context.Context { return ownerOf(conn).context(ctx) }
	base.ConnState = s.changed
	anyHeaderValues(base)
	base.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // the server http1 must not serve HTTP/2
	if cfg.HTTP2Streams > 0 {
		s.http2 = &http.Server{ //nolint:gosec // G112: UnknownIdleTimeout ends a header that drips, see TestNothingComes
			MaxHeaderBytes: 2 * s.maxHeader(), // twice the limit: the method serve refuses a header between the two with a Status, package http2 a larger one without
			ErrorLog:       base.ErrorLog, ConnState: s.changed,
		}
		anyHeaderValues(s.http2)
		s.wide, s.narrow = s.newHTTP2(1), s.newHTTP2(2)
	}
	return s
}

// newHTTP2 returns an HTTP/2 server whose flow control windows are the full size divided by part.
// http.Server's own HTTP/2 needs a *tls.Conn, and edge could not count headers there. The idle
// timeout is that of the registry. Package http2 starts its own anew when a connection ends with
// open streams, such as watches, and keeps the connection's memory until the timeout is over.
func (s *Server) newHTTP2(part int32) *http2.Server {
	h := &http2.Server{
		MaxConcurrentStreams:         s.cfg.HTTP2Streams,
		ReadIdleTimeout:              http2ReadIdle,
		PingTimeout:                  http2PingTimeout,
		MaxReadFrameSize:             http2FrameBytes,
		MaxUploadBufferPerStream:     streamWindow / part,
		MaxUploadBufferPerConnection: connWindow / part,
	}
	// ConfigureServer fails only for the cipher suites of a tls.Config, and s.http2 has none.
	if err := http2.ConfigureServer(s.http2, h); err != nil {
		panic(err)
	}
	return h
}

// maxHeader returns the limit of one request's header, in bytes.
func (s *Server) maxHeader() int {
	if s.maxHeaderSize > 0 {
		return s.maxHeaderSize
	}
	return http.DefaultMaxHeaderBytes
}

// Serve accepts connections of l until Shutdown or Close, and then returns nil. It closes l. Like
// net/http's Serve, it may be called for several listeners; the limits then apply to all
// connections together.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.accepting.Lock()
	if s.ending {
		s.accepting.Unlock()
		return nil
	}
	if len(s.listeners) == 0 {
		s.servers.Go(func() { _ = s.http1.Serve(s.ready) }) // it ends only with s.ready
	}
	s.listeners = append(s.listeners, l)
	s.accepting.Unlock()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.accept(conn)
		case s.isEnding():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.complain("http: Accept error: %v", err)
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				s.conns.makeRoom()
			}
			time.Sleep(acceptPause)
		}
	}
}

func (s *Server) complain(format string, about any) {
	s.accepting.Lock()
	now := time.Now()
	quiet := s.ending || now.Sub(s.complained) < complaintInterval
	if !quiet {
		s.complained = now
	}
	s.accepting.Unlock()
	if !quiet {
		s.log.Printf(format, about)
	}
}

func (s *Server) isEnding() bool {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	return s.ending
}

func (s *Server) accept(conn net.Conn) {
	c := &Conn{server: s}
	c.below.Conn, c.below.c, c.above.c, c.above.Conn = conn, c, c, conn
	if s.cfg.TLS == nil {
		s.budget.shaken(c, new(http1Counter))
	} else {
		c.below.shaking.Store(true)
	}
	if !s.conns.admit(c) {
		s.complain("http: refused a new connection: all %d allowed connections are busy", s.cfg.MaxConnections)
		conn.Close()
		return
	}
	if s.cfg.TLS == nil {
		s.hand(c, &c.above.httpConn)
		return
	}
	go s.handshake(c)
}

// hand passes a connection to the HTTP/1.1 server http1, which serves it in a new goroutine with a
// small stack.
func (s *Server) hand(c *Conn, conn net.Conn) {
	if !s.ready.hand(conn) {
		conn.Close()
		s.left(c)
	}
}

// changed is net/http's ConnState hook. It records whether a request is in progress on the
// connection.
func (s *Server) changed(conn net.Conn, state http.ConnState) {
	c := ownerOf(conn)
	switch state {
	case http.StateActive:
		s.conns.works(c)
	case http.StateIdle:
		if !c.unread.Load() {
			s.budget.rest(c)
		}
		s.conns.rests(c)
	case http.StateHijacked, http.StateClosed:
		if !c.lingers.Load() {
			s.left(c)
		}
	}
}

// left removes a connection from the registry and the memory budget, because net/http no longer
// serves it: it is closed or hijacked.
func (s *Server) left(c *Conn) {
	c.unread.Store(true)
	s.budget.forget(c)
	s.conns.gone(c)
}

// ownerOf returns the Conn of a connection that was passed to net/http.
func ownerOf(conn net.Conn) *Conn { return conn.(interface{ owner() *Conn }).owner() }

// Shutdown closes the listeners and idle connections, and sends GOAWAY to HTTP/2 clients. It then
// waits until the other connections end, or until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	s.conns.cutShaking()
	ended := s.conns.close()
	if s.http2 != nil {
		_ = s.http2.Shutdown(ctx) // sends GOAWAY, and returns at once: s.http2 itself has no connections
	}
	if err := s.http1.Shutdown(ctx); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes all connections at once, except hijacked ones.
func (s *Server) Close() error {
	s.end()
	s.conns.cutAll()
	err := s.http1.Close()
	s.servers.Wait()
	return err
}

func (s *Server) end() {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	s.ending = true
	for _, l := range s.listeners {
		l.Close()
	}
	s.ready.Close()
}

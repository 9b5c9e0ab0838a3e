package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

const (
	// http2ReadIdle is when a silent HTTP/2 client gets a PING, http2PingTimeout how long it may take to answer.
	http2ReadIdle    = 30 * time.Second
	http2PingTimeout = 15 * time.Second
	// http2FrameBytes is SETTINGS_MAX_FRAME_SIZE, HTTP/2's own default: http2 makes a buffer of as many bytes as a frame's
	// head announces, before any of them came.
	http2FrameBytes = 16 << 10
	// streamWindow and connWindow are what a client may upload unacknowledged, in bytes: 4 MiB carry 40 MB/s over 100 ms.
	// With more than manyConns connections each has half of both.
	streamWindow = 1 << 20
	connWindow   = 4 << 20
	manyConns    = 64
	// acceptPause is how long accepting pauses after an error that may pass, such as that of no descriptors.
	acceptPause = 5 * time.Millisecond
	// complaintInterval is the least between two log lines about connections that are not accepted.
	complaintInterval = time.Minute
)

// Config is what a Server needs beside a http.Server.
type Config struct {
	// TLS is for handshakes; nil: there are none, and only HTTP/1.1 is served.
	TLS *tls.Config
	// HTTP2Streams bounds the open requests of one HTTP/2 connection; 0: only HTTP/1.1 is served.
	HTTP2Streams uint32
	// MaxConnections bounds those that are open, without hijacked ones; 0: any number.
	MaxConnections int
	// IdleTimeout is how long a known connection may be idle, UnknownIdleTimeout an unknown one; 0: any time.
	IdleTimeout, UnknownIdleTimeout time.Duration
}

// Server accepts connections and serves HTTP/1.1 and HTTP/2 on them. Make it with New.
type Server struct {
	cfg     Config
	handler http.Handler
	log     *log.Logger
	shake   time.Duration // bounds a handshake

	http1         *http.Server
	http2         *http.Server // of which package http2 takes what it needs
	wide, narrow  *http2.Server
	conns         registry
	budget        budget
	ready         *connListener // connections for http1
	accepting     sync.Mutex
	listeners     []net.Listener
	ending        bool
	servers       sync.WaitGroup // goroutines of Serve
	complained    time.Time      // last; accepting guards it
	maxHeaderSize int
}

// New makes a Server of base's handler, timeouts, MaxHeaderBytes and log. The caller uses base no more.
func New(base *http.Server, cfg Config) *Server {
	s := &Server{
		cfg: cfg, handler: base.Handler, log: base.ErrorLog, shake: base.ReadHeaderTimeout,
		http1: base, maxHeaderSize: base.MaxHeaderBytes,
		conns:  registry{most: cfg.MaxConnections, unknownIdle: cfg.UnknownIdleTimeout, ended: make(chan struct{})},
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
	base.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/2 is not http1's
	if cfg.HTTP2Streams > 0 {
		s.http2 = &http.Server{
			MaxHeaderBytes: 2 * s.maxHeader(), // what is over it by less gets a Status
			ErrorLog:       base.ErrorLog, ConnState: s.changed, IdleTimeout: cfg.IdleTimeout,
		}
		anyHeaderValues(s.http2)
		s.wide, s.narrow = s.newHTTP2(1), s.newHTTP2(2)
	}
	return s
}

// newHTTP2 makes what serves HTTP/2, with windows of a part of the full ones. http.Server serves HTTP/2 by itself, but only
// on a *tls.Conn, where headers cannot be counted.
func (s *Server) newHTTP2(part int32) *http2.Server {
	h := &http2.Server{
		MaxConcurrentStreams:         s.cfg.HTTP2Streams,
		IdleTimeout:                  s.cfg.IdleTimeout,
		ReadIdleTimeout:              http2ReadIdle,
		PingTimeout:                  http2PingTimeout,
		MaxReadFrameSize:             http2FrameBytes,
		MaxUploadBufferPerStream:     streamWindow / part,
		MaxUploadBufferPerConnection: connWindow / part,
	}
	if err := http2.ConfigureServer(s.http2, h); err != nil { // it can only dislike cipher suites of ours
		panic(err)
	}
	return h
}

// maxHeader bounds one request's header, in bytes.
func (s *Server) maxHeader() int {
	if s.maxHeaderSize > 0 {
		return s.maxHeaderSize
	}
	return http.DefaultMaxHeaderBytes
}

// Serve accepts connections of l, and closes it. It returns nil after Shutdown or Close. As net/http's it may be called for
// several listeners; what bounds connections bounds those of all.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.accepting.Lock()
	if s.ending {
		s.accepting.Unlock()
		return nil
	}
	if len(s.listeners) == 0 {
		s.servers.Go(func() { s.http1.Serve(s.ready) })
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
		s.complain("http: all %d connections that there may be are busy: a new one is refused", s.cfg.MaxConnections)
		conn.Close()
		return
	}
	if s.cfg.TLS == nil {
		s.hand(c, &c.above.httpConn)
		return
	}
	go s.handshake(c)
}

// hand gives a connection to http1, whose goroutine begins with a small stack.
func (s *Server) hand(c *Conn, conn net.Conn) {
	if !s.ready.hand(conn) {
		conn.Close()
		s.left(c)
	}
}

// handshake makes TLS of a connection, and serves it.
func (s *Server) handshake(c *Conn) {
	conn := tls.Server(&c.below, s.cfg.TLS)
	c.above.Conn = conn
	if s.shake > 0 {
		conn.SetDeadline(time.Now().Add(s.shake))
	}
	err := conn.Handshake()
	c.below.shaking.Store(false)
	if err != nil {
		s.unshaken(c, err)
		return
	}
	conn.SetDeadline(time.Time{})
	if conn.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS || s.http2 == nil {
		s.budget.shaken(c, new(http1Counter))
		s.hand(c, &c.above)
		return
	}
	s.budget.shaken(c, new(http2Counter))
	c.framed = true
	server := s.wide
	if s.conns.many(manyConns) {
		server = s.narrow
	}
	server.ServeConn(&c.above, &http2.ServeConnOpts{
		Context: c.context(context.Background()), BaseConfig: s.http2, Handler: s.http1.Handler,
	})
	s.left(c)
}

// unshaken ends a handshake that failed. A client that speaks HTTP reads so, as at net/http.
func (s *Server) unshaken(c *Conn, err error) {
	var other tls.RecordHeaderError
	if errors.As(err, &other) && other.Conn != nil && looksLikeHTTP(other.RecordHeader) {
		other.Conn.SetWriteDeadline(time.Now().Add(refusalTime))
		io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		err = errors.New("client sent an HTTP request to an HTTPS server")
	}
	s.log.Printf("http: TLS handshake error from %s: %v", c.raw().RemoteAddr(), err)
	c.cut()
	s.left(c)
}

// looksLikeHTTP reports whether a TLS record's head is the begin of a request.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// changed is what net/http says of a connection's requests.
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

// left is for a connection that is net/http's no more.
func (s *Server) left(c *Conn) {
	c.unread.Store(true)
	s.budget.forget(c)
	s.conns.gone(c)
}

func ownerOf(conn net.Conn) *Conn { return conn.(interface{ owner() *Conn }).owner() }

// Shutdown accepts nothing more, tells HTTP/2 clients so, closes what is idle, and waits for the rest until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	s.conns.cutShaking()
	ended := s.conns.close()
	if s.http2 != nil {
		s.http2.Shutdown(ctx) // has no connections that it knows of: sends GOAWAY, and waits for nobody
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

// Close ends everything at once, but hijacked connections.
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

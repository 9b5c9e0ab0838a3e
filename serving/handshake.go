package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// handshake does the TLS handshake of a connection, and then serves it.
func (s *Server) handshake(c *Conn) {
	conn := tls.Server(&c.below, s.cfg.TLS)
	c.above.Conn = conn
	if s.shake > 0 {
		conn.SetDeadline(time.Now().Add(s.shake))
	}
	err := conn.HandshakeContext(context.Background())
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

// unshaken ends a connection whose TLS handshake failed. If the client sent plain HTTP instead, it
// gets the answer that net/http gives in this case.
func (s *Server) unshaken(c *Conn, err error) {
	var other tls.RecordHeaderError
	if errors.As(err, &other) && other.Conn != nil && looksLikeHTTP(other.RecordHeader) {
		other.Conn.SetWriteDeadline(time.Now().Add(refusalTime))
		_, _ = io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		err = errors.New("client sent an HTTP request to an HTTPS server")
	}
	s.log.Printf("http: TLS handshake error from %s: %v", c.raw().RemoteAddr(), err)
	c.cut()
	s.left(c)
}

// looksLikeHTTP reports whether the first bytes of a supposed TLS record begin an HTTP request.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

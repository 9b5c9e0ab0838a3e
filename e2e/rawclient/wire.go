package rawclient

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// wire is the connection of a session. Stream numbers are those of WebSocket: 0 to 4 for exec; 2n
// and 2n+1 for the data and the error of forwarded connection n. Any goroutine may write; only one
// may read.
type wire interface {
	// write sends p on a stream.
	write(stream int, p []byte) error
	// end half-closes a stream. It returns ErrCannotSay if the dialect has no half-close.
	end(stream int) error
	// reset ends both directions of a stream. It returns ErrCannotSay if the dialect has no reset.
	reset(stream int) error
	// read calls event for everything that arrives, until the server closes or the connection ends,
	// and returns the close code.
	read(event func(stream int, p []byte, kind eventKind)) (code int)
	// ping sends a ping to the server.
	ping() error
	// breach returns the first violation of the protocol by the server; empty: none.
	breach() string
	// bye sends the close frame or GOAWAY of the protocol.
	bye()
	conn() net.Conn
}

type eventKind int

const (
	isData  eventKind = iota
	isEnd             // the server ended its side
	isReset           // the server ended both sides
)

// ErrCannotSay is returned if the dialect has no message for an operation.
var ErrCannotSay = errors.New("rawclient: this dialect has no message for this operation")

// abnormal is the close code of a connection that ends without a close frame (RFC 6455, section
// 7.4.1).
const abnormal = 1006

// The streams of exec. outcome is the error channel, which carries the result.
const (
	stdin = iota
	stdout
	stderr
	outcome
	resize
)

// ping sends a ping at every interval until the session is done or the connection breaks.
func ping(w wire, every time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		if w.ping() != nil {
			return
		}
	}
}

// mostIdle is how long the client waits for the server's next byte. The soak sessions are silent
// for longer than the other scenarios.
const mostIdle = 7 * time.Minute

// mostFarewell is how long the client waits for the end of a connection that both sides are
// closing.
const mostFarewell = 30 * time.Second

// farewell half-closes the connection and waits for the server to close. It returns false if the
// server does not in mostFarewell.
func farewell(conn net.Conn) bool {
	defer conn.Close()
	halfClose(conn)
	conn.SetDeadline(time.Now().Add(mostFarewell))
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	return !(errors.As(err, &timeout) && timeout.Timeout())
}

func halfClose(conn net.Conn) {
	t := conn.(*tls.Conn)
	t.SetWriteDeadline(time.Now().Add(mostFarewell))
	t.CloseWrite()
	t.NetConn().(*net.TCPConn).CloseWrite()
}

// cut closes the TCP connection, as a crash of the client's process does.
func cut(conn net.Conn) {
	conn.(*tls.Conn).NetConn().Close() // without TLS's close_notify
}

package rawclient

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// wire is the connection of a session, either SPDY or WebSocket. It numbers streams as WebSocket
// numbers channels: 0 to 4 for exec; in port-forward, connection n has 2n for its data and 2n+1 for
// its error stream. Any goroutine may write; only one may read.
type wire interface {
	// write sends the bytes in p on a stream.
	write(stream int, p []byte) error
	// end half-closes the client's side of a stream. It returns ErrCannotSay if the dialect has no
	// half-close.
	end(stream int) error
	// reset ends both directions of a stream at once. It returns ErrCannotSay if the dialect has no
	// message for that.
	reset(stream int) error
	// read calls event for everything that arrives, until the server closes the session or the
	// connection ends. It returns the close code.
	read(event func(stream int, p []byte, kind eventKind)) (code int)
	// ping sends a ping to the server.
	ping() error
	// breach returns the first violation of the protocol by the server; empty: there was none.
	breach() string
	// bye sends a close frame (WebSocket) or GOAWAY (SPDY) to the server.
	bye()
	conn() net.Conn
}

type eventKind int

const (
	isData  eventKind = iota
	isEnd             // the server has half-closed its side of the stream
	isReset           // the server has ended both directions of the stream
)

// ErrCannotSay is returned by operations for which the session's dialect has no message, such as a
// half-close.
var ErrCannotSay = errors.New("rawclient: this dialect has no message for this operation")

// abnormal is the close code that read returns if the connection ended without a close frame (RFC
// 6455, section 7.4.1).
const abnormal = 1006

// The numbers of the streams of exec. outcome is the error channel, which carries the command's
// result.
const (
	stdin = iota
	stdout
	stderr
	outcome
	resize
)

// ping sends a ping to the server at every interval, until done is closed or the connection breaks.
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

// mostIdle is how long the client waits for the next byte from the server. It is longer than the
// silence in the tests of `make soak`.
const mostIdle = 7 * time.Minute

// mostFarewell is how long the client waits for the end of a connection after both sides have begun
// to close it.
const mostFarewell = 30 * time.Second

// farewell half-closes the connection and waits until the server closes it. It returns false if the
// server does not close it within mostFarewell.
func farewell(conn net.Conn) bool {
	defer conn.Close()
	halfClose(conn)
	conn.SetDeadline(time.Now().Add(mostFarewell))
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func halfClose(conn net.Conn) {
	t := conn.(*tls.Conn)
	t.SetWriteDeadline(time.Now().Add(mostFarewell))
	t.CloseWrite()
	t.NetConn().(*net.TCPConn).CloseWrite()
}

// cut closes the client's TCP connection, as happens when the client crashes.
func cut(conn net.Conn) {
	conn.(*tls.Conn).NetConn().Close() // close TCP without sending TLS's close_notify
}

package rawclient

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// A wire is a session's connection. Its streams have the numbers that WebSocket gives them: of exec 0 to 4, of the n-th
// forwarded connection 2n and 2n+1. Writes may come from any goroutine, reads from one.
type wire interface {
	// write sends bytes on a stream.
	write(stream int, p []byte) error
	// end half-closes a stream. Where that cannot be said it returns ErrCannotSay.
	end(stream int) error
	// reset ends a stream both ways. Where that cannot be said it returns ErrCannotSay.
	reset(stream int) error
	// read reads on until the server says that it closes, or the connection ends, and returns the close code.
	read(event func(stream int, p []byte, kind eventKind)) (code int)
	// ping asks the server for a sign of life.
	ping() error
	// breach is the first thing that the server may not do.
	breach() string
	// bye tells the server that the client closes.
	bye()
	conn() net.Conn
}

type eventKind int

const (
	isData  eventKind = iota
	isEnd             // the server ended its side
	isReset           // the server ended both sides
)

// ErrCannotSay is returned for what a dialect has no words for.
var ErrCannotSay = errors.New("rawclient: this dialect cannot say it")

// abnormal is the code of a connection that ends without a word (RFC 6455, section 7.4.1).
const abnormal = 1006

// The streams of exec.
const (
	stdin = iota
	stdout
	stderr
	outcome
	resize
)

// ping pings until the session is done or the connection breaks.
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

// mostIdle bounds a client's wait for the server's next byte; soak sessions are silent longer than scenarios.
const mostIdle = 7 * time.Minute

// mostFarewell bounds the wait for the end of a connection of which both sides said that they close it.
const mostFarewell = 30 * time.Second

// farewell ends the client's side and waits for the server's end. It says whether that came.
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

// cut ends a connection as a crash of its host's process does.
func cut(conn net.Conn) {
	conn.(*tls.Conn).NetConn().Close() // without TLS's own goodbye
}

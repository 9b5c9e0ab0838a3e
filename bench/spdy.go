package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// Subprotocols of port-forward requests.
const (
	subprotocolForward = "portforward.k8s.io"
	subprotocolTunnel  = spdy.HeaderSpdy31 + "+" + subprotocolForward
)

// Headers of an SPDY stream that describe its purpose.
const (
	headerStreamType = "streamType"
	headerPort       = "port"
	headerRequestID  = "requestID"
)

func execOverSPDY(name string) dialect {
	return dialect{name: name, dial: func(ctx context.Context, t target, w work) (io.ReadWriteCloser, error) {
		conn, err := dialSPDY(ctx, t, t.execURL("https", w), subprotocolV4)
		if err != nil {
			return nil, err
		}
		return overSPDY(ctx, conn, func(c *streamConn) error { return c.openExec(w) })
	}}
}

func forwardOverSPDY(name string) dialect {
	return dialect{name: name, forward: true, dial: func(ctx context.Context, t target, _ work) (io.ReadWriteCloser, error) {
		conn, err := dialSPDY(ctx, t, t.forwardURL("https"), subprotocolForward)
		if err != nil {
			return nil, err
		}
		return overSPDY(ctx, conn, (*streamConn).openForward)
	}}
}

func forwardOverTunnel(name string) dialect {
	return dialect{name: name, forward: true, dial: func(ctx context.Context, t target, _ work) (io.ReadWriteCloser, error) {
		conn, err := dialWebSocket(ctx, t, t.forwardURL("wss"), subprotocolTunnel, bufferSize)
		if err != nil {
			return nil, err
		}
		return overSPDY(ctx, portforward.NewTunnelingConnection("bench", conn), (*streamConn).openForward)
	}}
}

// dialSPDY opens a connection and upgrades it to SPDY. It does not use the round tripper of
// k8s.io/streaming, which waits for a response without a timeout.
func dialSPDY(ctx context.Context, t target, location *url.URL, subprotocol string) (_ net.Conn, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, location.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = t.header()
	request.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	request.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	request.Header.Set(httpstream.HeaderProtocolVersion, subprotocol)
	conn, err := (&tls.Dialer{Config: t.tlsConfig()}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	// A bufio.Reader can read more than the response's header. These bytes would be lost, but a
	// server sends none before the client's first frame.
	response, err := http.ReadResponse(bufio.NewReader(conn), request) //nolint:bodyclose // the body is the connection
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(errors.New("bench: SPDY upgrade failed"), response)
	}
	if chosen := response.Header.Get(httpstream.HeaderProtocolVersion); chosen != subprotocol {
		return nil, fmt.Errorf("bench: requested subprotocol %s, but the server chose %q", subprotocol, chosen)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// streamConn carries the bytes of a session in streams of one SPDY connection.
type streamConn struct {
	conn           net.Conn
	spdy           httpstream.Connection
	in, out, fault httpstream.Stream
	status         bool // true: the error stream (the field fault) always contains a Status; false: it contains text, and only after a failure
}

// quietConn is a connection whose Close never returns an error, also when it is called twice. If
// Close returned an error, a goroutine of spdystream would wait a second for a reader of the error.
type quietConn struct{ net.Conn }

func (c quietConn) Close() error {
	_ = c.Conn.Close()
	return nil
}

// overSPDY starts SPDY on conn and opens the session's streams with open. It owns conn, and closes
// conn after an error.
func overSPDY(ctx context.Context, conn net.Conn, open func(*streamConn) error) (io.ReadWriteCloser, error) {
	conn = quietConn{conn}
	session, err := spdy.NewClientConnection(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &streamConn{conn: conn, spdy: session}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := open(c); err != nil {
		_ = c.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	return c, nil
}

// openExec opens the SPDY streams that the query of the exec request names. The server starts the
// command when it has all of them.
func (c *streamConn) openExec(w work) (err error) {
	c.status = true
	streams := []struct {
		kind string
		to   *httpstream.Stream
	}{{"error", &c.fault}, {"stdin", &c.in}, {"stdout", &c.out}, {"stderr", new(httpstream.Stream)}}
	if w.tty {
		streams[3].kind = "resize"
	}
	for _, stream := range streams {
		if *stream.to, err = c.spdy.CreateStream(http.Header{headerStreamType: {stream.kind}}); err != nil {
			return fmt.Errorf("bench: open %s: %w", stream.kind, err)
		}
	}
	return nil
}

// openForward opens the error stream and the data stream of one forwarded connection, in SPDY.
func (c *streamConn) openForward() (err error) {
	header := http.Header{}
	header.Set(headerPort, forwardPort)
	header.Set(headerRequestID, "0")
	header.Set(headerStreamType, "error")
	if c.fault, err = c.spdy.CreateStream(header); err != nil {
		return fmt.Errorf("bench: open an error stream: %w", err)
	}
	if err := c.fault.Close(); err != nil { // half-close the error stream, on which only the upstream server writes
		return fmt.Errorf("bench: half-close an error stream: %w", err)
	}
	header = header.Clone()
	header.Set(headerStreamType, "data")
	if c.out, err = c.spdy.CreateStream(header); err != nil {
		return fmt.Errorf("bench: open a data stream: %w", err)
	}
	c.in = c.out
	return nil
}

// Write sends b as one SPDY frame.
func (c *streamConn) Write(b []byte) (int, error) { return c.in.Write(b) }

func (c *streamConn) Read(b []byte) (int, error) {
	n, err := c.out.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	check := checkSilent
	if c.status {
		check = checkStatus
	}
	if err := check(c.fault); err != nil {
		return n, err
	}
	return n, io.EOF
}

// Close closes the session's connection without a GOAWAY, because sending a GOAWAY can block. After
// that, writes of spdystream fail at once.
func (c *streamConn) Close() error {
	err := c.conn.Close()
	_ = c.spdy.Close()
	return err
}

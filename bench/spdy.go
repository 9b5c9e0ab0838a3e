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

// Subprotocols of port-forward.
const (
	subprotocolForward = "portforward.k8s.io"
	subprotocolTunnel  = spdy.HeaderSpdy31 + "+" + subprotocolForward
)

// Headers that say what a stream is for.
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
		return overSPDY(ctx, conn, func(c httpstream.Connection) (*streamConn, error) { return openExec(c, w) })
	}}
}

func forwardOverSPDY(name string) dialect {
	return dialect{name: name, forward: true, dial: func(ctx context.Context, t target, _ work) (io.ReadWriteCloser, error) {
		conn, err := dialSPDY(ctx, t, t.forwardURL("https"), subprotocolForward)
		if err != nil {
			return nil, err
		}
		return overSPDY(ctx, conn, openForward)
	}}
}

func forwardOverTunnel(name string) dialect {
	return dialect{name: name, forward: true, dial: func(ctx context.Context, t target, _ work) (io.ReadWriteCloser, error) {
		conn, err := dialWebSocket(ctx, t, t.forwardURL("wss"), subprotocolTunnel, bufferSize)
		if err != nil {
			return nil, err
		}
		return overSPDY(ctx, portforward.NewTunnelingConnection("bench", conn), openForward)
	}}
}

// dialSPDY is a connection on which a proxy has agreed to speak SPDY. It is made by hand because
// k8s.io/streaming's round tripper waits for an answer without an end.
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
	// What is read too much would be lost, but a server says nothing before the client's first frame.
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(errors.New("bench: no SPDY"), response)
	}
	if chosen := response.Header.Get(httpstream.HeaderProtocolVersion); chosen != subprotocol {
		return nil, fmt.Errorf("bench: asked for %s, got %q", subprotocol, chosen)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// streamConn is a session's bytes in the streams of one SPDY connection.
type streamConn struct {
	conn           net.Conn
	spdy           httpstream.Connection
	in, out, fault httpstream.Stream
	status         bool // fault says a Status at the end, always; otherwise text, if there is a failure
}

// overSPDY takes conn, whatever comes of it.
func overSPDY(ctx context.Context, conn net.Conn, open func(httpstream.Connection) (*streamConn, error)) (io.ReadWriteCloser, error) {
	session, err := spdy.NewClientConnection(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	cleanup := streamConn{conn: conn, spdy: session}
	stop := context.AfterFunc(ctx, func() { _ = cleanup.Close() })
	defer stop()
	c, err := open(session)
	if err != nil {
		_ = cleanup.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	c.conn, c.spdy = conn, session
	return c, nil
}

// openExec opens the streams that the query of exec asks for. The server starts when it has them all.
func openExec(c httpstream.Connection, w work) (_ *streamConn, err error) {
	s := &streamConn{status: true}
	streams := []struct {
		kind string
		to   *httpstream.Stream
	}{{"error", &s.fault}, {"stdin", &s.in}, {"stdout", &s.out}, {"stderr", new(httpstream.Stream)}}
	if w.tty {
		streams[3].kind = "resize"
	}
	for _, stream := range streams {
		if *stream.to, err = c.CreateStream(http.Header{headerStreamType: {stream.kind}}); err != nil {
			return nil, fmt.Errorf("bench: open %s: %w", stream.kind, err)
		}
	}
	return s, nil
}

// openForward opens the two streams of one connection.
func openForward(c httpstream.Connection) (_ *streamConn, err error) {
	s := &streamConn{}
	header := http.Header{}
	header.Set(headerPort, forwardPort)
	header.Set(headerRequestID, "0")
	header.Set(headerStreamType, "error")
	if s.fault, err = c.CreateStream(header); err != nil {
		return nil, fmt.Errorf("bench: open an error stream: %w", err)
	}
	if err := s.fault.Close(); err != nil { // it is upstream's to write
		return nil, fmt.Errorf("bench: half-close an error stream: %w", err)
	}
	header = header.Clone()
	header.Set(headerStreamType, "data")
	if s.out, err = c.CreateStream(header); err != nil {
		return nil, fmt.Errorf("bench: open a data stream: %w", err)
	}
	s.in = s.out
	return s, nil
}

// Write sends one frame.
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

// Close does not say goodbye first, which may block. What spdystream still tries to send then fails at once.
func (c *streamConn) Close() error {
	err := c.conn.Close()
	_ = c.spdy.Close()
	return err
}

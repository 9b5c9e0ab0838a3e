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

// quietConn closes without an error, also a second time: spdystream keeps one for a second, in case that
// somebody asks.
type quietConn struct{ net.Conn }

func (c quietConn) Close() error {
	_ = c.Conn.Close()
	return nil
}

// overSPDY takes conn, whatever comes of it.
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

// openExec opens the streams that the query of exec asks for. The server starts when it has them all.
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

// openForward opens the two streams of one connection.
func (c *streamConn) openForward() (err error) {
	header := http.Header{}
	header.Set(headerPort, forwardPort)
	header.Set(headerRequestID, "0")
	header.Set(headerStreamType, "error")
	if c.fault, err = c.spdy.CreateStream(header); err != nil {
		return fmt.Errorf("bench: open an error stream: %w", err)
	}
	if err := c.fault.Close(); err != nil { // it is upstream's to write
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

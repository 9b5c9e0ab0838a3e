package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// Subprotocols of exec and port-forward over WebSocket.
const (
	subprotocolV1       = "channel.k8s.io"
	subprotocolBase64   = "base64.channel.k8s.io"
	subprotocolV4       = "v4.channel.k8s.io"
	subprotocolV4Base64 = "v4.base64.channel.k8s.io"
	subprotocolV5       = "v5.channel.k8s.io"
)

// channels describes how a WebSocket dialect of exec or port-forward uses channels and messages.
type channels struct {
	subprotocol    string
	in, out, fault byte
	text           bool // true: the dialect uses text messages; each message is the channel as a digit, then data in base64
	status         bool // true: the error channel (the field fault) always contains a Status; false: it contains text, and only after a failure
	ports          bool // the first message on each channel contains the port number
}

func execOver(name, subprotocol string, text, status bool) dialect {
	c := channels{subprotocol: subprotocol, in: 0, out: 1, fault: 3, text: text, status: status}
	return dialect{name: name, dial: func(ctx context.Context, t target, w work) (io.ReadWriteCloser, error) {
		return c.dial(ctx, t, t.execURL("wss", w))
	}}
}

func forwardOver(name, subprotocol string) dialect {
	c := channels{subprotocol: subprotocol, in: 0, out: 0, fault: 1, ports: true}
	return dialect{name: name, forward: true, dial: func(ctx context.Context, t target, _ work) (io.ReadWriteCloser, error) {
		return c.dial(ctx, t, t.forwardURL("wss"))
	}}
}

// dialWebSocket opens a WebSocket connection with a write buffer of the given size. The buffer must
// hold a whole message, because gorilla/websocket would otherwise split the message into fragments,
// and golang.org/x/net/websocket on the server takes the first byte of a continuation frame for a
// channel.
func dialWebSocket(ctx context.Context, t target, location *url.URL, subprotocol string, buffer int) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		TLSClientConfig:  t.tlsConfig(),
		Subprotocols:     []string{subprotocol},
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   bufferSize,
		WriteBufferSize:  buffer,
	}
	conn, response, err := dialer.DialContext(ctx, location.String(), t.header()) //nolint:bodyclose // as Dialer documents it
	if err != nil {
		return nil, refusal(err, response)
	}
	if chosen := conn.Subprotocol(); chosen != subprotocol {
		_ = conn.Close()
		return nil, fmt.Errorf("bench: requested subprotocol %s, but the server chose %q", subprotocol, chosen)
	}
	return conn, nil
}

func (c channels) dial(ctx context.Context, t target, location *url.URL) (io.ReadWriteCloser, error) {
	buffer := bufferSize
	if c.text {
		buffer = base64.StdEncoding.EncodedLen(bufferSize)
	}
	conn, err := dialWebSocket(ctx, t, location, c.subprotocol, buffer)
	if err != nil {
		return nil, err
	}
	return &channelConn{channels: c, conn: conn}, nil
}

// channelConn carries the bytes of a session in the channels of a WebSocket connection.
type channelConn struct {
	channels
	conn    *websocket.Conn
	output  io.Reader // the part of the current message that was not read yet; nil: between two messages
	message []byte    // buffer for encoding text messages
	named   [2]bool   // for each channel: its message with the port number was read
}

func (c *channelConn) Close() error { return c.conn.Close() }

// Write sends b as one WebSocket message.
func (c *channelConn) Write(b []byte) (int, error) {
	if c.text {
		c.message = base64.StdEncoding.AppendEncode(append(c.message[:0], '0'+c.in), b)
		return len(b), c.conn.WriteMessage(websocket.TextMessage, c.message)
	}
	w, err := c.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return 0, err
	}
	if _, err := w.Write([]byte{c.in}); err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return n, errors.Join(err, w.Close())
}

func (c *channelConn) Read(b []byte) (int, error) {
	for {
		if c.output == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.output.Read(b)
		if errors.Is(err, io.EOF) {
			c.output, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next reads the beginning of the next WebSocket message. If the message has output of the command,
// c.output then reads the output, which can be empty. When the command has succeeded, next returns
// io.EOF.
func (c *channelConn) next() error {
	kind, r, err := c.conn.NextReader()
	switch {
	case err != nil && c.status:
		return fmt.Errorf("%w: %w", errNoStatus, err)
	case websocket.IsCloseError(err, websocket.CloseNormalClosure):
		return io.EOF
	case err != nil:
		return err
	}
	want := websocket.BinaryMessage
	if c.text {
		want = websocket.TextMessage
	}
	if kind != want {
		return fmt.Errorf("bench: WebSocket message of type %d, want type %d", kind, want)
	}
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return errors.Join(errNoChannel, err)
	}
	channel := first[0]
	if c.text {
		channel -= '0'
		r = base64.NewDecoder(base64.StdEncoding, r)
	}
	switch {
	case c.ports && int(channel) < len(c.named) && !c.named[channel]:
		c.named[channel] = true
		return checkPort(r)
	case channel == c.out:
		c.output = r
		return nil
	case channel == c.fault && c.status:
		return c.ended(checkStatus(r))
	case channel == c.fault:
		return checkSilent(r)
	default:
		text, _ := io.ReadAll(io.LimitReader(r, maxStatus))
		return fmt.Errorf("bench: unexpected message on channel %d: %q", channel, text)
	}
}

// ended is called after a success. It waits until the proxy closes the connection, so that the
// proxy has finished its work for the session. It returns io.EOF, or err if err is not nil.
func (c *channelConn) ended(err error) error {
	if err != nil {
		return err
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	for err == nil {
		_, _, err = c.conn.NextReader()
	}
	return io.EOF
}

func checkPort(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxStatus))
	if err != nil {
		return err
	}
	port, _ := strconv.ParseUint(forwardPort, 10, 16)
	if want := binary.LittleEndian.AppendUint16(nil, uint16(port)); !bytes.Equal(text, want) {
		return fmt.Errorf("bench: first message of a channel is %q, want port %s", text, forwardPort)
	}
	return nil
}

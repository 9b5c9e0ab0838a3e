package ws_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// heard is what gorilla/websocket reads from its peer's bytes.
type heard struct {
	messages []heardMessage
	pings    []string
	closed   int // code of the Close; 1005: the Close had no code; -1: there was no Close
	err      error
}

type heardMessage struct {
	text  bool
	b     []byte
	whole bool
}

// gorilla returns what a server made with gorilla/websocket reads from the bytes of the parameter
// in.
func gorilla(in []byte) *heard {
	c, err := (&websocket.Upgrader{}).Upgrade(&upgrade{in: bytes.NewReader(in)}, &http.Request{
		Method: http.MethodGet,
		Header: http.Header{
			"Connection":            {"Upgrade"},
			"Upgrade":               {"websocket"},
			"Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
		},
	}, nil)
	if err != nil {
		panic(err)
	}
	return hear(c)
}

// gorillaClient returns what a client made with gorilla/websocket reads from the bytes of the
// parameter in.
func gorillaClient(in []byte) *heard {
	conn := &answered{upgrade: upgrade{in: bytes.NewReader(in)}}
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return conn, nil }}
	c, _, err := dialer.Dial("ws://localhost", nil)
	if err != nil {
		panic(err)
	}
	return hear(c)
}

// answered is a connection that answers the client's handshake.
type answered struct{ upgrade }

func (a *answered) Write(b []byte) (int, error) {
	if r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b))); err == nil {
		// Sec-WebSocket-Accept is computed from the client's key and this constant GUID: RFC 6455
		// section 4.2.2.
		sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		a.in = io.MultiReader(strings.NewReader("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n"), a.in)
	}
	return len(b), nil
}

func hear(c *websocket.Conn) *heard {
	h := &heard{closed: -1}
	c.SetPingHandler(func(s string) error { h.pings = append(h.pings, s); return nil })
	c.SetCloseHandler(func(code int, _ string) error { h.closed = code; return nil })
	for {
		kind, r, err := c.NextReader()
		if err != nil {
			h.err = err
			return h
		}
		b, err := io.ReadAll(r)
		h.messages = append(h.messages, heardMessage{text: kind == websocket.TextMessage, b: b, whole: err == nil})
		if err != nil {
			h.err = err
			return h
		}
	}
}

// upgrade is a ResponseWriter and the connection below it, for a server under test. The connection
// returns the bytes of the field in, and discards what is written.
type upgrade struct {
	net.Conn // nil: only the methods that upgrade itself defines are called
	in       io.Reader
}

func (u *upgrade) Header() http.Header              { return http.Header{} }
func (u *upgrade) WriteHeader(int)                  {}
func (u *upgrade) Write(b []byte) (int, error)      { return len(b), nil }
func (u *upgrade) Read(b []byte) (int, error)       { return u.in.Read(b) }
func (u *upgrade) SetDeadline(time.Time) error      { return nil }
func (u *upgrade) SetWriteDeadline(time.Time) error { return nil }

func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u, bufio.NewReadWriter(bufio.NewReader(u), bufio.NewWriter(u)), nil
}

package ws_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// heard is what gorilla's server makes of a client's bytes.
type heard struct {
	messages []heardMessage
	pings    []string
	closed   int // the code of the Close; 1005: it had none; -1: no Close
	err      error
}

type heardMessage struct {
	text  bool
	b     []byte
	whole bool
}

// gorilla lets gorilla's server read in.
func gorilla(in []byte) *heard {
	h := &heard{closed: -1}
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

// upgrade is a response writer and the connection below it, which reads in and
// forgets what is written.
type upgrade struct {
	net.Conn // nil: nothing else is called
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

package rawclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// channels is a wire (the connection of a session) on which each stream is a channel in WebSocket
// messages. A binary message consists of one byte, the channel's number, and the payload. In a
// base64 dialect, a text message consists of one digit, the channel's number, and the payload in
// base64.
type channels struct {
	c *websocket.Conn
	d Dialect

	mu  sync.Mutex // held while a message is written; also guards the field buf
	buf []byte

	broken string
}

func (w *channels) write(stream int, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.d.Base64 {
		w.buf = base64.StdEncoding.AppendEncode(append(w.buf[:0], '0'+byte(stream)), p)
		return w.c.WriteMessage(websocket.TextMessage, w.buf)
	}
	w.buf = append(append(w.buf[:0], byte(stream)), p...)
	return w.c.WriteMessage(websocket.BinaryMessage, w.buf)
}

func (w *channels) end(stream int) error {
	if !w.d.HalfClose {
		return ErrCannotSay
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.c.WriteMessage(websocket.BinaryMessage, []byte{255, byte(stream)})
}

func (w *channels) reset(int) error { return ErrCannotSay }

func (w *channels) read(event func(int, []byte, eventKind)) int {
	kind := websocket.BinaryMessage
	if w.d.Base64 {
		kind = websocket.TextMessage
	}
	buf := make([]byte, 64<<10)
	for {
		w.c.SetReadDeadline(time.Now().Add(mostIdle))
		got, r, err := w.c.NextReader()
		if err != nil {
			return closeCode(err)
		}
		if got != kind {
			w.breaksf("a message of type %d", got)
		}
		if _, err = io.ReadFull(r, buf[:1]); errors.Is(err, io.EOF) {
			w.breaksf("an empty message")
			continue
		}
		stream := int(buf[0])
		if w.d.Base64 {
			stream -= '0'
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		for first := true; err == nil; first = false {
			var n int
			n, err = r.Read(buf)
			// call event also for a message without payload: a server starts a session with one
			if n > 0 || first && errors.Is(err, io.EOF) {
				event(stream, buf[:n], isData)
			}
		}
		if !errors.Is(err, io.EOF) {
			if closed := new(websocket.CloseError); errors.As(err, &closed) || !w.d.Base64 {
				return closeCode(err)
			}
			w.breaksf("not base64: %v", err)
		}
	}
}

func closeCode(err error) int {
	if closed := new(websocket.CloseError); errors.As(err, &closed) {
		return closed.Code
	}
	return abnormal
}

func (w *channels) breaksf(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

func (w *channels) ping() error {
	return w.c.WriteControl(websocket.PingMessage, nil, time.Now().Add(5*time.Second))
}

func (w *channels) breach() string { return w.broken }

func (w *channels) bye() {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	w.c.WriteControl(websocket.CloseMessage, message, time.Now().Add(5*time.Second))
}

func (w *channels) conn() net.Conn { return w.c.NetConn() }

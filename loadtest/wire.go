package main

import (
	"net"
	"sync"

	"edge/streams"
)

// maxReplies limits, in bytes, the answers to pings that loadtest stores while the server does not
// read them.
const maxReplies = 512

// wire is the connection of a session, below the code that encodes frames. It sends answers to
// pings between two frames, so that the session's reader does not wait for a write.
type wire struct {
	conn  net.Conn
	ahead []byte // bytes of the session that arrived together with the 101 response; Read returns them first

	mu sync.Mutex // held while a frame is written; the methods close and cut do not lock it, so that they can end a blocked write

	state   sync.Mutex // guards the fields replies, running and closed; not held while reading or writing
	replies []byte     // answers to pings that are not written yet
	running bool       // a goroutine that will write replies was started
	closed  bool
	done    sync.WaitGroup // counts the goroutines that write replies
}

// Read implements io.Reader: it returns the bytes in the field ahead first, then bytes of the
// connection.
func (w *wire) Read(b []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(b, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil
		}
		return n, nil
	}
	return w.conn.Read(b)
}

// WriteRoom implements streams.Writer. It first writes the stored answers to pings, then b[off:],
// to the connection.
func (w *wire) WriteRoom(b []byte, off int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.writeReplies(); err != nil {
		return err
	}
	_, err := w.conn.Write(b[off:])
	return err
}

// writeReplies writes the answers to pings that are not written yet. The caller holds mu.
func (w *wire) writeReplies() error {
	w.state.Lock()
	b := w.replies
	w.replies = nil
	w.state.Unlock()
	if len(b) == 0 {
		return nil
	}
	_, err := w.conn.Write(b)
	return err
}

// Pong implements streams.Replier. loadtest treats a pong like any other reply, because servers do
// not flood it with pings.
func (w *wire) Pong(b []byte) { _ = w.Reply(b) }

// Reply implements streams.Replier.
func (w *wire) Reply(b []byte) error {
	w.state.Lock()
	defer w.state.Unlock()
	if len(w.replies)+len(b) > maxReplies {
		return streams.ErrReplies
	}
	w.replies = append(w.replies, b...)
	if w.running || w.closed {
		return nil
	}
	w.running = true
	w.done.Go(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.state.Lock()
		w.running = false // A reply that comes after this assignment starts a new goroutine.
		w.state.Unlock()
		_ = w.writeReplies() // ignore the error: if the connection is broken, the session's reader gets an error too
	})
	return nil
}

// cut closes the TCP connection at once, so that all pending reads and writes return an error. It
// does not close the TLS connection, because that would wait to send an alert.
func (w *wire) cut() {
	w.state.Lock()
	w.closed = true
	w.state.Unlock()
	bottom := w.conn
	if c, ok := bottom.(interface{ NetConn() net.Conn }); ok {
		bottom = c.NetConn()
	}
	_ = bottom.Close()
}

// close closes the TLS connection and waits for the goroutines that write replies.
func (w *wire) close() {
	w.state.Lock()
	w.closed = true
	w.state.Unlock()
	_ = w.conn.Close()
	w.done.Wait()
}

var _ interface {
	streams.Writer
	streams.Replier
} = (*wire)(nil)

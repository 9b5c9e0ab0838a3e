package main

import (
	"net"
	"sync"

	"edge/streams"
)

// maxReplies bounds, in bytes, the answers to pings that wait for the peer to read them.
const maxReplies = 512

// wire is a session's connection below its codec. Answers to pings leave between two frames, without the
// reader's waiting for a write.
type wire struct {
	conn  net.Conn
	ahead []byte // came with the 101

	mu sync.Mutex // one frame at a time; not held by close

	state   sync.Mutex // guards what follows; never held during I/O
	replies []byte
	running bool // a goroutine of ours is about to write them
	closed  bool
	done    sync.WaitGroup // that goroutine
}

// Read implements io.Reader.
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

// WriteRoom implements streams.Writer.
func (w *wire) WriteRoom(b []byte, off int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.writeReplies(); err != nil {
		return err
	}
	_, err := w.conn.Write(b[off:])
	return err
}

// writeReplies writes what waits, mu held.
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

// Pong implements streams.Replier. A pong is a reply like any other: a server that pings us does not do so in floods.
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
		w.running = false // what comes from here on begins another
		w.state.Unlock()
		_ = w.writeReplies() // the session's reader learns of a broken connection by itself
	})
	return nil
}

// cut ends the connection at once, so that whoever reads or writes gets an error. TLS would wait to say goodbye.
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

// close says goodbye, ends the connection and waits for what the wire has begun.
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

package serving

import (
	"net"
	"net/http"
	"sync"
)

// handover is the listener of connections that are accepted, and whose handshake is done.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

// hand reports false after Close.
func (h *handover) hand(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.done:
		return false
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, http.ErrServerClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener; nobody asks.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

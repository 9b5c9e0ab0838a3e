package serving

import (
	"net"
	"net/http"
	"sync"
)

// connListener is the net.Listener through which net/http gets connections that are accepted and
// whose TLS handshake, if any, is complete.
type connListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnListener() *connListener {
	return &connListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// hand passes conn to the next call of Accept. It returns false after Close.
func (h *connListener) hand(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.done:
		return false
	}
}

func (h *connListener) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, http.ErrServerClosed
	}
}

func (h *connListener) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener. Nothing uses its result.
func (h *connListener) Addr() net.Addr { return &net.TCPAddr{} }

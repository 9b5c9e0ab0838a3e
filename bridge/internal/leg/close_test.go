package leg

import (
	"crypto/tls"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/testkit"
	"edge/streams"
)

// TestCloseWhileStuck checks that closing a leg, one connection of a session, ends a blocked write
// and does not wait for it. crypto/tls does not know of that write, because the write buffer below
// crypto/tls makes it.
func TestCloseWhileStuck(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	testkit.StartTLS(s)
	cert := s.TLS.Certificates
	s.Close()
	conn, peer := loopback(t)
	// The client reads the handshake and nothing after it.
	client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	noted := &deadlineConn{pollConn: conn}
	server := tls.Server(noted, &tls.Config{Certificates: cert})
	go client.Handshake()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	l := New(server, nil, nil)
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		b := make([]byte, streams.Headroom+streams.MaxData)
		for l.WriteRoom(b, streams.Headroom) == nil {
		}
	}()
	for last := int64(-1); last != l.out.Load(); time.Sleep(200 * time.Millisecond) {
		last = l.out.Load()
	}
	l.Close()
	<-stuck
	if noted.waits.Load() {
		t.Error("TLS had time to send close_notify")
	}
}

// deadlineConn is a connection that records whether crypto/tls has set a write deadline while the
// connection was open. crypto/tls does so before it sends its close_notify, for which it allows 5
// s.
type deadlineConn struct {
	*pollConn
	waits atomic.Bool
}

func (c *deadlineConn) SetWriteDeadline(t time.Time) error {
	err := c.pollConn.SetWriteDeadline(t)
	if err == nil {
		c.waits.Store(true)
	}
	return err
}

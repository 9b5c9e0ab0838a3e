package bridge

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"
	"time"

	"edge/streams"
)

// TestCloseWhileStuck: closing a leg ends a write that is stuck, and does not wait for
// it, though TLS knows nothing of what its cork writes.
func TestCloseWhileStuck(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	cert := s.TLS.Certificates
	s.Close()
	conn, peer := loopback(t)
	client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true}) // a peer that reads the handshake, and no more
	server := tls.Server(conn, &tls.Config{Certificates: cert})
	go client.Handshake()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	l := newLeg(server, nil, nil)
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
	begin := time.Now()
	l.close()
	<-stuck
	if d := time.Since(begin); d > tlsPatience {
		t.Errorf("close waited %v", d)
	}
}

// tlsPatience is less than what crypto/tls gives a close_notify: 5 s.
const tlsPatience = 4 * time.Second

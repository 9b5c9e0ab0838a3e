//go:build unix

package leg

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/testkit"
	"edge/streams"
)

// TestRouse checks that the method interrupt makes a waiting Read return once, and that no bytes
// are lost before or after that, also inside a TLS record.
func TestRouse(t *testing.T) {
	for _, layer := range []struct {
		name  string
		first int // number of bytes that the peer sends before the interrupt
	}{
		{"within a record's header", 2},
		{"within a record", 20},
		{"between records", 0},
	} {
		t.Run(layer.name, func(t *testing.T) {
			c, peer := loopback(t)
			cut := &inTwo{Conn: peer, goOn: make(chan struct{})}
			// The client does not know the name of the server, so it does not verify the certificate.
			client := tls.Client(cut, &tls.Config{InsecureSkipVerify: true})
			s := httptest.NewUnstartedServer(nil)
			testkit.StartTLS(s)
			defer s.Close()
			seen := &countedPoll{pollConn: c}
			server := tls.Server(seen, &tls.Config{Certificates: s.TLS.Certificates})
			handshaken := make(chan error, 1)
			go func() { handshaken <- client.Handshake() }()
			if err := errors.Join(server.Handshake(), <-handshaken); err != nil {
				t.Fatal(err)
			}

			begun := seen.read.Load()
			cut.first, cut.cuts = layer.first, true
			wrote := make(chan error, 1)
			go func() {
				_, err := client.Write([]byte("after the wait"))
				wrote <- err
			}()
			go func() {
				for seen.read.Load() < begun+int64(layer.first) {
					time.Sleep(time.Millisecond)
				}
				c.interrupt()
			}()
			b := make([]byte, 100)
			if n, err := server.Read(b); n != 0 || !errors.Is(err, streams.ErrWouldBlock) {
				t.Fatalf("an interrupted Read gave %q, %v", b[:n], err)
			}
			close(cut.goOn)
			n, err := server.Read(b)
			if string(b[:n]) != "after the wait" || err != nil {
				t.Errorf("the next one gave %q, %v", b[:n], err)
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
		})
	}
}

// inTwo is a connection that splits the next write: it sends the first bytes at once, and the rest
// when the channel in the field goOn is closed.
type inTwo struct {
	net.Conn
	first int
	goOn  chan struct{}
	cuts  bool // true: the next write is split
}

func (c *inTwo) Write(b []byte) (int, error) {
	if !c.cuts {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:c.first])
	if err != nil {
		return n, err
	}
	<-c.goOn
	m, err := c.Conn.Write(b[c.first:])
	return n + m, err
}

// countedPoll is a pollConn that counts the bytes that were read.
type countedPoll struct {
	*pollConn
	read atomic.Int64
}

func (c *countedPoll) Read(b []byte) (int, error) {
	n, err := c.pollConn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// TestRouseLeavesDeadlines checks that interrupt does not change a read deadline that is set before
// it or after it.
func TestRouseLeavesDeadlines(t *testing.T) {
	c, peer := loopback(t)
	b := make([]byte, 10)
	c.SetReadDeadline(time.Now().Add(time.Hour))
	c.interrupt()
	peer.Write([]byte("x"))
	if n, err := c.Read(b); n != 1 || err != nil {
		t.Errorf("with a deadline a Read gave %d bytes, %v", n, err)
	}
	c.SetDeadline(time.Time{})
	c.interrupt()
	if _, err := c.Read(b); !errors.Is(err, streams.ErrWouldBlock) {
		t.Errorf("without a deadline an interrupted Read gave %v", err)
	}
	c.interrupt()
	c.SetReadDeadline(longAgo)
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline that was set after gave %v", err)
	}
	c.SetReadDeadline(time.Time{})
	peer.Write([]byte("y"))
	if n, err := c.Read(b); n != 1 || err != nil {
		t.Errorf("after all that a Read gave %d bytes, %v", n, err)
	}
}

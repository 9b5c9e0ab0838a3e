package bridge_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"edge/bridge"
)

// stuckUpstream begins a session whose API server accepts the streams and then reads nothing. The
// client sends no stdin, so only edge's keepalives fill the connection to the API server.
func stuckUpstream(t *testing.T) (*world, *rawConn) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	api := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		conn, _ := take(t, rw)
		defer conn.Close()
		tcpOf(conn).SetReadBuffer(2 << 10)
		conn.Write([]byte(accepted("v4.channel.k8s.io") + bombAccepts))
		<-hold
	})
	w := newWorld(t, api, speaking(bridge.StreamingSPDY), func(c *bridge.Config) {
		c.Upstream.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
				conn.(*net.TCPConn).SetReadBuffer(8 << 10)
			}
			return conn, err
		}
	})
	w.handler.SetTimes(time.Millisecond, time.Second, 5*time.Second)
	c := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return w, c
}

// TestStuckKeepalive checks a client whose API server no longer reads, not even keepalives. edge
// must answer the client's pings, and the session must end when the client closes or half-closes.
func TestStuckKeepalive(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name string
		say  func(*rawConn)
	}{
		{"Close", func(c *rawConn) { c.Write([]byte(masked(true, opClose, "\x03\xe8"))) }},
		{"half-close", func(c *rawConn) { c.CloseWrite() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			w, c := stuckUpstream(t)
			pongs := make(chan string, 1<<16)
			go func() {
				defer close(pongs)
				for {
					f, err := readFrame(c)
					if err != nil {
						return
					}
					if f.op == opPong && f.payload != "" { // edge's own pongs are empty
						pongs <- f.payload
					}
				}
			}()
			for begin, n := time.Now(), 0; time.Since(begin) < 6*time.Second; n++ { // meanwhile, the keepalives fill the connection
				want := fmt.Sprint("ping ", n)
				if _, err := c.Write([]byte(masked(true, opPing, want))); err != nil {
					t.Fatal(err)
				}
				late := time.After(patience)
				for got := ""; got != want; {
					select {
					case got = <-pongs:
					case <-late:
						t.Fatalf("ping %d is not answered", n)
					}
				}
				time.Sleep(10 * time.Millisecond)
			}
			end.say(c)
			w.ended(1)
		})
	}
}

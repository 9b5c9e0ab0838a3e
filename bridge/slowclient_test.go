package bridge_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"edge/bridge"
)

// eagerRelay terminates TLS in front of a server and forwards connections to it as load balancers
// do: it takes what the server sends, however slowly the client reads. When the server has ended its
// side, it resets the client's connection, with everything that the client has not received yet. It
// returns the relay's address and a counter of the bytes that it has taken from the server.
func eagerRelay(t *testing.T, server *httptest.Server) (addr string, taken *counter) {
	t.Helper()
	config := server.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	taken = new(counter)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := tls.Dial("tcp", server.Listener.Addr().String(), tlsFor(server, "http/1.1"))
			if err != nil {
				client.Close()
				return
			}
			go io.Copy(up, client)
			go func() {
				defer up.Close()
				takeAll(client, io.TeeReader(up, taken))
			}()
		}
	}()
	return l.Addr().String(), taken
}

// takeAll copies all bytes of src to client, and reads from src also while client does not read.
// When src ends, takeAll resets client's connection.
func takeAll(client net.Conn, src io.Reader) {
	tcpOf(client).SetWriteBuffer(64 << 10)
	stored := make(chan []byte, 1<<16) // has room for all that the test sends
	go func() {
		for b := range stored {
			if _, err := client.Write(b); err != nil {
				return
			}
		}
	}()
	for {
		b := make([]byte, 32<<10)
		n, err := src.Read(b)
		stored <- b[:n]
		if err != nil {
			close(stored)
			tcpOf(client).SetLinger(0)
			tcpOf(client).Close()
			return
		}
	}
}

// TestSlowClientBehindALoadBalancer checks a WebSocket client that reads the end of its output long
// after a load balancer has taken it from edge. edge must not close the connection before the client
// has read everything, although TCP reports that everything has arrived.
func TestSlowClientBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	const size = 2 << 20 // more than the kernel stores for the client, which gets small buffers
	for name, upstream := range map[string]bridge.Streaming{"SPDY": bridge.StreamingSPDY, "WebSocket": bridge.StreamingWebSocket} {
		for _, version := range []string{"v4.channel.k8s.io", "v5.channel.k8s.io"} {
			t.Run(name+" "+version, func(t *testing.T) {
				w := newWorld(t, (&apiServer{run: func(p *process) error {
					_, err := io.WriteString(p.out, strings.Repeat("x", size))
					return err
				}}).start(t), speaking(upstream))
				w.handler.SetAnswerTime(50*time.Millisecond, patience)
				addr, taken := eagerRelay(t, w.edge)
				d := websocket.Dialer{TLSClientConfig: tlsFor(w.edge), Subprotocols: []string{version}, HandshakeTimeout: patience}
				d.NetDial = func(network, addr string) (net.Conn, error) {
					conn, err := net.Dial(network, addr)
					if err == nil {
						err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
					}
					return conn, err
				}
				c, resp, err := d.Dial("wss://"+addr+execPath, nil)
				if err != nil {
					t.Fatal(err, resp)
				}
				defer c.Close()
				c.SetReadDeadline(time.Now().Add(patience))
				// stalled is true 150 ms after edge's last byte, which is longer than the answer time
				w.eventually("the load balancer has everything", func() bool { return taken.n.Load() > size && taken.stalled() })
				all := transcribe(t, c)
				if n := len(all.channel[1]); n != size || all.code != websocket.CloseNormalClosure {
					t.Errorf("the client got %d of %d bytes, code %d, %v", n, size, all.code, all.err)
				}
				if s := all.status(t); s.Status != "Success" {
					t.Errorf("%+v", s)
				}
				if line := w.ended(1); !strings.Contains(line, "cause=completed") {
					t.Error(line)
				}
			})
		}
	}
}

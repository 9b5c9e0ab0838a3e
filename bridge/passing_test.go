package bridge_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xwebsocket "golang.org/x/net/websocket"
)

// rawEnds opens a WebSocket that edge relays without parsing it, and returns both ends as raw
// connections.
func rawEnds(t *testing.T) (w *world, client, server *rawConn) {
	t.Helper()
	servers := make(chan *rawConn, 1)
	w = newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		conn.SetDeadline(time.Now().Add(patience))
		servers <- &rawConn{Conn: conn.(*tls.Conn), t: t, br: early}
	}))
	w.handler.SetTimes(5*time.Millisecond, time.Second, time.Second)
	client = dialRaw(t, w.edge)
	client.ask("", askWebSocket(proxyPath)...)
	if resp := client.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	server = <-servers
	t.Cleanup(func() { server.Close() })
	return w, client, server
}

// heard reads one WebSocket frame, which a client or a server has sent.
func heard(c *rawConn) (wsFrame, error) {
	head, err := c.br.Peek(2)
	if err != nil || head[1]&0x80 == 0 {
		return readFrame(c.br)
	}
	if n := head[1] & 0x7f; n > 125 {
		return wsFrame{}, errors.New("this test's clients say short frames")
	}
	b := make([]byte, 6+int(head[1]&0x7f))
	if _, err := io.ReadFull(c.br, b); err != nil {
		return wsFrame{}, err
	}
	for i := range b[6:] {
		b[6+i] ^= b[2+i%4]
	}
	return wsFrame{fin: b[0]&0x80 != 0, masked: true, op: b[0] & 0x7f, payload: string(b[6:])}, nil
}

// pingOf waits until c receives one of edge's own pings.
func pingOf(t *testing.T, c *rawConn, masked bool) wsFrame {
	t.Helper()
	f, err := heard(c)
	if err != nil || f.op != opPing || len(f.payload) != 8 || f.masked != masked {
		t.Fatalf("%+v, %v, want a ping", f, err)
	}
	return f
}

// nextOf returns the next frame that c receives and that is not one of edge's own pings.
func nextOf(t *testing.T, c *rawConn, ping wsFrame) wsFrame {
	t.Helper()
	for {
		f, err := heard(c)
		if err != nil {
			t.Fatal(err)
		}
		if f.op != opPing || f.payload != ping.payload {
			return f
		}
	}
}

// TestPassedPings checks edge's pings on a WebSocket that edge does not parse. Both ends must
// receive them. edge must discard the pongs that answer them, and relay every other ping and pong.
func TestPassedPings(t *testing.T) {
	t.Parallel()
	w, client, server := rawEnds(t)
	down, up := pingOf(t, client, false), pingOf(t, server, true)
	for _, payload := range []string{down.payload, "", "somebody", "another"} {
		io.WriteString(client.Conn, masked(true, opPong, payload))
	}
	io.WriteString(client.Conn, masked(true, opText, "after"))
	for _, want := range []wsFrame{{true, true, opPong, ""}, {true, true, opPong, "somebody"}, {true, true, opPong, "another"}, {true, true, opText, "after"}} {
		if got := nextOf(t, server, up); got != want {
			t.Errorf("upstream got %+v, want %+v", got, want)
		}
	}
	io.WriteString(server.Conn, "\x8a\x08"+up.payload+"\x8a\x08"+down.payload+"\x89\x03you\x81\x01x")
	for _, want := range []wsFrame{{true, false, opPong, down.payload}, {true, false, opPing, "you"}, {true, false, opText, "x"}} {
		if got := nextOf(t, client, down); got != want {
			t.Errorf("the client got %+v, want %+v", got, want)
		}
	}
	client.Close()
	w.ended(1)
}

// TestPassedPingsWithinAFrame checks a WebSocket that edge does not parse: edge must send no ping
// inside a frame, however long the frame takes. Between the fragments of a message edge may send
// one.
func TestPassedPingsWithinAFrame(t *testing.T) {
	t.Parallel()
	w, client, server := rawEnds(t)
	up := pingOf(t, server, true)
	frame := masked(false, opText, strings.Repeat("x", 100))
	for cut := range []int{1, 2, 5, 6, 50, len(frame) - 1} {
		io.WriteString(client.Conn, frame[:cut])
		for range 5 { // wait as long as edge needs for five keepalives to the client
			pingOf(t, client, false)
		}
		io.WriteString(client.Conn, frame[cut:])
		if got := nextOf(t, server, up); got.payload != strings.Repeat("x", 100) || got.fin {
			t.Fatalf("cut at %d, upstream got %+v", cut, got)
		}
		pingOf(t, server, true)
		io.WriteString(client.Conn, masked(true, 0, ""))
		if got := nextOf(t, server, up); got.op != 0 || !got.fin {
			t.Fatalf("cut at %d, upstream got %+v", cut, got)
		}
	}
	client.Close()
	w.ended(1)
}

// TestPassedNoPingAfterClose checks that edge sends no ping on a WebSocket after it has relayed a
// Close.
func TestPassedNoPingAfterClose(t *testing.T) {
	t.Parallel()
	w, client, server := rawEnds(t)
	up, down := pingOf(t, server, true), pingOf(t, client, false)
	io.WriteString(client.Conn, masked(true, opClose, "\x03\xe8"))
	if f := nextOf(t, server, up); f.op != opClose {
		t.Fatalf("upstream got %+v", f)
	}
	time.Sleep(100 * time.Millisecond)
	server.Conn.Write([]byte("\x88\x02\x03\xe8"))
	server.Conn.CloseWrite()
	if f := nextOf(t, client, down); f.op != opClose {
		t.Errorf("the client got %+v", f)
	}
	client.Close()
	if f, err := heard(server); err == nil {
		t.Errorf("after the Close upstream got %+v", f)
	}
	w.ended(1)
}

// TestPassedLibraries checks edge's pings against the WebSocket libraries of servers in Kubernetes.
// They must answer pings between the messages, with compression too, and their applications must
// not see the pings.
func TestPassedLibraries(t *testing.T) {
	t.Parallel()
	var pings sync.Map
	for name, server := range map[string]http.HandlerFunc{
		"gorilla": func(w http.ResponseWriter, r *http.Request) {
			c := must((&websocket.Upgrader{EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil))
			defer c.Close()
			answer := c.PingHandler()
			c.SetPingHandler(func(s string) error {
				pings.Store("gorilla", true)
				return answer(s)
			})
			c.SetPongHandler(func(s string) error {
				t.Errorf("gorilla: a pong %q", s)
				return nil
			})
			for {
				kind, b, err := c.ReadMessage()
				if err != nil || c.WriteMessage(kind, b) != nil {
					return
				}
			}
		},
		"x/net": xwebsocket.Server{Handler: func(c *xwebsocket.Conn) { io.Copy(c, c) }}.ServeHTTP,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, (&apiServer{rest: server}).start(t))
			w.handler.SetTimes(time.Millisecond, time.Second, time.Second)
			d := websocket.Dialer{TLSClientConfig: tlsFor(w.edge), EnableCompression: true, WriteBufferSize: 1000} // the small buffer makes gorilla send fragments
			c, _, err := d.Dial("wss://"+w.edge.Listener.Addr().String()+proxyPath, http.Header{"Origin": {w.edge.URL}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(patience))
			pinged := 0
			answer := c.PingHandler()
			c.SetPingHandler(func(s string) error {
				pinged++
				return answer(s)
			})
			c.SetPongHandler(func(s string) error {
				t.Errorf("a pong %q", s)
				return nil
			})
			for i := 0; i < 100 || pinged < 20; i++ {
				say := noise(1 + i*1000%30_000)
				if err := c.WriteMessage(websocket.BinaryMessage, []byte(say)); err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				for got.Len() < len(say) { // this x/net server sends each fragment back as a separate message
					_, b, err := c.ReadMessage()
					if err != nil {
						t.Fatal(err)
					}
					got.Write(b)
				}
				if got.String() != say {
					t.Fatalf("message %d came back changed", i)
				}
			}
			if _, ok := pings.Load("gorilla"); name == "gorilla" && !ok {
				t.Error("upstream got no ping")
			}
		})
	}
}

// TestPassedCuts checks that edge relays bytes unchanged, wherever the network splits them, even if
// they are no valid WebSocket frames.
func TestPassedCuts(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"frames":       strings.Repeat(masked(true, opText, "abc")+masked(true, opPong, "somebody")+"\xf3"+masked(true, opText, "odd")[1:], 50),
		"half a frame": masked(true, opText, "abc") + "\x82\xff\x00",
		"half a pong":  "\x8a\x88abcdsome",
		"no end":       "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd" + strings.Repeat("x", 5000),
	} {
		for _, piece := range []int{1, 3, 1000, 1 << 20} {
			w, client, server := rawEnds(t)
			go func() {
				for rest := said; rest != ""; rest = rest[min(piece, len(rest)):] {
					io.WriteString(client.Conn, rest[:min(piece, len(rest))])
				}
				client.CloseWrite()
			}()
			b, _ := io.ReadAll(server.br)
			if got := withoutPings(string(b)); got != said {
				t.Errorf("%s in pieces of %d: upstream got %.100q, want %.100q", name, piece, got, said)
			}
			server.Close()
			client.Close()
			w.ended(1)
		}
	}
}

// withoutPings removes edge's own pings, which are masked and have a payload of 8 bytes. The bytes
// that TestPassedCuts sends contain none like them.
func withoutPings(b string) string {
	for {
		i := strings.Index(b, "\x89\x88")
		if i < 0 || len(b) < i+14 {
			return b
		}
		b = b[:i] + b[i+14:]
	}
}

package bridge_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"

	"edge/bridge"
)

// TestChaos runs clients and API servers of every dialect (protocol and subprotocol) that write,
// read, stall, violate the protocol, disconnect and end at random. After the clients have
// disconnected, every session must have ended. The package's leak check proves the same for every
// goroutine.
func TestChaos(t *testing.T) {
	t.Parallel()
	const sessions = 180
	for _, streaming := range upstreams {
		t.Run(string(streaming), func(t *testing.T) { chaos(t, streaming, sessions) })
	}
}

func chaos(t *testing.T, streaming bridge.Streaming, sessions int) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"}}
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "websocket" && r.Header.Get("Sec-WebSocket-Protocol") == "" {
			echo(w, r)
			return
		}
		if r.Header.Get("Upgrade") == "websocket" {
			c, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer c.Close()
			wild(rand.New(rand.NewPCG(uint64(len(r.URL.RawQuery)), 1)), c.NetConn(), bufio.NewReader(c.NetConn()), "server")
			return
		}
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted(r.Header.Get("X-Stream-Protocol-Version")))
		wild(rand.New(rand.NewPCG(uint64(len(r.URL.RawQuery)), 1)), conn, early, "spdy")
	}), speaking(streaming))
	w.handler.SetTimes(5*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond)
	names := []string{"websocket v5", "websocket v4", "websocket base64", "spdy exec", "tunnel", "ports", "spdy forward", "opaque"}
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() { wildClient(t, w, names[i%len(names)], i) })
	}
	all.Wait()
	w.eventually("the end of all sessions", func() bool { return w.handler.Running() == 0 })
}

// wild is a client or API server that reads, writes and waits at random for a while, and then ends
// the connection in a random way.
func wild(r *rand.Rand, c net.Conn, in *bufio.Reader, dialect string) {
	for range r.IntN(10) {
		switch r.IntN(3) {
		case 0:
			c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			in.Discard(1 + r.IntN(20_000))
		case 1:
			c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := io.WriteString(c, wildWords(r, dialect)); err != nil {
				return
			}
		default:
			time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
		}
	}
	switch r.IntN(4) {
	case 0:
		tcpOf(c).SetLinger(0) // the close becomes a reset
		tcpOf(c).Close()
	case 1:
		c.(*tls.Conn).CloseWrite()
		time.Sleep(20 * time.Millisecond)
	case 2:
		switch {
		case strings.HasPrefix(dialect, "spdy"):
			io.WriteString(c, success)
		case dialect == "server":
			io.WriteString(c, "\x82\x15\x03{\"status\":\"Success\"}\x88\x02\x03\xe8")
		default:
			io.WriteString(c, masked(true, opClose, "\x03\xe8"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// success is an SPDY DATA frame on stream 1 with a success Status and FIN.
var success = func() string {
	var b strings.Builder
	f := must(moby.NewFramer(&b, nil))
	f.WriteFrame(&moby.DataFrame{StreamId: 1, Data: []byte(`{"status":"Success"}`), Flags: moby.DataFlagFin})
	return b.String()
}()

// wildClient runs a client that performs a few random actions and then disconnects.
func wildClient(t *testing.T, w *world, dialect string, seed int) {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	c := dialRaw(t, w.edge)
	defer c.Close()
	ask := append([]string(nil), upgrades[dialect]...)
	ask[0] = strings.Replace(ask[0], " HTTP", "?&"[strings.Count(ask[0], "?"):][:1]+strings.Repeat("x", 1+seed)+" HTTP", 1)
	early := ""
	if r.IntN(3) == 0 {
		early = wildWords(r, dialect)
	}
	_, err := io.WriteString(c.Conn, strings.Join(ask, "\r\n")+"\r\n\r\n"+early)
	if err == nil {
		_, err = http.ReadResponse(c.br, nil)
	}
	if err != nil {
		// edge may answer and close the connection before it has read all early bytes. Then the
		// write fails, or the answer is lost in a reset.
		if early == "" {
			t.Error(err)
		}
		return
	}
	if strings.HasPrefix(dialect, "spdy") && r.IntN(4) > 0 {
		f := c.framer()
		for i, kind := range []string{"error", "stdin", "stdout", "stderr"}[:r.IntN(5)] {
			f.WriteFrame(&moby.SynStreamFrame{StreamId: moby.StreamId(2*i + 1), Headers: http.Header{"Streamtype": {kind}}})
		}
	}
	wild(r, c.Conn, c.br, dialect)
}

// wildWords returns random frames of the dialect; most of them are valid.
func wildWords(r *rand.Rand, dialect string) string {
	payload := strings.Repeat("x", r.IntN(40_000))
	if strings.HasPrefix(dialect, "spdy") {
		var b strings.Builder
		f, err := moby.NewFramer(&b, nil)
		if err != nil {
			panic(err)
		}
		id := moby.StreamId(1 + 2*r.IntN(6))
		switch r.IntN(8) {
		case 0:
			return payload[:min(20, len(payload))]
		case 1:
			f.WriteFrame(&moby.RstStreamFrame{StreamId: id, Status: moby.Cancel})
		case 2:
			f.WriteFrame(&moby.PingFrame{Id: 1})
		case 3:
			f.WriteFrame(&moby.GoAwayFrame{})
		case 4:
			f.WriteFrame(&moby.DataFrame{StreamId: id, Flags: moby.DataFlagFin})
		default:
			f.WriteFrame(&moby.DataFrame{StreamId: id, Data: []byte(payload)})
		}
		return b.String()
	}
	if dialect == "server" {
		f := bombHead(0x80|opBinary, uint64(1+len(payload)))
		unmasked := f[:1] + "\x7f" + f[2:10] + string([]byte{byte(r.IntN(6))}) + payload
		return []string{unmasked, unmasked, unmasked, "\x89\x00", "\x81\x01x", "\x88\x00", "\x82\x02\x03{", message("x")}[r.IntN(8)]
	}
	switch r.IntN(8) {
	case 0:
		return masked(true, opText, payload)
	case 1:
		return masked(true, opPing, "x")
	case 2:
		return masked(false, opBinary, "\x00"+payload)
	case 3:
		return message("\xff\x00")
	case 4:
		return masked(true, 0x70, payload)
	default:
		return message("\x00" + payload)
	}
}

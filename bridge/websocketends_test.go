package bridge_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"edge/bridge"
)

// TestWebSocketV4Close: v4 cannot say the end of stdin but by a Close; the
// process sees it, and its output and Status still arrive.
func TestWebSocketV4Close(t *testing.T) {
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		b, err := io.ReadAll(p.in)
		fmt.Fprintf(p.out, "%s %v;", b, err)
		time.Sleep(50 * time.Millisecond)
		io.WriteString(p.out, strings.Repeat("x", 200_000))
		return exitError(7)
	}}).start(t))
	for name, close := range map[string]string{"a code": "\x03\xe8", "no code": ""} {
		t.Run(name, func(t *testing.T) {
			c := w.rawWebSocket(t, execPath, "v4.channel.k8s.io")
			io.WriteString(c.Conn, message("\x00all of it")+masked(true, opClose, close))
			frames, err := readFrames(c, false)
			if err != io.EOF {
				t.Errorf("ended with %v", err)
			}
			var out, status string
			for _, f := range frames {
				switch {
				case f.op == opBinary && f.payload[0] == 1:
					out += f.payload[1:]
				case f.op == opBinary && f.payload[0] == 3:
					status += f.payload[1:]
				}
			}
			if !strings.HasPrefix(out, "all of it <nil>;") || len(out) != 200_000+len("all of it <nil>;") {
				t.Errorf("%d bytes of output: %.40q", len(out), out)
			}
			if last := frames[len(frames)-1]; !strings.Contains(status, "NonZeroExitCode") || last.op != opClose || last.payload != "\x03\xe8" {
				t.Errorf("ended with Status %q and %+v", status, last)
			}
		})
	}
}

// TestWebSocketV4CloseAndLeave: a v4 client that closes and goes takes its
// session with it, whatever the process does.
func TestWebSocketV4CloseAndLeave(t *testing.T) {
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.webSocket(t, execPath, "v4.channel.k8s.io")
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	c.Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client gone"`) {
		t.Error(line)
	}
}

// untilGone is a process that reads nothing, says nothing, and ends when its
// client's connection does.
func untilGone(p *process) error {
	<-p.ctx.Done()
	return p.ctx.Err()
}

// TestWebSocketV5Close: on v5 a Close means the end of all. edge answers it with
// the same code, and the process loses its connection.
func TestWebSocketV5Close(t *testing.T) {
	gone := make(chan error, 1)
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		_, err := io.Copy(io.Discard, p.in)
		gone <- err
		return nil
	}}).start(t))
	for _, code := range []string{"\x03\xe8", "\x03\xe9going away", "\x0f\xa0mine", ""} {
		c := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
		io.WriteString(c.Conn, message("\x00bye")+masked(true, opClose, code))
		frames, err := readFrames(c, false)
		if last := frames[len(frames)-1]; err != io.EOF || last.op != opClose || last.payload != code[:min(2, len(code))] {
			t.Errorf("a Close %q is answered by %+v, %v", code, last, err)
		}
		for _, f := range frames {
			if f.op == opBinary && f.payload[0] == 3 {
				t.Errorf("a Status: %q", f.payload)
			}
		}
		<-gone
	}
	if line := w.ended(4); !strings.Contains(line, `cause="client closed the session"`) {
		t.Error(line)
	}
}

// TestClientGone: a client that just goes takes the session with it.
func TestClientGone(t *testing.T) {
	gone := make(chan struct{}, 1)
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		fmt.Fprint(p.out, "up")
		io.Copy(io.Discard, p.in)
		gone <- struct{}{}
		return nil
	}}).start(t))
	for i, version := range webSocketVersions {
		c := w.webSocket(t, execPath, version)
		for {
			if _, b, err := c.ReadMessage(); err != nil || string(b) == "\x01up" {
				break
			}
		}
		c.Close()
		<-gone
		if line := w.ended(i + 1); !strings.Contains(line, `cause="client gone"`) {
			t.Error(line)
		}
	}
}

// stalledUpstream takes an upgrade and reads nothing more. hold ends it.
func stalledUpstream(t *testing.T, protocol string) (h http.HandlerFunc, hold chan struct{}) {
	hold = make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _ := take(t, w)
		defer conn.Close()
		tcpOf(conn).SetReadBuffer(4 << 10)
		io.WriteString(conn, accepted(protocol))
		<-hold
	}, hold
}

// flood writes until the connection takes no more, or breaks.
func flood(c io.Writer, piece string) {
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
}

// TestHeartbeat: a client whose stdin stalls cannot get an answer to its pings,
// which lie behind it, so edge sends pongs unasked. Otherwise it pings only.
func TestHeartbeat(t *testing.T) {
	api, hold := stalledUpstream(t, "v4.channel.k8s.io")
	w := newWorld(t, api)
	w.handler.SetTimes(20*time.Millisecond, time.Second, time.Second)
	defer close(hold)
	for _, version := range webSocketVersions {
		t.Run(version, func(t *testing.T) {
			c := w.rawWebSocket(t, execPath, version)
			if _, err := readFrame(c); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if f, err := readFrame(c); err != nil || f.op != opPing {
					t.Fatalf("idle, the client gets %+v, %v", f, err)
				}
			}
			go flood(c.Conn, message("\x00"+strings.Repeat("x", 30_000)))
			for pongs := 0; pongs < 3; {
				f, err := readFrame(c)
				if err != nil || f.op != opPing && f.op != opPong {
					t.Fatalf("stalled, the client gets %+v, %v", f, err)
				}
				if f.op == opPong {
					pongs++
				}
			}
			c.Close()
		})
	}
}

// TestClientGoneWhileStalled: edge notices that a client died although it does
// not read from it, since upstream takes no more stdin.
func TestClientGoneWhileStalled(t *testing.T) {
	api, hold := stalledUpstream(t, "v4.channel.k8s.io")
	w := newWorld(t, api)
	w.handler.SetTimes(20*time.Millisecond, time.Second, time.Second)
	defer close(hold)
	c := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
	in := new(counter)
	go flood(io.MultiWriter(c.Conn, in), message("\x00"+strings.Repeat("x", 30_000)))
	w.eventually("a stall", in.stalled)
	tcpOf(c.Conn).Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client gone"`) {
		t.Error(line)
	}
}

// TestCloseOfAStalledReader: a v5 client that closes, but reads nothing and
// stays, holds its session no longer than edge lingers.
func TestCloseOfAStalledReader(t *testing.T) {
	out := new(counter)
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		flood(io.MultiWriter(p.out, out), strings.Repeat("x", 30_000))
		return nil
	}}).start(t))
	w.handler.SetTimes(time.Minute, 50*time.Millisecond, time.Second)
	c := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
	w.eventually("a stall", out.stalled)
	io.WriteString(c.Conn, masked(true, opClose, "\x03\xe8"))
	if line := w.ended(1); !strings.Contains(line, `cause="client closed the session"`) {
		t.Error(line)
	}
}

// TestUpstreamHeartbeat: an API server that is spoken to in WebSocket is pinged,
// masked as RFC 6455 section 5.3 asks of a client, and its own pings are answered.
func TestUpstreamHeartbeat(t *testing.T) {
	for path, protocol := range map[string]string{execPath: "v5.channel.k8s.io", forwardPath: "SPDY/3.1+portforward.k8s.io"} {
		pinged, ponged := make(chan struct{}, 100), make(chan string, 1)
		w := newWorld(t, playedWebSocket(protocol, func(c *websocket.Conn) {
			c.SetPingHandler(func(string) error {
				pinged <- struct{}{}
				return nil
			})
			c.SetPongHandler(func(said string) error {
				ponged <- said
				return nil
			})
			c.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience))
			c.ReadMessage()
		}), speaking(bridge.StreamingWebSocket))
		w.handler.SetTimes(20*time.Millisecond, time.Second, time.Second)
		c := w.webSocket(t, path, protocol)
		if said := <-ponged; said != "are you there" {
			t.Errorf("%s: the pong says %q", protocol, said)
		}
		for range 3 {
			<-pinged
		}
		c.Close()
		w.ended(1)
	}
}

// TestNoPingToAnUpstreamThatWaits: while a client holds the output back, upstream
// hears nothing of edge's own. It may have ended already, and a byte to an end
// that is closed makes a reset, which drops the last words on their way.
func TestNoPingToAnUpstreamThatWaits(t *testing.T) {
	heard, said := new(counter), new(counter)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted("v4.channel.k8s.io"))
		go io.Copy(heard, early)
		flood(io.MultiWriter(conn, said), "\x00\x00\x00\x05\x00\x00\x40\x00"+strings.Repeat("x", 16<<10))
	}))
	w.handler.SetTimes(10*time.Millisecond, time.Second, time.Second)
	for _, version := range webSocketVersions {
		c := w.rawWebSocket(t, execPath, version)
		w.eventually("a stall in which upstream hears nothing", func() bool {
			wrote, before := said.n.Load(), heard.n.Load()
			time.Sleep(20 * 10 * time.Millisecond) // of keepalives
			return wrote > 0 && said.n.Load() == wrote && heard.n.Load() == before
		})
		c.Close()
	}
}

// TestCloseIsAnsweredBeforeTheEnd: edge half-closes an ended stream after the
// client's own Close, as RFC 6455 section 7.1.1 has it, and not before: the first
// end of a connection is what a load balancer makes a reset of. A client that
// never answers is not waited for.
func TestCloseIsAnsweredBeforeTheEnd(t *testing.T) {
	w := newWorld(t, (&apiServer{
		run:     func(*process) error { return nil },
		forward: func(int32, io.ReadWriter) error { return nil },
	}).start(t))
	w.handler.SetAnswerTime(time.Second)
	const forwardPath = "/api/v1/namespaces/default/pods/web/portforward?ports=80"
	session := 0
	for path, versions := range map[string][]string{execPath: webSocketVersions, forwardPath: {"v4.channel.k8s.io"}} {
		for _, version := range versions {
			for _, answer := range []string{"", masked(true, opClose, "\x03\xe8")} {
				c := w.rawWebSocket(t, path, version)
				for f := (wsFrame{}); f.op != opClose; {
					var err error
					if f, err = readFrame(c); err != nil {
						t.Fatal(path, err)
					}
				}
				c.Conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				var timeout net.Error
				if b, err := c.br.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Fatalf("%s, %s: after edge's Close came %#x, %v", path, version, b, err)
				}
				c.Conn.SetReadDeadline(time.Now().Add(patience))
				io.WriteString(c.Conn, answer)
				if b, err := c.br.ReadByte(); err != io.EOF {
					t.Errorf("%s, %s: at the end came %#x, %v", path, version, b, err)
				}
				c.Close()
				session++
				w.ended(session)
			}
		}
	}
}

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

// webSocketExecs are all the dialects of exec over WebSocket, unnamed ones too.
var webSocketExecs = []string{"", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"}

// TestCloseIsAnswered: a client's Close ends its session on every dialect, while
// the command runs and whatever it does. edge answers at once with the same code and
// half-closes, and says neither output nor Status after it. The process gets what
// was said before, and the end of its connection.
func TestCloseIsAnswered(t *testing.T) {
	for name, upstream := range map[string]bridge.Streaming{"SPDY": bridge.StreamingSPDY, "WebSocket": bridge.StreamingWebSocket} {
		for _, version := range webSocketExecs {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				got := make(chan string, 1)
				w := newWorld(t, (&apiServer{run: func(p *process) error {
					b, _ := io.ReadAll(p.in)
					got <- string(b)
					io.WriteString(p.out, "late")
					return exitError(7)
				}}).start(t), speaking(upstream))
				session := 0
				for _, code := range []string{"\x03\xe8", "\x03\xe9going away", "\x0f\xa0mine", ""} {
					c := w.rawWebSocket(t, execPath, version)
					stdin := message("\x00all of it")
					if strings.Contains(version, "base64") {
						stdin = masked(true, opText, "0YWxsIG9mIGl0")
					}
					io.WriteString(c.Conn, stdin+masked(true, opClose, code))
					frames, err := readFrames(c, false)
					if last := frames[len(frames)-1]; err != io.EOF || last.op != opClose || last.payload != code[:min(2, len(code))] {
						t.Errorf("a Close %q is answered by %+v, %v", code, last, err)
					}
					if len(frames) > 2 { // the start signal
						t.Errorf("%+v", frames)
					}
					c.Close()
					if said := <-got; said != "all of it" {
						t.Errorf("the process got %q", said)
					}
					session++
					if line := w.ended(session); !strings.Contains(line, `cause="client closed the session"`) {
						t.Error(line)
					}
				}
			})
		}
	}
}

// TestCloseDuringAFlood: a Close is answered although the process never stops to
// speak, and nothing comes behind the answer.
func TestCloseDuringAFlood(t *testing.T) {
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		flood(p.out, strings.Repeat("x", 30_000))
		return nil
	}}).start(t))
	for i, version := range webSocketExecs {
		c := w.rawWebSocket(t, execPath, version)
		io.WriteString(c.Conn, masked(true, opClose, "\x03\xe8"))
		frames, err := readFrames(c, false)
		if last := frames[len(frames)-1]; err != io.EOF || last.op != opClose {
			t.Errorf("%s: %d frames, the last of them %d, %v", version, len(frames), last.op, err)
		}
		c.Close()
		w.ended(i + 1)
	}
}

// TestCloseToAStuckUpstream: a Close is answered although upstream does not end.
func TestCloseToAStuckUpstream(t *testing.T) {
	for path, api := range map[string]string{execPath: "v4.channel.k8s.io", forwardPath + "?ports=80": "portforward.k8s.io"} {
		up, hold := stalledUpstream(t, api)
		w := newWorld(t, up)
		w.handler.SetTimes(time.Minute, time.Minute, time.Minute) // so that nothing but the Close is an answer
		for _, version := range []string{"v4.channel.k8s.io", "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"} {
			if strings.HasPrefix(version, "SPDY") != (path != execPath) && version != "v4.channel.k8s.io" {
				continue
			}
			c := w.rawWebSocket(t, path, version)
			io.WriteString(c.Conn, masked(true, opClose, "\x03\xe8"))
			if frames, err := readFrames(c, false); err != io.EOF || len(frames) == 0 || frames[len(frames)-1].payload != "\x03\xe8" {
				t.Errorf("%s: %+v, %v", version, frames, err)
			}
			c.Close()
		}
		close(hold)
	}
}

// TestWebSocketV4CloseAndLeave: a v4 client that closes and goes takes its
// session with it, whatever the process does.
func TestWebSocketV4CloseAndLeave(t *testing.T) {
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.webSocket(t, execPath, "v4.channel.k8s.io")
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	c.Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client closed the session"`) {
		t.Error(line)
	}
}

// untilGone is a process that reads nothing, says nothing, and ends when its
// client's connection does.
func untilGone(p *process) error {
	<-p.ctx.Done()
	return p.ctx.Err()
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

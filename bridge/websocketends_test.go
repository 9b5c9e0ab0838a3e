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

// webSocketExecs are all WebSocket subprotocols of exec; "" stands for none.
var webSocketExecs = []string{"", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"}

// TestCloseIsAnswered checks that a client's Close ends its session in every dialect, even while
// the command runs. edge must answer immediately with the same code, half-close the connection, and
// send neither output nor Status after that. The process must receive all earlier stdin, and then
// the end of its connection.
func TestCloseIsAnswered(t *testing.T) {
	t.Parallel()
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
				codes := []string{"\x03\xe8", "\x03\xe9going away", "\x0f\xa0mine", ""}
				for _, code := range codes {
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
					if len(frames) > 2 { // only the start signal and the Close may arrive
						t.Errorf("%+v", frames)
					}
					c.Close()
				}
				// checked after all sessions began: over WebSocket edge holds each for the accept time
				for i := range codes {
					if said := <-got; said != "all of it" {
						t.Errorf("the process got %q", said)
					}
					if line := w.ended(i + 1); !strings.Contains(line, `cause="client closed the session"`) {
						t.Error(line)
					}
				}
			})
		}
	}
}

// TestInputBeforeClose checks that the process receives at once what a client sent before its Close.
// edge keeps the connection to an API server over WebSocket open for the accept time, and must not
// keep back input for so long.
func TestInputBeforeClose(t *testing.T) {
	t.Parallel()
	const input = "all of it"
	for name, upstream := range map[string]bridge.Streaming{"SPDY": bridge.StreamingSPDY, "WebSocket": bridge.StreamingWebSocket} {
		for _, version := range webSocketVersions {
			t.Run(name+" "+version, func(t *testing.T) {
				got := make(chan string, 1)
				w := newWorld(t, (&apiServer{run: func(p *process) error {
					b := make([]byte, len(input))
					_, err := io.ReadFull(p.in, b)
					got <- string(b)
					return err
				}}).start(t), speaking(upstream))
				w.handler.SetTimes(time.Hour, time.Hour, time.Hour)
				w.handler.SetAcceptTime(time.Hour)
				c := w.rawWebSocket(t, execPath, version)
				io.WriteString(c.Conn, message("\x00"+input)+masked(true, opClose, "\x03\xe8"))
				select {
				case said := <-got:
					if said != input {
						t.Errorf("the process got %q", said)
					}
				case <-time.After(patience):
					t.Error("the process got no input")
				}
				c.Close()
				w.ended(1)
			})
		}
	}
}

// TestCloseDuringAFlood checks that edge answers a client's Close although the process sends output
// without a pause, and that nothing follows the answer.
func TestCloseDuringAFlood(t *testing.T) {
	t.Parallel()
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

// TestCloseToAStuckUpstream checks that edge answers a client's Close although the API server does
// not end its side.
func TestCloseToAStuckUpstream(t *testing.T) {
	t.Parallel()
	for path, api := range map[string]string{execPath: "v4.channel.k8s.io", forwardPath + "?ports=80": "portforward.k8s.io"} {
		up, hold := stalledUpstream(t, api)
		w := newWorld(t, up)
		// The times are so long that only the Close can end the session.
		w.handler.SetTimes(time.Minute, time.Minute, time.Minute)
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

// TestWebSocketV4CloseAndLeave checks that a session ends when its v4 client sends Close and
// disconnects, whatever the process does.
func TestWebSocketV4CloseAndLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.webSocket(t, execPath, "v4.channel.k8s.io")
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience))
	c.Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client closed the session"`) {
		t.Error(line)
	}
}

// untilGone is a process that reads and writes nothing, and ends when its client's connection ends.
func untilGone(p *process) error {
	<-p.ctx.Done()
	return p.ctx.Err()
}

// TestClientGone checks that a session ends when its client disconnects without a Close.
func TestClientGone(t *testing.T) {
	t.Parallel()
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
		if line := w.ended(i + 1); !strings.Contains(line, `cause="client disconnected"`) {
			t.Error(line)
		}
	}
}

// stalledUpstream accepts an upgrade and then reads nothing, until the test closes hold.
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

// flood writes the bytes in the parameter piece to c many times, until a write fails.
func flood(c io.Writer, piece string) {
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
}

// TestHeartbeat checks edge's keepalives for a client. While the API server does not read stdin,
// edge does not read the client's pings, which come after the stdin, and cannot answer them. So
// edge must also send pongs that answer no ping. Otherwise edge must send only pings.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
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
			// A pong may come until edge has begun to read.
			for pings := 0; pings < 3; pings++ {
				f, err := readFrame(c)
				if err != nil || f.op != opPing && f.op != opPong {
					t.Fatalf("idle, the client gets %+v, %v", f, err)
				}
				if f.op == opPong {
					pings = -1
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

// TestClientGoneWhileStalled checks that edge notices a disconnected client even while edge does
// not read from the client, because the API server accepts no more stdin.
func TestClientGoneWhileStalled(t *testing.T) {
	t.Parallel()
	api, hold := stalledUpstream(t, "v4.channel.k8s.io")
	w := newWorld(t, api)
	w.handler.SetTimes(20*time.Millisecond, time.Second, time.Second)
	defer close(hold)
	c := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
	in := new(counter)
	go flood(io.MultiWriter(c.Conn, in), message("\x00"+strings.Repeat("x", 30_000)))
	w.eventually("a stall", in.stalled)
	tcpOf(c.Conn).Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client disconnected"`) {
		t.Error(line)
	}
}

// TestCloseOfAStalledReader checks a client of v5.channel.k8s.io that sends Close, but neither
// reads nor disconnects. Its session must end after edge's linger time.
func TestCloseOfAStalledReader(t *testing.T) {
	t.Parallel()
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

// TestUpstreamHeartbeat checks that edge pings an API server over WebSocket and answers its pings.
// edge's frames must be masked, as RFC 6455 section 5.3 requires of a client.
func TestUpstreamHeartbeat(t *testing.T) {
	t.Parallel()
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

// TestNoPingToAnUpstreamThatWaits checks that edge sends no pings upstream while its client does
// not read the output. The API server may already have closed its connection. A byte sent to a
// closed connection causes a reset, which would drop the output that is still in transit.
func TestNoPingToAnUpstreamThatWaits(t *testing.T) {
	t.Parallel()
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
		w.eventually("a stall in which upstream receives nothing", func() bool {
			wrote, before := said.n.Load(), heard.n.Load()
			time.Sleep(20 * 10 * time.Millisecond) // several keepalive intervals of 10 ms
			return wrote > 0 && said.n.Load() == wrote && heard.n.Load() == before
		})
		c.Close()
	}
}

// TestCloseIsAnsweredBeforeTheEnd checks that edge half-closes the client's connection at the end
// of a stream only after the client's Close, as RFC 6455 section 7.1.1 requires. A load balancer
// may turn the first half-close of a connection into a reset. edge must not wait longer than the
// answer time for a client that sends no Close.
func TestCloseIsAnsweredBeforeTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{
		run:     func(*process) error { return nil },
		forward: func(int32, io.ReadWriter) error { return nil },
	}).start(t))
	w.handler.SetAnswerTime(time.Second, time.Second)
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

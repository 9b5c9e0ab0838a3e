package bridge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"edge/bridge"
)

// upstreamSession is the API server's end of a stream, which the test controls.
type upstreamSession struct {
	conn    net.Conn // the TLS connection to edge
	streams map[string]httpstream.Stream
}

// say writes text on a stream of the session.
func (u *upstreamSession) say(stream, text string) { io.WriteString(u.streams[stream], text) }

// cut ends the TCP connection to edge with FIN, or with a reset.
func (u *upstreamSession) cut(reset bool) {
	tcp := tcpOf(u.conn)
	if reset {
		tcp.SetLinger(0)
	}
	tcp.Close()
}

// hijackSpy is a ResponseWriter that stores the connection that a library takes over.
type hijackSpy struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijackSpy) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// played returns an API server that accepts SPDY streams as a real one does, and runs the test's
// script as soon as the first n streams are open.
func played(n int, script func(*upstreamSession)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := httpstream.Handshake(r, w, r.Header["X-Stream-Protocol-Version"]); err != nil {
			return
		}
		spy := &hijackSpy{ResponseWriter: w}
		opened := make(chan httpstream.Stream, 100)
		conn := spdy.NewResponseUpgrader().UpgradeResponse(spy, r, func(s httpstream.Stream, replied <-chan struct{}) error {
			go func() {
				<-replied
				opened <- s
			}()
			return nil
		})
		defer conn.Close()
		u := &upstreamSession{conn: spy.conn, streams: map[string]httpstream.Stream{}}
		for range n {
			s := <-opened
			u.streams[s.Headers().Get("streamType")] = s
		}
		script(u)
	}
}

// deaths are ways in which an API server that speaks SPDY ends an exec without an outcome (a valid
// Status).
var deaths = map[string]func(*upstreamSession){
	"FIN at once":            func(u *upstreamSession) { u.cut(false) },
	"RST at once":            func(u *upstreamSession) { u.cut(true) },
	"goodbye without status": func(*upstreamSession) {},
	"FIN after output": func(u *upstreamSession) {
		u.say("stdout", "partial")
		u.cut(false)
	},
	"RST after output": func(u *upstreamSession) {
		u.say("stdout", "partial")
		u.cut(true)
	},
	"TLS ends after output": func(u *upstreamSession) {
		u.say("stdout", "partial")
		u.conn.Close()
	},
	"FIN after half a status": func(u *upstreamSession) {
		u.say("stdout", "partial")
		u.say("error", `{"metadata":{},"status":"Succ`)
		u.cut(false)
	},
	"RST after half a status": func(u *upstreamSession) {
		u.say("error", `{"status":"Success"`)
		u.cut(true)
	},
	"half a status, then goodbye": func(u *upstreamSession) { u.say("error", `{"status":"Success",`) },
	"an empty status": func(u *upstreamSession) {
		u.streams["error"].Close()
		u.streams["stdout"].Close()
		u.streams["stderr"].Close()
	},
	"output ends, then FIN": func(u *upstreamSession) {
		u.say("stdout", "partial")
		u.streams["stdout"].Close()
		u.streams["stderr"].Close()
		u.cut(false)
	},
	"a status that is none": func(u *upstreamSession) { u.say("error", `{"message":"hello"}`) },
	"text for a status":     func(u *upstreamSession) { u.say("error", "command failed") },
	"no SPDY": func(u *upstreamSession) {
		io.WriteString(u.conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		u.cut(false)
	},
	"an unknown version of SPDY": func(u *upstreamSession) {
		io.WriteString(u.conn, "\x80\x02\x00\x02\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x01")
		u.cut(false)
	},
}

// playedWebSocket returns an API server that accepts the given WebSocket subprotocol as a real one
// does, sends the start signal and then runs the test's script.
func playedWebSocket(version string, script func(*websocket.Conn)) http.HandlerFunc {
	upgrader := websocket.Upgrader{Subprotocols: []string{version}}
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		c.WriteMessage(websocket.BinaryMessage, []byte{1}) // the start signal: an empty message on stdout
		script(c)
	}
}

// channelDeaths are ways in which an API server that speaks WebSocket ends an exec without an
// outcome (a valid Status).
var channelDeaths = map[string]func(*websocket.Conn){
	"FIN at once": func(c *websocket.Conn) { tcpOf(c.NetConn()).Close() },
	"RST at once": func(c *websocket.Conn) {
		tcpOf(c.NetConn()).SetLinger(0)
		tcpOf(c.NetConn()).Close()
	},
	"TLS ends":                  func(*websocket.Conn) {},
	"Close 1000 without status": func(c *websocket.Conn) { sayClose(c, websocket.CloseNormalClosure) },
	"Close 1011 after output": func(c *websocket.Conn) {
		c.WriteMessage(websocket.BinaryMessage, []byte("\x01partial"))
		sayClose(c, websocket.CloseInternalServerErr)
	},
	"half a message": func(c *websocket.Conn) { io.WriteString(c.NetConn(), "\x82\x10\x01part") },
	"half a status": func(c *websocket.Conn) {
		io.WriteString(c.NetConn(), "\x02\x15\x03{\"status\":\"Success\"}")
		tcpOf(c.NetConn()).Close()
	},
	"an empty status": func(c *websocket.Conn) {
		c.WriteMessage(websocket.BinaryMessage, []byte{3})
		sayClose(c, websocket.CloseNormalClosure)
	},
	"text for a status": func(c *websocket.Conn) {
		c.WriteMessage(websocket.BinaryMessage, []byte("\x03command failed"))
		sayClose(c, websocket.CloseNormalClosure)
	},
	"a masked frame": func(c *websocket.Conn) { io.WriteString(c.NetConn(), message("\x03{\"status\":\"Success\"}")) },
	"no WebSocket":   func(c *websocket.Conn) { io.WriteString(c.NetConn(), "HTTP/1.1 400 Bad Request\r\n\r\n") },
}

func sayClose(c *websocket.Conn, code int) {
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience))
}

// TestUpstreamDies is a row of the attack corpus in docs/security.md. The API server ends an exec
// before its outcome is known, on every pair of dialects. The client must never see success.
func TestUpstreamDies(t *testing.T) {
	t.Parallel()
	for name, death := range channelDeaths {
		t.Run("websocket, "+name, func(t *testing.T) {
			w := newWorld(t, playedWebSocket("v5.channel.k8s.io", death), speaking(bridge.StreamingWebSocket))
			testUpstreamDies(t, w)
		})
	}
	for name, death := range deaths {
		t.Run("SPDY, "+name, func(t *testing.T) { testUpstreamDies(t, newWorld(t, played(4, death))) })
	}
	for name, death := range channelDeaths {
		t.Run("websocket v4, "+name, func(t *testing.T) {
			w := newWorld(t, playedWebSocket("v4.channel.k8s.io", death), speaking(bridge.StreamingWebSocket))
			for _, c := range execClients {
				if got := c.do(t, w.edge, command{}); got.err == nil || strings.Contains(got.err.Error(), "deadline exceeded") {
					t.Errorf("%s: the client ended with %v", c.name, got.err)
				}
			}
		})
	}
}

func testUpstreamDies(t *testing.T, w *world) {
	w.handler.SetTimes(time.Minute, 500*time.Millisecond, time.Minute)
	for _, c := range execClients {
		got := c.do(t, w.edge, command{stdin: strings.NewReader("")})
		if got.err == nil || strings.Contains(got.err.Error(), "deadline exceeded") {
			t.Errorf("%s: the client ended with %v", c.name, got.err)
		}
		if strings.Contains(fmt.Sprint(got.err), "127.0.0.1") {
			t.Errorf("%s: the error contains the API server's address: %v", c.name, got.err)
		}
	}
	for _, version := range webSocketVersions {
		tr := transcribe(t, w.webSocket(t, execPath, version))
		s := tr.status(t)
		if s.Status != metav1.StatusFailure || s.Message == "" || tr.code != websocket.CloseNormalClosure {
			t.Errorf("%s: Status %+v, Close %d, %v", version, s, tr.code, tr.err)
		}
		if last := tr.messages[len(tr.messages)-1]; last[0] != 3 {
			t.Errorf("%s: the last message is %q", version, last)
		}
	}
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	open(t, f, "error", "stdin", "stdout", "stderr")
	if s := readStory(f); !strings.Contains(s.data[1], `"status":"Failure"`) || s.err != io.EOF {
		t.Errorf("SPDY v4: %v %v %v", s.data, s.frames, s.err)
	}
	c.Close()
}

// TestUpstreamDiesWithOutput checks that the client receives all output that the API server sent
// before its connection ended.
func TestUpstreamDiesWithOutput(t *testing.T) {
	t.Parallel()
	big := noise(1 << 20)
	w := newWorld(t, played(3, func(u *upstreamSession) {
		u.say("stdout", big)
		u.say("stderr", "warning")
		u.cut(false)
	}))
	for _, c := range execClients {
		got := c.do(t, w.edge, command{})
		if got.err == nil || got.stdout != big || got.stderr != "warning" {
			t.Errorf("%s: %d bytes of output, %q, %v", c.name, len(got.stdout), got.stderr, got.err)
		}
	}
}

// TestUpstreamDiesForward checks a port-forward whose API server disconnects. The port-forward must
// end, but not with a normal close.
func TestUpstreamDiesForward(t *testing.T) {
	t.Parallel()
	for name, death := range map[string]func(*upstreamSession){
		"FIN at once": func(u *upstreamSession) { u.cut(false) },
		"RST after data": func(u *upstreamSession) {
			u.say("data", "partial")
			u.cut(true)
		},
		"no SPDY": func(u *upstreamSession) { io.WriteString(u.conn, "HTTP/1.1 400 Bad Request\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, played(2, death))
			w.handler.SetTimes(time.Minute, 500*time.Millisecond, time.Minute)
			for dialect, dialer := range forwardDialers(t, w.edge) {
				conn, _, err := dialer.Dial("portforward.k8s.io")
				if err != nil {
					t.Fatal(err)
				}
				for _, kind := range []string{"error", "data"} {
					// Ignore an error here: the API server may have disconnected already.
					conn.CreateStream(http.Header{"Streamtype": {kind}, "Port": {"80"}, "Requestid": {"0"}})
				}
				select {
				case <-conn.CloseChan():
				case <-time.After(patience):
					t.Errorf("%s: the client did not notice the end", dialect)
				}
				conn.Close()
			}
		})
	}
	w := newWorld(t, played(0, func(u *upstreamSession) { u.cut(false) }))
	if tr := transcribe(t, w.webSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")); tr.code != websocket.CloseGoingAway {
		t.Errorf("the tunnel ends with Close %d, %v", tr.code, tr.err)
	}
	if tr := transcribe(t, w.webSocket(t, forwardPath+"?ports=80", "v4.channel.k8s.io")); tr.code != websocket.CloseGoingAway {
		t.Errorf("the channels end with Close %d, %v", tr.code, tr.err)
	}
	w = newWorld(t, playedWebSocket("SPDY/3.1+portforward.k8s.io", func(c *websocket.Conn) { tcpOf(c.NetConn()).Close() }), speaking(bridge.StreamingWebSocket))
	for protocol, query := range map[string]string{"SPDY/3.1+portforward.k8s.io": "", "v4.channel.k8s.io": "?ports=80"} {
		if tr := transcribe(t, w.webSocket(t, forwardPath+query, protocol)); tr.code != websocket.CloseGoingAway {
			t.Errorf("%s: upstream's tunnel is gone, and the client's ends with Close %d, %v", protocol, tr.code, tr.err)
		}
	}
}

// TestUpstreamIsNotThere checks API servers that do not listen, do not complete a TLS handshake, or
// do not answer. edge must answer 502 or 504 with a Status, for streams and for plain requests.
func TestUpstreamIsNotThere(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wordless := serveTLS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ctx.Done():
		}
	}))
	for name, test := range map[string]struct {
		addr string
		code int
	}{
		"nobody listens": {"127.0.0.1:1", 502}, // a port that the kernel gives to no other test
		"no handshake":   {silent.Addr().String(), 504},
		"no answer":      {wordless.Listener.Addr().String(), 504},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, log: new(syncBuffer)}
			upstream := configFor(wordless)
			upstream.Host = (&url.URL{Scheme: "https", Host: test.addr}).String()
			upstream.Timeout = 300 * time.Millisecond
			if name == "no handshake" {
				upstream.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil {
						conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
					}
					return conn, err
				}
			}
			w.front(upstream)
			asks := map[string][]string{"plain": {"GET /api HTTP/1.1", "Host: e"}}
			maps.Copy(asks, upgrades)
			for dialect, ask := range asks {
				t.Run(dialect, func(t *testing.T) {
					t.Parallel()
					c := dialRaw(t, w.edge)
					c.ask("", ask...)
					resp := c.answer()
					body, _ := io.ReadAll(resp.Body)
					if resp.StatusCode != test.code || !strings.Contains(string(body), `"kind":"Status"`) || strings.Contains(string(body), "127.0.0.1") {
						t.Errorf("%s %s", resp.Status, body)
					}
				})
			}
		})
	}
	stop()
}

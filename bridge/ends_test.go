package bridge_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
)

// TestLastWordsOfStdin: a client that sends and goes at once; upstream gets what
// was sent, and then the end. (A container runtime may drop it even so.)
func TestLastWordsOfStdin(t *testing.T) {
	stories := make(chan spdyStory, 1)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted("v4.channel.k8s.io"))
		f, err := moby.NewFramer(io.Discard, early)
		if err != nil {
			t.Error(err)
		}
		stories <- readStory(f)
	}))
	check := func(dialect string) {
		t.Helper()
		if s := <-stories; s.data[3] != "last words" || s.err != io.EOF {
			t.Errorf("%s: upstream got %v %v", dialect, s.data, s.err)
		}
	}
	for range 10 {
		for _, version := range webSocketVersions {
			c := w.rawWebSocket(t, execPath, version)
			io.WriteString(c.Conn, message("\x00last ")+message("\x00words"))
			c.Close()
			check(version)
		}
		c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
		f := c.framer()
		open(t, f, "error", "stdin", "stdout", "stderr")
		f.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("last words")})
		f.WriteFrame(&moby.GoAwayFrame{})
		c.CloseWrite()
		check("SPDY")
		c.Close()
	}
}

// TestSPDYClientResets: resets and half-closes pass, with the stream they are of,
// and a port-forward's GOAWAY too; an exec's is the client's own affair.
func TestSPDYClientResets(t *testing.T) {
	stories := make(chan spdyStory, 1)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted(r.Header.Get("X-Stream-Protocol-Version")))
		f, err := moby.NewFramer(io.Discard, early)
		if err != nil {
			t.Error(err)
		}
		stories <- readStory(f)
	}))
	for _, test := range []struct {
		path, protocol string
		types          []string
		want           []string
	}{
		{execPath, "v4.channel.k8s.io", []string{"error", "stdin", "stdout", "stderr"}, []string{"3:data", "3:fin", "5:reset"}},
		{forwardPath, "portforward.k8s.io", []string{"error", "data", "data"}, []string{"3:data", "3:fin", "5:reset", "0:goaway"}},
	} {
		c := w.rawSPDY(t, test.path, test.protocol)
		f := c.framer()
		open(t, f, test.types...)
		f.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("x"), Flags: moby.DataFlagFin})
		f.WriteFrame(&moby.RstStreamFrame{StreamId: 5, Status: moby.Cancel})
		f.WriteFrame(&moby.GoAwayFrame{})
		c.CloseWrite()
		s := <-stories
		var got []string
		for _, step := range s.frames {
			if !strings.HasSuffix(step, "SynStreamFrame") {
				got = append(got, step)
			}
		}
		if !slices.Equal(got, test.want) || s.err != io.EOF {
			t.Errorf("%s: upstream got %v, %v", test.protocol, got, s.err)
		}
		c.Close()
	}
}

// TestDrainForward: a port-forward that edge ends is no normal close.
func TestDrainForward(t *testing.T) {
	w := newWorld(t, (&apiServer{forward: ports}).start(t))
	c := w.webSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
	raw := w.rawSPDY(t, forwardPath, "portforward.k8s.io")
	w.eventually("two sessions", func() bool { return w.handler.Running() == 2 })
	go w.handler.Drain(t.Context())
	if tr := transcribe(t, c); tr.code != websocket.CloseGoingAway {
		t.Errorf("the tunnel ends with %d, %v", tr.code, tr.err)
	}
	if s := readStory(raw.framer()); s.err != io.EOF {
		t.Errorf("SPDY ends with %v, %v", s.frames, s.err)
	}
	c.Close()
	raw.Close()
	w.ended(2)
}

// TestOutputAfterStatus: a runtime that gives the Status before the last output;
// a client that is slow loses none of it.
func TestOutputAfterStatus(t *testing.T) {
	const size = 10 << 20
	w := newWorld(t, played(4, func(u *upstreamSession) {
		u.say("stderr", "begun")
		u.say("error", `{"status":"Success"}`)
		u.streams["error"].Close()
		for range size / (32 << 10) {
			u.say("stdout", strings.Repeat("x", 32<<10))
		}
		u.streams["stdout"].Close()
		u.streams["stderr"].Close()
		io.Copy(io.Discard, u.streams["stdin"]) // until edge is done
	}))
	w.handler.SetTimes(time.Minute, 300*time.Millisecond, time.Minute)
	for _, version := range webSocketVersions {
		c := w.webSocket(t, execPath, version)
		for begun := false; !begun; {
			_, b, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			begun = string(b) == "\x02begun"
		}
		time.Sleep(800 * time.Millisecond)
		tr := transcribe(t, c)
		if got := len(tr.channel[1]); got != size || tr.code != websocket.CloseNormalClosure || tr.channel[3] != `{"status":"Success"}` {
			t.Errorf("%s: %d bytes of output, Status %q, Close %d, %v", version, got, tr.channel[3], tr.code, tr.err)
		}
	}
}

// TestGoodbyeDuringAFlood: a client that still sends when the command has ended
// gets the outcome all the same, and what is still on its way before it: edge
// reads on for a while, since a close with unread bytes is a reset and drops it.
func TestGoodbyeDuringAFlood(t *testing.T) {
	w := newWorld(t, played(4, func(u *upstreamSession) {
		io.CopyN(io.Discard, u.streams["stdin"], 1<<20)
		u.say("stdout", strings.Repeat("x", 300_000))
		u.say("error", `{"status":"Success"}`)
		u.streams["error"].Close()
		u.streams["stdout"].Close()
		u.streams["stderr"].Close()
		io.Copy(io.Discard, u.streams["stdin"])
	}))
	w.handler.SetTimes(time.Minute, 3*time.Second, time.Minute)
	for _, version := range webSocketVersions {
		for range 3 {
			c := w.rawWebSocket(t, execPath, version)
			tcpOf(c.Conn).SetReadBuffer(64 << 10)
			go flood(c.Conn, message("\x00"+strings.Repeat("x", 30_000)))
			time.Sleep(300 * time.Millisecond)
			frames, err := readFrames(c, false)
			if n := len(frames); n < 3 || frames[n-2].payload != "\x03"+`{"status":"Success"}` || frames[n-1].op != opClose {
				t.Errorf("%s: %d frames, %v", version, n, err)
			}
			c.Close()
		}
	}
}

// TestForwardToAStalledUpstream: a client that goes while its API server takes
// nothing more takes its session with it.
func TestForwardToAStalledUpstream(t *testing.T) {
	api, hold := stalledUpstream(t, "portforward.k8s.io")
	w := newWorld(t, api)
	w.handler.SetTimes(20*time.Millisecond, 200*time.Millisecond, time.Minute)
	defer close(hold)
	story := func(c io.Writer) {
		f, err := moby.NewFramer(c, nil)
		if err != nil {
			t.Error(err)
		}
		f.WriteFrame(&moby.SynStreamFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"data"}, "Port": {"80"}, "Requestid": {"0"}}})
		for f.WriteFrame(&moby.DataFrame{StreamId: 1, Data: make([]byte, 16<<10)}) == nil {
		}
	}
	for i, tunnelled := range []bool{false, true} {
		sent := new(counter)
		if tunnelled {
			c := w.rawWebSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
			go story(io.MultiWriter(tunnelWriter{c}, sent))
			w.eventually("a stall", sent.stalled)
			c.Conn.NetConn().Close()
		} else {
			c := w.rawSPDY(t, forwardPath, "portforward.k8s.io")
			go story(io.MultiWriter(c.Conn, sent))
			w.eventually("a stall", sent.stalled)
			c.Conn.NetConn().Close()
		}
		if line := w.ended(i + 1); !strings.Contains(line, `cause="client gone"`) {
			t.Error(line)
		}
	}
}

// A tunnelWriter puts each write in a message.
type tunnelWriter struct{ *rawConn }

func (w tunnelWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.Conn, message(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestTunnelBreach: a client that breaks the rules is told by the right code
// although its API server has nothing to say.
func TestTunnelBreach(t *testing.T) {
	w := newWorld(t, (&apiServer{forward: ports}).start(t))
	for name, test := range map[string]struct {
		say  string
		code string
	}{
		"text":          {masked(true, opText, "hello"), "\x03\xeb"},
		"reserved bits": {"\xf2" + masked(true, opBinary, "x")[1:], "\x03\xea"},
		"no SPDY":       {message("\x80\x01\x00\x01\x00\x00\x00\x00"), "\x03\xea"},
		"an even id":    {message("\x80\x03\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00"), "\x03\xea"},
	} {
		c := w.rawWebSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
		io.WriteString(c.Conn, test.say)
		frames, err := readFrames(c, false)
		if len(frames) != 1 || frames[0].op != opClose || frames[0].payload != test.code || err != io.EOF {
			t.Errorf("%s: %+v, %v", name, frames, err)
		}
		c.Close()
	}
}

// TestConnectionClose: a client that asks for the end of the connection and for
// an upgrade gets the upgrade.
func TestConnectionClose(t *testing.T) {
	w := newWorld(t, (&apiServer{run: func(*process) error { return nil }, rest: echo}).start(t))
	for dialect, ask := range upgrades {
		if strings.Contains(dialect, "forward") || dialect == "tunnel" {
			continue
		}
		c := dialRaw(t, w.edge)
		c.ask("", append([]string{ask[0], "Connection: close"}, ask[1:]...)...)
		resp := c.answer()
		if resp.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(resp.Header.Get("Connection"), "Upgrade") {
			t.Errorf("%s: the answer is %s %v", dialect, resp.Status, resp.Header)
		}
		c.Close()
	}
}

// TestUnaskedSwitch: a 101 to a plain request is no tunnel.
func TestUnaskedSwitch(t *testing.T) {
	for name, answer := range map[string]string{
		"of nothing":   "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"of WebSocket": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			behind := make(chan string, 1)
			api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, early := take(t, w)
				defer conn.Close()
				io.WriteString(conn, answer)
				conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				b, _ := io.ReadAll(early)
				behind <- string(b)
			}))
			api.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
			api.StartTLS()
			t.Cleanup(api.Close)
			w := &world{T: t, log: new(logs)}
			w.front(configFor(api))
			c := dialRaw(t, w.edge)
			c.ask("", "GET /api HTTP/1.1", "Host: e")
			if resp := c.answer(); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("the answer is %s", resp.Status)
			}
			io.WriteString(c.Conn, "GET /api/v1/secrets HTTP/1.1\r\nHost: e\r\n")
			if b := <-behind; b != "" {
				t.Errorf("%q reached upstream", b)
			}
			c.Close()
		})
	}
}

// TestBehindAPrefix: an API server whose address has a path. What the path means
// is what the client asked for.
func TestBehindAPrefix(t *testing.T) {
	api := (&apiServer{run: func(*process) error { return exitError(7) }}).start(t)
	w := &world{T: t, log: new(logs)}
	w.api = serveTLS(t, http.StripPrefix("/k8s/clusters/c-1", api))
	cfg := configFor(w.api)
	cfg.Host += "/k8s/clusters/c-1/"
	w.front(cfg)
	if tr := transcribe(t, w.webSocket(t, execPath, "v5.channel.k8s.io")); !strings.Contains(tr.channel[3], "NonZeroExitCode") {
		t.Errorf("Status %q, %v", tr.channel[3], tr.err)
	}
	c := dialRaw(t, w.edge)
	c.ask("", "POST "+execPath+" HTTP/1.1", "Host: e", "Connection: Upgrade", "Content-Length: 0")
	resp := c.answer()
	body, _ := io.ReadAll(bufio.NewReader(resp.Body))
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "arrived without its Upgrade header") {
		t.Errorf("the answer is %s %s", resp.Status, body)
	}
}

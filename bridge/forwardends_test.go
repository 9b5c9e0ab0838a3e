package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
)

// TestDrainForward checks that a port-forward does not end with a normal Close (code 1000) when
// Drain ends it.
func TestDrainForward(t *testing.T) {
	t.Parallel()
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

// TestForwardToAStalledUpstream checks that a port-forward ends when its client disconnects,
// although the API server no longer reads.
func TestForwardToAStalledUpstream(t *testing.T) {
	t.Parallel()
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
		if line := w.ended(i + 1); !strings.Contains(line, `cause="client disconnected"`) {
			t.Error(line)
		}
	}
}

// tunnelWriter sends each write as one WebSocket message, as a client of a tunnel (SPDY inside
// WebSocket) does.
type tunnelWriter struct{ *rawConn }

func (w tunnelWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.Conn, message(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestTunnelBreach checks that a tunnel client (SPDY inside WebSocket) that violates the protocol
// receives the right close code, although the API server sends nothing.
func TestTunnelBreach(t *testing.T) {
	t.Parallel()
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

// TestForwardGoodbye checks the end of a tunnel (SPDY inside WebSocket) whose client sends SPDY's
// GOAWAY and then Close 1000. An API server that ends its connection after the GOAWAY has not
// failed. The client must receive Close 1000, also if edge sees the API server's end before the
// client's Close.
func TestForwardGoodbye(t *testing.T) {
	t.Parallel()
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted("portforward.k8s.io"))
		must(moby.NewFramer(io.Discard, early)).ReadFrame()
	}))
	c := w.webSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
	var goodbye strings.Builder
	must(moby.NewFramer(&goodbye, nil)).WriteFrame(&moby.GoAwayFrame{})
	c.WriteMessage(websocket.BinaryMessage, []byte(goodbye.String()))
	if tr := transcribe(t, c); tr.code != websocket.CloseNormalClosure {
		t.Errorf("ended with Close %d, %v", tr.code, tr.err)
	}
	if line := w.ended(1); !strings.Contains(line, `cause="client closed the session"`) {
		t.Error(line)
	}
}

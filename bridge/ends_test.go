package bridge_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
)

// TestLastWordsOfStdin checks a client that sends stdin and disconnects immediately. The API server
// must receive all of the stdin, and then the end of the connection. (A container runtime may still
// drop the stdin.)
func TestLastWordsOfStdin(t *testing.T) {
	t.Parallel()
	// Run the rounds in parallel, because each takes long: this API server accepts no stream, and
	// at its end each session of edge waits for that until a timeout.
	for round := range 10 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			t.Parallel()
			lastWordsOfStdin(t)
		})
	}
}

func lastWordsOfStdin(t *testing.T) {
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

// TestSPDYClientResets checks that edge relays a client's resets and half-closes on the stream on
// which the client sent them. edge relays a GOAWAY for a port-forward, but not for an exec.
func TestSPDYClientResets(t *testing.T) {
	t.Parallel()
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

// TestOutputAfterStatus checks a container runtime that sends the Status before the last output. A
// slow client must still receive all of the output.
func TestOutputAfterStatus(t *testing.T) {
	t.Parallel()
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
		io.Copy(io.Discard, u.streams["stdin"]) // reads until edge closes the connection
	}))
	// The linger time, the second value, must be longer than the pauses of the API server on a busy
	// machine.
	w.handler.SetTimes(time.Minute, 2*time.Second, time.Minute)
	for _, version := range webSocketVersions {
		c := w.webSocket(t, execPath, version)
		for begun := false; !begun; {
			_, b, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			begun = string(b) == "\x02begun"
		}
		time.Sleep(3 * time.Second) // longer than edge's linger time of 2 s
		tr := transcribe(t, c)
		if got := len(tr.channel[1]); got != size || tr.code != websocket.CloseNormalClosure || tr.channel[3] != `{"status":"Success"}` {
			t.Errorf("%s: %d bytes of output, Status %q, Close %d, %v", version, got, tr.channel[3], tr.code, tr.err)
		}
	}
}

// TestGoodbyeDuringAFlood checks a client that still sends when the command has ended. The client
// must receive the rest of the output and then the Status. edge keeps reading for a while, because
// a close with unread bytes makes TCP send a reset, which drops the data that the client has not
// received.
func TestGoodbyeDuringAFlood(t *testing.T) {
	t.Parallel()
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

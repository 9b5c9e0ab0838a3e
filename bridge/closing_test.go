package bridge_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	moby "github.com/moby/spdystream/spdy"

	"edge/bridge"
)

// TestSPDYHalfClose: an SPDY client that half-closes its connection has ended its
// stdin, and still gets its output and its outcome.
func TestSPDYHalfClose(t *testing.T) {
	for _, upstream := range []bridge.Streaming{bridge.StreamingSPDY, bridge.StreamingWebSocket} {
		for _, version := range []string{"v4.channel.k8s.io", "channel.k8s.io"} {
			w := newWorld(t, (&apiServer{run: func(p *process) error {
				b, err := io.ReadAll(p.in)
				time.Sleep(50 * time.Millisecond)
				fmt.Fprintf(p.out, "%s %v", b, err)
				return exitError(7)
			}}).start(t), speaking(upstream))
			c := w.rawSPDY(t, execPath, version)
			f := c.framer()
			open(t, f, "error", "stdin", "stdout", "stderr")
			f.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("all of it")})
			c.CloseWrite()
			s := readStory(f)
			if s.data[5] != "all of it <nil>" || !strings.Contains(s.data[1], "7") {
				t.Errorf("%s, %s: the client got %v, %v", upstream, version, s.data, s.err)
			}
			c.Close()
			if line := w.ended(1); !strings.Contains(line, "cause=completed") {
				t.Error(line)
			}
		}
	}
}

// TestSPDYGoneAfterHalfClose: a half-close that is the client's end is found out,
// also by a session whose command says nothing.
func TestSPDYGoneAfterHalfClose(t *testing.T) {
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	open(t, c.framer(), "error", "stdin", "stdout", "stderr")
	c.CloseWrite()
	c.Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client gone"`) {
		t.Error(line)
	}
}

// TestSPDYCut: a client that is cut off is gone, and has not half-closed, also where
// its command would end with its stdin.
func TestSPDYCut(t *testing.T) {
	for _, upstream := range []bridge.Streaming{bridge.StreamingSPDY, bridge.StreamingWebSocket} {
		w := newWorld(t, (&apiServer{run: func(p *process) error {
			io.WriteString(p.out, "ready")
			io.Copy(io.Discard, p.in)
			return nil
		}}).start(t), speaking(upstream))
		w.handler.SetAnswerTime(time.Hour) // nobody waits for one
		c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
		f := c.framer()
		open(t, f, "error", "stdin", "stdout", "stderr")
		for ready := false; !ready; {
			d, ok := must(f.ReadFrame()).(*moby.DataFrame)
			ready = ok && string(d.Data) == "ready"
		}
		tcpOf(c.Conn).Close()
		if line := w.ended(1); !strings.Contains(line, `cause="client gone"`) {
			t.Error(line)
		}
	}
}

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

// TestSPDYHalfClose checks a half-close of an SPDY client's connection, which only ends its stdin:
// the client must still receive the output and the exit code.
func TestSPDYHalfClose(t *testing.T) {
	t.Parallel()
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

// TestSPDYGoneAfterHalfClose checks that edge notices when a client disconnects after a half-close,
// also if the command writes nothing.
func TestSPDYGoneAfterHalfClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	open(t, c.framer(), "error", "stdin", "stdout", "stderr")
	c.CloseWrite()
	c.Close()
	if line := w.ended(1); !strings.Contains(line, `cause="client disconnected"`) {
		t.Error(line)
	}
}

// TestSPDYCut checks that edge treats a cut connection as a disconnected client and not as a
// half-close, also for a command that exits when its stdin ends.
func TestSPDYCut(t *testing.T) {
	t.Parallel()
	for _, upstream := range []bridge.Streaming{bridge.StreamingSPDY, bridge.StreamingWebSocket} {
		w := newWorld(t, (&apiServer{run: func(p *process) error {
			io.WriteString(p.out, "ready")
			io.Copy(io.Discard, p.in)
			return nil
		}}).start(t), speaking(upstream))
		// The answer time is so long that the test would fail if edge waited for the answer to a
		// Close.
		w.handler.SetAnswerTime(time.Hour, time.Hour)
		c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
		f := c.framer()
		open(t, f, "error", "stdin", "stdout", "stderr")
		for ready := false; !ready; {
			d, ok := must(f.ReadFrame()).(*moby.DataFrame)
			ready = ok && string(d.Data) == "ready"
		}
		tcpOf(c.Conn).Close()
		if line := w.ended(1); !strings.Contains(line, `cause="client disconnected"`) {
			t.Error(line)
		}
	}
}

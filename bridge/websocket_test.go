package bridge_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// webSocketVersions are the WebSocket subprotocols of exec and attach that are in common use.
var webSocketVersions = []string{"v5.channel.k8s.io", "v4.channel.k8s.io"}

// TestWebSocketWire checks the exact messages that a client of an exec over WebSocket receives: the
// start signal, the output, the Status after all output, and Close 1000. Each must be an unmasked,
// binary, unfragmented message, and no two may begin in the same TLS record.
func TestWebSocketWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		for i := range 50 {
			fmt.Fprintf(p.out, "o%d;", i)
			fmt.Fprintf(p.err, "e%d;", i)
		}
		io.WriteString(p.out, noise(100_000))
		return exitError(7)
	}}).start(t))
	for _, version := range webSocketVersions {
		t.Run(version, func(t *testing.T) {
			c := w.rawWebSocket(t, execPath, version)
			records := &recordReader{r: c.Conn}
			frames, err := readFrames(records, true)
			if err != io.EOF {
				t.Errorf("the connection ended with %v", err)
			}
			// The frame before the Close is a ping. Its pong tells edge that the client has read
			// everything.
			ping := len(frames) - 2
			if frames[ping].op != opPing || frames[ping].masked {
				t.Fatalf("before the Close came %+v", frames[ping])
			}
			frames = slices.Delete(frames, ping, ping+1)
			var out, errOut string
			for i, f := range frames {
				if f.op != opBinary && i != len(frames)-1 || !f.fin || f.masked {
					t.Fatalf("frame %d of %d: %+v", i, len(frames), f)
				}
				switch f.payload[0] {
				case 1:
					out += f.payload[1:]
				case 2:
					errOut += f.payload[1:]
				}
			}
			if first := frames[0]; first.payload != "\x01" {
				t.Errorf("the first message is %q", first.payload)
			}
			if len(out) != 100_000+4*50-10 || len(errOut) != 4*50-10 {
				t.Errorf("%d bytes of output and %d of errors", len(out), len(errOut))
			}
			status, last := frames[len(frames)-2], frames[len(frames)-1]
			if status.payload[0] != 3 || !strings.Contains(status.payload, `"reason":"NonZeroExitCode"`) || !strings.Contains(status.payload, `"message":"7"`) {
				t.Errorf("the last message is %q", status.payload)
			}
			if last.op != opClose || last.payload != "\x03\xe8" {
				t.Errorf("the last frame is %+v", last)
			}
			if records.shared > 0 {
				t.Errorf("%d of %d records have more than one message", records.shared, records.count)
			}
		})
	}
}

// recordReader counts the TLS records in which more than one frame begins. Each read of a tls.Conn
// returns bytes of one record only.
type recordReader struct {
	r             io.Reader
	buf           []byte // rest of the current TLS record
	begun         int    // number of WebSocket frames that begin in the current TLS record
	count, shared int
}

// begin records that a WebSocket frame begins at the next byte.
func (r *recordReader) begin() error {
	if err := r.load(); err != nil {
		return err
	}
	if r.begun++; r.begun == 2 {
		r.shared++
	}
	return nil
}

func (r *recordReader) load() error {
	if len(r.buf) > 0 {
		return nil
	}
	record := make([]byte, 1<<15)
	n, err := r.r.Read(record)
	r.buf, r.begun = record[:n], 0
	r.count++
	return err
}

func (r *recordReader) Read(b []byte) (int, error) {
	if err := r.load(); err != nil {
		return 0, err
	}
	n := copy(b, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// TestStartSignal checks that an exec over WebSocket begins with an empty message on its first
// output channel.
func TestStartSignal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error { return nil }}).start(t))
	for query, want := range map[string]string{
		"stdin=true&stdout=true&stderr=true": "\x01",
		"stdout=1":                           "\x01",
		"stderr=true":                        "\x02",
		"stderr=true&stdout=false":           "\x02",
	} {
		c := w.rawWebSocket(t, "/api/v1/namespaces/default/pods/web/attach?"+query, "v5.channel.k8s.io")
		if f, err := readFrame(c); err != nil || f.payload != want {
			t.Errorf("%s begins with %+v, %v", query, f, err)
		}
		readFrames(c, true)
	}
}

// TestWebSocketStdin checks all forms in which a WebSocket client may send stdin.
func TestWebSocketStdin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		b := make([]byte, len("hello, world"))
		_, err := io.ReadFull(p.in, b)
		p.out.Write(b)
		return err
	}}).start(t))
	for name, say := range map[string]string{
		"one message":         message("\x00hello, world"),
		"text (Python's str)": masked(true, opText, "\x00hello, world"),
		"two messages":        message("\x00hello, ") + message("\x00world"),
		"fragments": masked(false, opBinary, "\x00hel") + masked(true, opPing, "x") + masked(false, opContinuation, "") +
			masked(false, opContinuation, "lo, ") + masked(true, opContinuation, "world"),
		"channel byte alone": masked(false, opBinary, "\x00") + masked(true, opContinuation, "hello, world"),
		"empty messages":     message("") + message("\x00") + message("\x00hello, world"),
		"other channels":     message("\x01x") + message("\x07x") + message("\x00hello, world"),
	} {
		for _, version := range webSocketVersions {
			t.Run(name+" "+version, func(t *testing.T) {
				c := w.rawWebSocket(t, execPath, version)
				io.WriteString(c.Conn, say)
				frames, err := readFrames(c, true)
				if err != io.EOF {
					t.Errorf("ended with %v", err)
				}
				var got string
				pongs := 0
				for _, f := range frames {
					switch {
					case f.op == opPong && f.payload == "x":
						pongs++
					case f.op == opBinary && f.payload[0] == 1:
						got += f.payload[1:]
					}
				}
				if got != "hello, world" || pongs != strings.Count(name, "fragments") {
					t.Errorf("the process read %q, and %d pongs came", got, pongs)
				}
			})
		}
	}
}

// TestMessageSize checks a WebSocket message of 15 MiB, which is what the Java client sends.
func TestMessageSize(t *testing.T) {
	t.Parallel()
	const size = 15 << 20
	big := noise(size)
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		hash := sha256.New()
		_, err := io.CopyN(hash, p.in, size)
		fmt.Fprintf(p.out, "%x", hash.Sum(nil))
		return err
	}}).start(t))
	for _, version := range webSocketVersions {
		t.Run(version, func(t *testing.T) {
			c := w.webSocket(t, execPath, version)
			if err := c.WriteMessage(websocket.BinaryMessage, []byte("\x00"+big)); err != nil {
				t.Fatal(err)
			}
			tr := transcribe(t, c)
			if want := fmt.Sprintf("%x", sha256.Sum256([]byte(big))); tr.channel[1] != want {
				t.Errorf("the process read %q", tr.channel[1])
			}
			if s := tr.status(t); s.Status != metav1.StatusSuccess || tr.code != websocket.CloseNormalClosure {
				t.Errorf("ended with %v, Close %d", s, tr.code)
			}
		})
	}
}

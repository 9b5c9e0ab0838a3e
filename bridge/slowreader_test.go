package bridge_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
	clientexec "k8s.io/client-go/util/exec"

	"edge/bridge"
)

const (
	slowLimit = 1 << 20  // bytes of additional memory for each stalled session
	slowOut   = 16 << 20 // bytes that a process writes
	slowIn    = 24 << 20 // bytes of stdin that a process is sent
	// slowPiece is the size of a frame of stdin, in bytes. The container runtime, which runs in the
	// same process as edge here, queues 50 frames for each session.
	slowPiece = 4 << 10
	// slowPatience is the timeout of a test's whole transfer.
	slowPatience = 3 * patience

	slowPath = "/api/v1/namespaces/default/pods/web/exec?command=slow&stdin=true&stdout=true&stderr=true"
)

// slowClient is the client of an exec. It reads from its connection only when the test calls read.
type slowClient struct {
	*rawConn
	name   string
	spdy   *moby.Framer // nil: the client uses WebSocket
	base64 bool
}

// slowVersions are the WebSocket subprotocols of the slow clients.
var slowVersions = []string{"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io"}

// slowClients begins one exec in each dialect (protocol and subprotocol) and returns the clients.
func slowClients(t *testing.T, w *world) []slowClient {
	t.Helper()
	clients := []slowClient{{name: "spdy v4", rawConn: w.rawSPDY(t, slowPath, "v4.channel.k8s.io")}}
	f := clients[0].framer()
	open(t, f, "error", "stdin", "stdout", "stderr")
	clients[0].spdy = f
	for _, version := range slowVersions {
		clients = append(clients, slowClient{name: version, rawConn: w.rawWebSocket(t, slowPath, version), base64: strings.Contains(version, "base64")})
	}
	for _, c := range clients {
		c.SetDeadline(time.Now().Add(slowPatience))
	}
	return clients
}

// read reads what the client receives until its session ends, and returns the final Status.
func (c slowClient) read(stdout io.Writer) (status string, err error) {
	for {
		if c.spdy != nil {
			frame, err := c.spdy.ReadFrame()
			if err != nil {
				return status, err
			}
			switch f, _ := frame.(*moby.DataFrame); {
			case f == nil:
			case f.StreamId == 1:
				status += string(f.Data)
			case f.StreamId == 5:
				stdout.Write(f.Data)
			}
			continue
		}
		f, err := readFrame(c)
		if err != nil {
			return status, err
		}
		if f.op != opBinary && f.op != opText {
			continue
		}
		channel, said := f.payload[0], f.payload[1:]
		if c.base64 {
			b, err := base64.StdEncoding.DecodeString(said)
			if err != nil {
				return status, err
			}
			channel, said = channel-'0', string(b)
		}
		switch channel {
		case 1:
			io.WriteString(stdout, said)
		case 3:
			status += said
		}
	}
}

// piece returns a frame, in the client's protocol, with slowPiece bytes of stdin.
func (c slowClient) piece() string {
	payload := strings.Repeat("stdin...", slowPiece/8)
	if c.spdy != nil {
		return "\x00\x00\x00\x03" + bombNumber(slowPiece) + payload
	}
	if c.base64 {
		return masked(true, opText, "0"+base64.StdEncoding.EncodeToString([]byte(payload)))
	}
	return message("\x00" + payload)
}

// slowHeap returns the size of the live heap, in bytes.
func slowHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // a second collection, because only that empties each sync.Pool
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slowHolds checks how much memory the sessions hold. before is the size of the heap without them.
// Sessions that still transfer data leave garbage, so slowHolds repeats the check until the value
// is low.
func slowHolds(t *testing.T, before uint64, sessions int) {
	t.Helper()
	var took int64
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if took = int64(slowHeap()) - int64(before); took <= int64(sessions)*slowLimit {
			return
		}
	}
	t.Errorf("%d sessions hold %d bytes more", sessions, took)
}

// slowStalled checks that stalled sessions hold little memory and do not disturb other sessions.
func slowStalled(t *testing.T, w *world, before uint64, sessions int) {
	t.Helper()
	slowHolds(t, before, sessions)
	for _, c := range execClients {
		if !c.codes {
			continue
		}
		got := c.do(t, w.edge, command{stdin: strings.NewReader("hello")})
		var exit clientexec.CodeExitError
		if got.stdout != "hello" || !errors.As(got.err, &exit) || exit.Code != 7 {
			t.Errorf("%s: another session ended with %q, %v", c.name, got.stdout, got.err)
		}
	}
}

// slowOther is the process of an exec that the stalled sessions must not disturb.
func slowOther(p *process) error {
	b := make([]byte, 5)
	if _, err := io.ReadFull(p.in, b); err != nil {
		return err
	}
	p.out.Write(b)
	return exitError(7)
}

// slowEnd reads what a client receives to its end, which must be exit code 3.
func slowEnd(t *testing.T, c slowClient, stdout io.Writer) {
	status, err := c.read(stdout)
	want := `"reason":"ExitCode","message":"3"`
	if c.name == "channel.k8s.io" {
		want = "command terminated with non-zero exit code"
	}
	if err != io.EOF || !strings.Contains(status, want) {
		t.Errorf("%s: ended with Status %q, %v", c.name, status, err)
	}
	c.Close()
}

// TestSlowReader is a row of the attack corpus in docs/security.md. A client that does not read
// must make the process wait, without using memory, and must lose nothing when it reads again. The
// same must hold for a process that does not read its stdin.
func TestSlowReader(t *testing.T) {
	for _, streaming := range upstreams {
		t.Run("stdout, "+string(streaming), func(t *testing.T) { testSlowStdout(t, streaming) })
		t.Run("stdin, "+string(streaming), func(t *testing.T) { testSlowStdin(t, streaming) })
	}
}

func testSlowStdout(t *testing.T, streaming bridge.Streaming) {
	start := make(chan struct{})
	begun := make(chan struct{}, 1+len(slowVersions))
	out := new(counter)
	// source returns the output of a process, from its beginning at each call.
	source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{2}), slowOut) }
	api := (&apiServer{run: func(p *process) error {
		if p.args[0] != "slow" {
			return slowOther(p)
		}
		begun <- struct{}{}
		select {
		case <-start:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
		if _, err := io.Copy(io.MultiWriter(p.out, out), source()); err != nil {
			return err
		}
		return exitError(3)
	}}).start(t)
	w := newWorld(t, slowTranslator(api, func(stdout io.Writer) {
		begun <- struct{}{}
		<-start
		io.Copy(io.MultiWriter(stdout, out), source())
	}), speaking(streaming))
	clients := slowClients(t, w)
	for range clients {
		<-begun
	}
	before := slowHeap()
	close(start)
	w.eventually("a stall", out.stalled)
	slowStalled(t, w, before, len(clients))
	if n := out.n.Load(); n >= int64(len(clients))*slowOut {
		t.Errorf("no process waits: %d bytes", n)
	}
	want := sha256.New()
	io.Copy(want, source())
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			got := sha256.New()
			slowEnd(t, c, got)
			if a, b := slowSum(got), slowSum(want); a != b {
				t.Errorf("%s: the output is another", c.name)
			}
		})
	}
	all.Wait()
}

// slowTranslator is an API server that runs the slow process itself for WebSocket v5, and otherwise
// is api. The API server's translator uses client-go, which would queue 50 frames for each session
// in the memory of this process.
func slowTranslator(api http.Handler, run func(stdout io.Writer)) http.Handler {
	played := playedWebSocket("v5.channel.k8s.io", func(c *websocket.Conn) {
		run(channelWriter{c})
		c.WriteMessage(websocket.BinaryMessage, []byte("\x03"+`{"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode",`+
			`"details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`))
		sayClose(c, websocket.CloseNormalClosure)
		io.Copy(io.Discard, c.NetConn())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("command") == "slow" && r.Header.Get("Upgrade") == "websocket" {
			played(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// channelWriter writes to a client's stdout channel as a server of WebSocket v5 does.
type channelWriter struct{ *websocket.Conn }

func (w channelWriter) Write(b []byte) (int, error) {
	return len(b), w.WriteMessage(websocket.BinaryMessage, append([]byte{1}, b...))
}

func slowSum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

func testSlowStdin(t *testing.T, streaming bridge.Streaming) {
	start := make(chan struct{})
	begun := make(chan struct{}, 1+len(slowVersions))
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		if p.args[0] != "slow" {
			return slowOther(p)
		}
		begun <- struct{}{}
		select {
		case <-start:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
		got := sha256.New()
		n, err := io.CopyN(got, p.in, slowIn)
		fmt.Fprintf(p.out, "%d %s %v", n, slowSum(got), err)
		return exitError(3)
	}}).start(t), speaking(streaming))
	clients := slowClients(t, w)
	for range clients {
		<-begun
	}
	before := slowHeap()
	in := new(counter)
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			piece := c.piece()
			for range slowIn / slowPiece {
				if _, err := io.WriteString(io.MultiWriter(c.Conn, in), piece); err != nil {
					t.Errorf("%s: %v", c.name, err)
					return
				}
			}
		})
	}
	w.eventually("a stall", in.stalled)
	slowStalled(t, w, before, len(clients))
	if n := in.n.Load(); n >= int64(len(clients))*slowIn {
		t.Errorf("no client waits: %d bytes", n)
	}
	close(start)
	sum := sha256.New()
	io.WriteString(sum, strings.Repeat("stdin...", slowIn/8))
	want := fmt.Sprintf("%d %s <nil>", slowIn, slowSum(sum))
	for _, c := range clients {
		all.Go(func() {
			var stdout strings.Builder
			slowEnd(t, c, &stdout)
			if stdout.String() != want {
				t.Errorf("%s: the process read %s, not %s", c.name, &stdout, want)
			}
		})
	}
	all.Wait()
}

// TestSlowGoodbye checks a client that pauses after the command has ended, for longer than edge's
// linger time, and sends pings meanwhile. It must lose nothing: edge must not close before the
// client has read everything.
func TestSlowGoodbye(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, streaming := range upstreams {
		w := newWorld(t, (&apiServer{run: func(p *process) error {
			if _, err := io.WriteString(p.out, strings.Repeat("x", size)); err != nil {
				return err
			}
			return exitError(3)
		}}).start(t), speaking(streaming))
		w.handler.SetTimes(time.Minute, 50*time.Millisecond, time.Minute)
		for _, c := range slowClients(t, w) {
			time.Sleep(300 * time.Millisecond)
			for range 20 {
				if c.spdy != nil {
					c.spdy.WriteFrame(&moby.PingFrame{Id: 1})
				} else {
					io.WriteString(c.Conn, masked(true, opPing, ""))
				}
				time.Sleep(20 * time.Millisecond)
			}
			out := new(counter)
			slowEnd(t, c, out)
			if n := out.n.Load(); n != size {
				t.Errorf("%s to %s: %d bytes came", c.name, streaming, n)
			}
		}
	}
}

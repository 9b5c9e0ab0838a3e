package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// ending is a way in which a session can end, caused by its process or its client.
type ending struct {
	name   string
	client func(ctx context.Context, t *testing.T, w *world, c execClient)
}

// endings are the ways for a session to end that TestNothingIsLeft runs. The API server runs
// endingProcess for them.
var endings = []ending{
	{"success", func(ctx context.Context, _ *testing.T, w *world, c execClient) {
		c.doUntil(ctx, w.edge, command{verb: "exec", stdin: strings.NewReader("success")})
	}},
	{"failure", func(ctx context.Context, _ *testing.T, w *world, c execClient) {
		c.doUntil(ctx, w.edge, command{stdin: strings.NewReader("failure")})
	}},
	{"client gone", func(ctx context.Context, t *testing.T, w *world, c execClient) {
		if !c.websocket { // use a raw client: client-go's waits 30 s if it is canceled while it opens streams
			conn := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
			open(t, conn.framer(), "error", "stdin", "stdout", "stderr")
			conn.Close()
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		r, pw := io.Pipe()
		defer pw.Close()
		c.doUntil(ctx, w.edge, command{stdin: r})
	}},
	{"client cut", func(_ context.Context, t *testing.T, w *world, _ execClient) {
		conn := w.rawWebSocket(t, execPath, "v5.channel.k8s.io")
		tcpOf(conn.Conn).SetLinger(0)
		tcpOf(conn.Conn).Close()
	}},
	{"breach", func(_ context.Context, t *testing.T, w *world, _ execClient) {
		conn := w.rawWebSocket(t, execPath, "v4.channel.k8s.io")
		io.WriteString(conn.Conn, "\xff\xff\xff\xff")
		readFrames(conn, false)
		conn.Close()
	}},
	{"refused", func(ctx context.Context, _ *testing.T, w *world, c execClient) {
		c.doUntil(ctx, w.edge, command{verb: "nonsense"})
	}},
	{"ports", func(ctx context.Context, _ *testing.T, w *world, _ execClient) {
		c, err := dialChannels(ctx, w.edge, "portforward", "ports=80&ports=81", "v4.channel.k8s.io")
		if err != nil {
			return
		}
		c.send(0, []byte("hello"))
		for err == nil {
			_, _, err = c.receive()
		}
		c.Close()
	}},
	{"tunnel", func(_ context.Context, t *testing.T, w *world, _ execClient) {
		for _, dialer := range forwardDialers(t, w.edge) {
			conn, _, err := dialer.Dial("portforward.k8s.io")
			if err != nil {
				t.Error(err)
				continue
			}
			if f, err := forward(conn, 80, 0); err == nil {
				io.WriteString(f.data, "hello")
			}
			conn.Close()
		}
	}},
}

// endingProcess is a process that exits with success or failure, as its stdin requests.
func endingProcess(p *process) error {
	b := make([]byte, len("success"))
	if _, err := io.ReadFull(p.in, b); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s it is", b)
	if string(b) == "failure" {
		return exitError(7)
	}
	return nil
}

// TestNothingIsLeft checks that edge keeps no goroutine and no file descriptor after hundreds of
// sessions that end in various ways, on every pair of dialects. The test starts no process.
func TestNothingIsLeft(t *testing.T) {
	const rounds, atOnce = 2, 16
	api := (&apiServer{run: endingProcess, forward: channelPorts}).start(t)
	var worlds []*world
	for _, streaming := range upstreams {
		worlds = append(worlds, newWorld(t, api, speaking(streaming)))
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range rounds * len(endings) * len(execClients) * len(worlds) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			w, i := worlds[i%len(worlds)], i/len(worlds)
			client, i := execClients[i%len(execClients)], i/len(execClients)
			endings[i%len(endings)].client(ctx, t, w, client)
		})
	}
	all.Wait()
	for _, w := range worlds {
		w.eventually("the end of all sessions", func() bool { return w.handler.Running() == 0 })
		w.handler.Close()
		w.eventually("no socket of edge's", func() bool { return edgeSockets(t, w) == 0 })
		w.eventually("no goroutine of a session", func() bool { return sessionGoroutines() == "" })
	}
}

// edgeSockets counts edge's own ends of the connections to clients and to the API server. The
// clients and the API server run in the same process, and some of them do not close their ends: a
// container runtime whose client has disconnected may wait forever.
func edgeSockets(t *testing.T, w *world) (open int) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := func(s *httptest.Server) string {
		return fmt.Sprintf(":%04X", s.Listener.Addr().(*net.TCPAddr).Port)
	}
	const listening = "0A"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // columns as in proc(5): 1 local address, 2 remote address, 3 state, 9 inode; inode 0: no process has the socket open
		if len(f) < 10 || f[3] == listening || f[9] == "0" {
			continue
		}
		if strings.HasSuffix(f[1], port(w.edge)) || strings.HasSuffix(f[2], port(w.api)) {
			open++
		}
	}
	return open
}

// ours matches a stack frame of edge's code for sessions, as runtime.Stack prints it.
var ours = regexp.MustCompile(`edge/bridge/internal/session\.|edge/bridge/internal/leg\.\(\*Leg\)|edge/bridge\.\(\*Handler\)`)

// TestSessionGoroutines checks that sessionGoroutines and resting find the goroutines of a session
// that carries bytes. If they did not, the tests that wait until no goroutine is left would pass
// without a check.
func TestSessionGoroutines(t *testing.T) {
	w, c := echoing(t)
	w.eventually("a goroutine of a session", func() bool { keystroke(t, c); return sessionGoroutines() != "" })
	w.eventually("a session at work", func() bool { keystroke(t, c); return !resting() })
}

// sessionGoroutines returns the stacks of all goroutines that run edge's code for sessions.
func sessionGoroutines() string {
	buf := make([]byte, 4<<20)
	var left []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if ours.MatchString(stack) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

package bridge_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"edge/bridge"
)

const (
	idleSessions = 200
	// maxIdleKiB is the maximum memory, in KiB, that edge may keep for an idle session. The
	// measured value is 19, also with the race detector: 14 for two TLS connections, the rest for
	// the session.
	maxIdleKiB = 24
	// fewGoroutines is how many goroutines the process may have beside those of sessions, such as
	// those of spare connections to the API server.
	fewGoroutines = 20
)

// TestIdleSession checks how much heap and stack an idle session keeps, and that it has no
// goroutine. Each session has carried one byte in each direction before. The client and the API
// server run in the same process, so the test subtracts what the two keep when they are connected
// without edge. The difference is the memory of edge, with its ends of the session's two
// connections.
func TestIdleSession(t *testing.T) {
	api := new(silent)
	w := newWorld(t, api, speaking(bridge.StreamingSPDY), func(c *bridge.Config) { c.Observe = new(witness) })
	direct := func(t *testing.T) *rawConn {
		return dialIdle(t, w.api, "\x00\x00\x00\x03\x00\x00\x00\x01y", "x", askSPDY(execPath, "v4.channel.k8s.io"))
	}
	through := func(t *testing.T) *rawConn {
		return dialIdle(t, w.edge, "\x82\x82\x00\x00\x00\x00\x00y", "\x82\x02\x01x",
			askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io"))
	}
	var without, with kept
	t.Run("pools are filled", func(t *testing.T) { holding(t, through, w, api) })
	t.Run("without edge", func(t *testing.T) { without = holding(t, direct, w, api) })
	t.Run("with edge", func(t *testing.T) { with = holding(t, through, w, api) })
	if n := with.goroutines - without.goroutines; n > fewGoroutines {
		t.Errorf("%d idle sessions have %d goroutines", idleSessions, n)
	}
	heap, stacks := (with.heap-without.heap)/idleSessions, (with.stacks-without.stacks)/idleSessions
	t.Logf("an idle session keeps %d bytes of heap, %d of stacks", heap, stacks)
	if kib := (heap + stacks) >> 10; kib > maxIdleKiB {
		t.Errorf("an idle session keeps %d KiB, more than %d", kib, maxIdleKiB)
	}
}

type kept struct{ heap, stacks, goroutines int }

// holding returns the memory and the goroutines of the process while idleSessions clients are
// connected.
func holding(t *testing.T, dial func(*testing.T) *rawConn, w *world, api *silent) (k kept) {
	clients := make([]*rawConn, idleSessions)
	for i := range clients {
		clients[i] = dial(t)
	}
	w.eventually("no goroutine of a handshake", func() bool {
		k = measure()
		return bytes.Count(stacks(), []byte("net/http.(*conn).serve")) <= fewGoroutines
	})
	for _, c := range clients {
		c.Close()
	}
	api.close()
	w.eventually("the sessions' end", func() bool { return w.handler.Running() == 0 })
	return k
}

// measure returns the process's live heap, stacks and number of goroutines.
func measure() kept {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pooled memory and objects with finalizers are freed after two collections
	runtime.ReadMemStats(&m)
	return kept{int(m.HeapAlloc), int(m.StackInuse), runtime.NumGoroutine()}
}

func stacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}

// dialIdle opens a session, sends one byte of stdin, and waits for one byte of stdout. The
// parameters stdin and stdout are these bytes as they appear on the wire.
func dialIdle(t *testing.T, s *httptest.Server, stdin, stdout string, request []string) *rawConn {
	t.Helper()
	c := dialRaw(t, s)
	c.ask(stdin, request...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the answer is %s", resp.Status)
	}
	awaitBytes(t, c, stdout)
	return c
}

// awaitBytes reads until the awaited bytes have arrived.
func awaitBytes(t testing.TB, r io.Reader, awaited string) {
	var got, one []byte = nil, make([]byte, 1)
	for !bytes.HasSuffix(got, []byte(awaited)) {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Errorf("%q came, then %v", got, err)
			return
		}
		got = append(got, one...)
	}
}

// silent is an API server for execs whose process sends one byte of stdout and nothing more. It
// needs no goroutine per session, and does not read, so it uses no memory.
type silent struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *silent) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	answer := []byte(accepted("v4.channel.k8s.io"))
	for id := byte(1); id <= 7; id += 2 { // the client ignores the empty header block of this SYN_REPLY
		answer = append(answer, 0x80, 3, 0, 2, 0, 0, 0, 4, 0, 0, 0, id)
	}
	conn.Write(append(answer, 0, 0, 0, 5, 0, 0, 0, 1, 'x')) // the process's byte of stdout
}

func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// TestTypingThenSilence checks that an exec on which a user typed has no goroutine again once it is
// idle.
func TestTypingThenSilence(t *testing.T) {
	w, c := echoing(t)
	const bursts, keystrokes = 2, 50
	for range bursts {
		for range keystrokes {
			keystroke(t, c)
		}
		w.eventually("a rest", resting)
	}
}

// TestCloseBesideSilence checks that Handler.Close ends no streams, not even idle ones.
func TestCloseBesideSilence(t *testing.T) {
	w, c := echoing(t)
	keystroke(t, c)
	w.eventually("a rest", resting)
	w.handler.Close()
	const keystrokes = 2
	for range keystrokes {
		keystroke(t, c)
	}
}

// resting reports whether no session has a goroutine that reads from a connection or relays.
func resting() bool {
	waiting := sessionGoroutines()
	return !strings.Contains(waiting, "leg.(*Leg).Read(") && !strings.Contains(waiting, "session.(*direction).run(")
}

// echoing starts an exec of cat, which echoes stdin, and returns its client.
func echoing(t *testing.T) (*world, *channelClient) {
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		_, err := io.Copy(p.out, p.in)
		return err
	}}).start(t))
	c := must(dialChannels(t.Context(), w.edge, "exec", "command=cat&stdin=true&stdout=true", "v4.channel.k8s.io"))
	t.Cleanup(func() { c.Close() })
	return w, c
}

// keystroke sends one byte of stdin and waits for its echo.
func keystroke(t *testing.T, c *channelClient) {
	t.Helper()
	if err := c.send(0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for {
		channel, b, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		if channel == 1 && len(b) > 0 {
			return
		}
	}
}

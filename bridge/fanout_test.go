package bridge_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	moby "github.com/moby/spdystream/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge"
)

// portDeaf and portAlive are the ports that fanoutPorts serves and that the function named ports
// does not serve.
const (
	portDeaf  = 84 // a port whose pod reads nothing until the end of the test
	portAlive = 85 // a port whose pod echoes until the connection ends
)

// fanoutPorts serves portAlive, which echoes, portDeaf, which reads nothing until hold is closed,
// and all ports that the function named ports serves.
func fanoutPorts(hold <-chan struct{}) func(int32, io.ReadWriter) error {
	return func(port int32, c io.ReadWriter) error {
		switch port {
		case portDeaf:
			<-hold
			io.Copy(io.Discard, c) // read the rest: a runtime with unread data never ends the connection
			return nil
		case portAlive:
			io.Copy(c, c)
			return nil
		}
		return ports(port, c)
	}
}

// fanoutWorld is edge as edge connect configures it, where each connection of a port-forward has
// its own upstream session. Its API server counts these upstream sessions.
type fanoutWorld struct {
	*world
	asked  requestCounter
	refuse atomic.Bool
	last   atomic.Pointer[hijackedConn] // connection of the newest upstream session
}

// newFanoutWorld starts edge as edge connect configures it, and an API server. If old is true, the
// API server refuses the tunnel (SPDY inside WebSocket), so edge uses SPDY.
func newFanoutWorld(t *testing.T, old bool) *fanoutWorld {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	api := (&apiServer{patience: patience, old: old, forward: fanoutPorts(hold)}).start(t)
	w := &fanoutWorld{}
	handler := w.asked.streams(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.refuse.Load() {
			writeJSON(rw, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no more","reason":"Forbidden","code":403}`)
			return
		}
		api.ServeHTTP(&lastHijack{rw, &w.last}, r)
	}))
	w.world = newWorld(t, versioned{handler}, speaking(bridge.StreamingWebSocketFirst))
	return w
}

// lastHijack is a ResponseWriter that stores the connection that the API server's handler has taken
// over (hijacked) last.
type lastHijack struct {
	http.ResponseWriter
	last *atomic.Pointer[hijackedConn]
}

type hijackedConn struct{ io.Closer }

func (s *lastHijack) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	conn, rw, err = http.NewResponseController(s.ResponseWriter).Hijack()
	if err == nil {
		s.last.Store(&hijackedConn{conn})
	}
	return conn, rw, err
}

// dialForward begins a port-forward session, which ends with the test.
func dialForward(t testing.TB, dialer httpstream.Dialer) httpstream.Connection {
	t.Helper()
	conn, _, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// eachFanout runs a test of port-forwards in edge connect for both client dialects and both
// upstream protocols.
func eachFanout(t *testing.T, test func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer)) {
	for name, old := range map[string]bool{"tunnel": false, "SPDY": true} {
		for _, dialect := range []string{"tunnel", "spdy"} {
			t.Run(dialect+" to "+name, func(t *testing.T) {
				w := newFanoutWorld(t, old)
				test(t, w, forwardDialers(t, w.edge)[dialect])
			})
		}
	}
}

// alive opens a connection to the port that echoes, and checks that it echoes once.
func alive(t *testing.T, conn httpstream.Connection, id int) forwarded {
	t.Helper()
	f, err := forward(conn, portAlive, id)
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, f)
	return f
}

func echoes(t *testing.T, f forwarded) {
	t.Helper()
	said := noise(1000)
	io.WriteString(f.data, said)
	got := make([]byte, len(said))
	if _, err := io.ReadFull(f.data, got); err != nil || string(got) != said {
		t.Errorf("the echo is wrong: %v", err)
	}
}

// finish half-closes a connection of a port-forward. It checks that the connection ends without an
// error and without more data.
func finish(t *testing.T, f forwarded) {
	t.Helper()
	f.data.Close()
	if rest, err := io.ReadAll(f.data); len(rest) > 0 || err != nil {
		t.Errorf("%d bytes after the end, %v", len(rest), err)
	}
	if said := <-f.fails; said != "" {
		t.Errorf("the error stream says %q", said)
	}
}

// TestFanout opens 100 connections on one port-forward: some are refused, some reset, and one sends
// data that its pod never reads. All others must end with every byte delivered. edge must reset the
// blocked connection after the hold-back time, with an empty error stream, and the session must
// continue. The memory held for the blocked connection must stay bounded.
func TestFanout(t *testing.T) {
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		w.handler.SetForwardTimes(5*time.Second, time.Minute) // on a busy machine, a pod that reads may pause for 2 s
		conn := dialForward(t, dialer)
		before := slowHeap()
		deaf, err := forward(conn, portDeaf, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for piece := noise(32 << 10); ; {
				if _, err := io.WriteString(deaf.data, piece); err != nil {
					return
				}
			}
		}()
		var all sync.WaitGroup
		// There are more connections than maxForwardSessions, so some share an upstream session.
		slots := make(chan struct{}, 20)
		for i := 1; i < 100; i++ {
			slots <- struct{}{}
			all.Go(func() {
				[]func(*testing.T, httpstream.Connection, int){checkEcho, checkRefused, checkReset, checkInput}[i%4](t, conn, i)
				<-slots
			})
		}
		all.Wait()
		if got, _ := io.ReadAll(deaf.data); len(got) > 0 {
			t.Errorf("the pod that does not read sent %q", got)
		}
		if said := <-deaf.fails; said != "" {
			t.Errorf("the error stream says %q", said)
		}
		deaf.data.Reset()
		checkEcho(t, conn, 100)
		if !strings.Contains(w.log.String(), "held up the others") {
			t.Error("the log does not say why a connection was reset")
		}
		slowHolds(t, before, 32)
		conn.Close()
		if line := w.ended(1); !containsAll(line, "upstreamSessions=", `cause="client`) {
			t.Error(line)
		}
	})
}

// TestFanoutFresh checks that edge, in a port-forward with one upstream session per connection,
// does not reuse an upstream session whose connection has ended, in whatever way it ended.
func TestFanoutFresh(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		conn := dialForward(t, dialer)
		w.asked.take() // do not count the requests so far: one, or two if the API server refused a tunnel before SPDY
		for i := range 5 {
			finish(t, alive(t, conn, i))
		}
		checkRefused(t, conn, 5)
		checkReset(t, conn, 6)
		finish(t, alive(t, conn, 7))
		if n := w.asked.take(); n != 8 {
			t.Errorf("8 connections, one after the other, cost %d upstream sessions", n)
		}
		conn.Close()
		if line := w.ended(1); !strings.Contains(line, "upstreamSessions=9") {
			t.Error(line)
		}
	})
}

// TestFanoutAlone checks that a connection of a port-forward which blocks no other connection may
// stall longer than the hold-back time.
func TestFanoutAlone(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	api := (&apiServer{patience: patience, forward: func(_ int32, c io.ReadWriter) error {
		<-hold
		io.Copy(io.Discard, c)
		io.WriteString(c, "read all")
		return nil
	}}).start(t)
	w := newWorld(t, versioned{api}, speaking(bridge.StreamingWebSocketFirst))
	w.handler.SetForwardTimes(50*time.Millisecond, time.Minute)
	conn := dialForward(t, forwardDialers(t, w.edge)["spdy"])
	f, err := forward(conn, portAlive, 0)
	if err != nil {
		t.Fatal(err)
	}
	sent := new(counter)
	go func() {
		for range 1000 {
			io.MultiWriter(f.data, sent).Write(make([]byte, 32<<10))
		}
		f.data.Close()
	}()
	w.eventually("a stall", sent.stalled)
	close(hold)
	if got, err := io.ReadAll(f.data); string(got) != "read all" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFanoutIdle checks that edge ends upstream sessions that have no connection after the idle
// timeout. It must keep the sentinel, the upstream session that never has a connection.
func TestFanoutIdle(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		w.handler.SetForwardTimes(time.Minute, 20*time.Millisecond)
		conn := dialForward(t, dialer)
		for i := range 3 {
			a, b := alive(t, conn, 2*i), alive(t, conn, 2*i+1)
			w.asked.take()
			finish(t, a)
			finish(t, b)
			w.eventually("the end of the idle sessions", func() bool { return edgeSockets(t, w.world) <= 2+w.handler.Spares() })
		}
		finish(t, alive(t, conn, 9))
		if n := w.asked.take(); n != 1 {
			t.Errorf("%d upstream sessions", n)
		}
	})
}

// TestFanoutMany opens more connections at once than a port-forward may have upstream sessions; all
// must work.
func TestFanoutMany(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		const most, connections = 32, 80
		conn := dialForward(t, dialer)
		w.asked.take()
		all := make([]forwarded, connections)
		for i := range all {
			all[i] = alive(t, conn, i)
		}
		for _, f := range all {
			echoes(t, f)
		}
		if n := w.asked.take(); n != most-1 {
			t.Errorf("%d upstream sessions beside the sentinel", n)
		}
		for _, f := range all {
			finish(t, f)
		}
		conn.Close()
		if line := w.ended(1); !strings.Contains(line, "upstreamSessions=32") {
			t.Error(line)
		}
	})
}

// TestFanoutRefused checks a port-forward in which the API server refuses the upstream session of
// one connection. edge must reset that connection with an empty error stream and log the reason,
// and the client's session must continue.
func TestFanoutRefused(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		conn := dialForward(t, dialer)
		first := alive(t, conn, 0)
		w.refuse.Store(true)
		second, err := forward(conn, portAlive, 1)
		if err == nil {
			if got, _ := io.ReadAll(second.data); len(got) > 0 {
				t.Errorf("data from nowhere: %q", got)
			}
		}
		if said := <-second.fails; said != "" {
			t.Errorf("the error stream says %q", said)
		}
		w.eventually("the reason in the log", func() bool { return strings.Contains(w.log.String(), `error="no more"`) })
		echoes(t, first)
		w.refuse.Store(false)
		finish(t, alive(t, conn, 2))
		finish(t, first)
	})
}

// TestFanoutSentinel checks that a client's port-forward ends when its sentinel ends (the upstream
// session that carries no connection), although another connection still works.
func TestFanoutSentinel(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		conn := dialForward(t, dialer)
		sentinel := w.last.Load()
		f := alive(t, conn, 0)
		sentinel.Close()
		select {
		case <-conn.CloseChan():
		case <-time.After(patience):
			t.Fatal("the client did not notice the end")
		}
		io.ReadAll(f.data)
		conn.Close()
		if line := w.ended(1); !strings.Contains(line, "upstream") {
			t.Error(line)
		}
	})
}

// TestFanoutDrain checks that a stalled connection of a port-forward does not delay Drain.
func TestFanoutDrain(t *testing.T) {
	t.Parallel()
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		conn := dialForward(t, dialer)
		alive(t, conn, 0)
		deaf, err := forward(conn, portDeaf, 1)
		if err != nil {
			t.Fatal(err)
		}
		sent := new(counter)
		go func() {
			for piece := make([]byte, 16<<10); ; {
				if _, err := io.MultiWriter(deaf.data, sent).Write(piece); err != nil {
					return
				}
			}
		}()
		w.eventually("a stall", sent.stalled)
		drained := make(chan struct{})
		go func() {
			w.handler.Drain(t.Context())
			close(drained)
		}()
		select {
		case <-conn.CloseChan():
		case <-time.After(patience):
			t.Fatal("the client did not notice the end")
		}
		conn.Close()
		<-drained
		if line := w.ended(1); !strings.Contains(line, "shutting down") {
			t.Error(line)
		}
	})
}

// TestFanoutLeavesNothing checks that port-forwards with various outcomes leave no goroutine and no
// file descriptor of edge behind.
func TestFanoutLeavesNothing(t *testing.T) {
	eachFanout(t, func(t *testing.T, w *fanoutWorld, dialer httpstream.Dialer) {
		const sessions, atOnce = 28, 7
		endings := []func(conn httpstream.Connection, f forwarded){
			func(_ httpstream.Connection, f forwarded) { finish(t, f) },
			func(_ httpstream.Connection, f forwarded) { f.data.Reset() },
			func(conn httpstream.Connection, _ forwarded) { checkRefused(t, conn, 1) },
			func(conn httpstream.Connection, _ forwarded) { // the client disconnects with open connections
				for i := range 10 {
					forward(conn, portAlive, i+1)
				}
			},
			func(httpstream.Connection, forwarded) { // the client disconnects while it opens streams
				c := w.rawSPDY(t, forwardPath, "portforward.k8s.io")
				f := c.framer()
				for id, kind := range []string{"error", "data"} {
					f.WriteFrame(&moby.SynStreamFrame{StreamId: moby.StreamId(2*id + 1), Headers: http.Header{"Streamtype": {kind}, "Port": {"80"}, "Requestid": {"0"}}})
				}
				c.Close()
			},
			func(_ httpstream.Connection, f forwarded) { f.data.Close() },
			func(conn httpstream.Connection, f forwarded) { // the client disconnects while data is in transit
				go io.WriteString(f.data, strings.Repeat("x", 1<<20))
			},
		}
		var all sync.WaitGroup
		var dialing sync.Mutex // client-go's dialer is not safe for concurrent use
		slots := make(chan struct{}, atOnce)
		for i := range sessions {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				dialing.Lock()
				conn, _, err := dialer.Dial("portforward.k8s.io")
				dialing.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if f, err := forward(conn, portAlive, 0); err == nil {
					endings[i%len(endings)](conn, f)
				}
			})
		}
		all.Wait()
		w.eventually("the end of all sessions", func() bool { return w.handler.Running() == 0 })
		w.handler.Close()
		w.eventually("no socket of edge's", func() bool { return edgeSockets(t, w.world) == 0 })
		w.eventually("no goroutine of a session", func() bool { return sessionGoroutines() == "" })
	})
}

// TestFanoutPairs checks how edge pairs the error stream and the data stream of a connection. The
// two may arrive in any order, and without a requestID, as old clients send them. If the second
// stream does not arrive in time, edge must reset the first.
func TestFanoutPairs(t *testing.T) {
	t.Parallel()
	w := newFanoutWorld(t, false)
	w.handler.SetTimes(time.Minute, patience, patience)
	c := w.rawSPDY(t, forwardPath, "portforward.k8s.io")
	f := c.framer()
	syn := func(id moby.StreamId, kind, request string) {
		h := http.Header{"Streamtype": {kind}, "Port": {"80"}}
		if request != "" {
			h.Set("Requestid", request)
		}
		f.WriteFrame(&moby.SynStreamFrame{StreamId: id, Headers: h})
	}
	say := func(id moby.StreamId, what string) {
		f.WriteFrame(&moby.DataFrame{StreamId: id, Data: []byte(what), Flags: moby.DataFlagFin})
	}
	syn(1, "data", "a") // the data stream opens before its error stream, and has data immediately
	say(1, "one")
	syn(3, "error", "b")
	syn(5, "error", "a")
	syn(7, "data", "b")
	say(7, "three")
	syn(9, "error", "") // without a requestID, as old clients send it
	syn(11, "data", "")
	say(11, "seven22")
	check := func(end string, stories map[moby.StreamId]string) {
		said, over := map[moby.StreamId]string{}, map[moby.StreamId]string{}
		for len(over) < len(stories) {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err, said, over)
			}
			switch frame := frame.(type) {
			case *moby.DataFrame:
				said[frame.StreamId] += string(frame.Data)
				if frame.Flags&moby.DataFlagFin != 0 {
					over[frame.StreamId] = "FIN"
				}
			case *moby.RstStreamFrame:
				over[frame.StreamId] = "RST"
			}
		}
		for id, want := range stories {
			if said[id] != want || over[id] != end {
				t.Errorf("stream %d said %q and ended by %q, want %q and %s", id, said[id], over[id], want, end)
			}
		}
	}
	check("FIN", map[moby.StreamId]string{1: "one3 bytes", 7: "three5 bytes", 11: "seven227 bytes", 3: "", 5: "", 9: ""})
	c.Close()
	w.ended(1)

	// In this session the second stream of a connection never arrives.
	w.handler.SetTimes(time.Minute, patience, 50*time.Millisecond)
	c = w.rawSPDY(t, forwardPath, "portforward.k8s.io")
	f = c.framer()
	syn(1, "data", "alone")
	syn(3, "data", "alone") // a second data stream with this request id, where an error stream is expected
	check("RST", map[moby.StreamId]string{1: "", 3: ""})
	c.Close()
	w.ended(2)
}

package audit

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"edge/bridge"
	"edge/internal/testkit"
)

// runner is an API server that accepts any WebSocket as an exec: it sends "hello" on stdout,
// receives from the channel wait, sends the Status Success and closes the connection.
func runner(wait <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		conn.WriteMessage(websocket.BinaryMessage, []byte("\x01hello"))
		<-wait
		conn.WriteMessage(websocket.BinaryMessage, []byte("\x03"+`{"metadata":{},"status":"Success"}`))
		conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		conn.ReadMessage()
	})
}

// printed is a log of a test that can be read while it is being written.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// TestStreamEvents checks that a stream has events when the request is received, at its 101 and at
// its end, and that these are equal to those of an API server's own filters. The access log has one
// line, written at the end.
func TestStreamEvents(t *testing.T) {
	const target = "/api/v1/namespaces/a/pods/p/exec?command=sleep&command=1&stdout=true"
	var theirs, ours memory
	var log printed
	wait := make(chan struct{})
	rules := rulesOf(t, policies["everything"])
	api := testkit.NewTLSServer(kubeChain(runner(wait), &theirs, rules))
	t.Cleanup(api.Close)
	edge := testkit.NewTLSServer(newEdge(t, newHTTP1(t, runner(wait)),
		bridge.Observers(NewAccessLog(slog.New(slog.NewTextHandler(&log, nil))), eventsTo(&ours, rules)),
		func(c *bridge.Config) { c.Streaming = bridge.StreamingWebSocket }))
	t.Cleanup(edge.Close)

	var conns []*websocket.Conn
	for _, server := range []*httptest.Server{api, edge} {
		dialer := websocket.Dialer{Subprotocols: []string{"v5.channel.k8s.io"}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(server.URL, "https")+target, http.Header{
			"Authorization": {"Bearer alice"}, "User-Agent": {"a client"}, "Audit-Id": {"chosen-1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, first, err := conn.ReadMessage(); err != nil {
			t.Fatal(first, err)
		}
		conns = append(conns, conn)
	}
	compare := func(most int) {
		t.Helper()
		testkit.WaitFor(t, "the events", func() bool { return theirs.count() >= most && ours.count() >= most })
		if got, want := strings.Join(ours.take(t), "\n"), strings.Join(theirs.take(t), "\n"); got != want {
			t.Errorf("edge: %s\nkube: %s", got, want)
		}
	}
	compare(2) // expects two events: RequestReceived, ResponseStarted
	if log.String() != "" {
		t.Error("a line before the end: ", log.String())
	}
	close(wait)
	for _, conn := range conns {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				break
			}
		}
		conn.Close()
	}
	compare(1) // expects one event: ResponseComplete
	for _, part := range []string{"msg=AuSuccess", "status=101", "user=alice", "session=", `cause=completed`, `downstream="websocket v5.channel.k8s.io"`, "stdout=true&..."} {
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, part) {
			t.Errorf("%q is not one line with %s", got, part)
		}
	}
}

func newHTTP1(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := testkit.NewTLSServer(h)
	t.Cleanup(server.Close)
	return server
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events)
}

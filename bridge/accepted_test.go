package bridge_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/bridge"
)

// TestCutBeforeAccepted checks that an attach does not block the container's later output if it
// ends right after the 101: because its client disconnects, because edge ends the stream, or
// because edge drains. The container runtime must keep nothing of such a session that would delay
// the container's process.
func TestCutBeforeAccepted(t *testing.T) {
	t.Parallel()
	for _, dialect := range []struct {
		name string
		ask  func(c *rawConn, path string)
	}{
		{"WebSocket", func(c *rawConn, path string) {
			c.ask("", askWebSocket(path, "Sec-WebSocket-Protocol: channel.k8s.io")...)
		}},
		{"SPDY", func(c *rawConn, path string) { c.ask("", askSPDY(path, "v4.channel.k8s.io")...) }},
	} {
		for _, end := range []struct {
			name string
			end  func(*world, []*rawConn)
		}{
			{"the client disconnects", disconnectEach},
			{"edge ends the stream", endEach},
			{"edge drains", drainAtFirst},
		} {
			for _, streaming := range upstreams {
				t.Run(dialect.name+" to "+string(streaming)+", "+end.name, func(t *testing.T) {
					t.Parallel()
					cutBeforeAccepted(t, streaming, dialect.ask, end.end)
				})
			}
		}
	}
}

// disconnectEach disconnects each client as soon as its stream has begun.
func disconnectEach(w *world, clients []*rawConn) {
	for _, c := range clients {
		if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
			w.Fatalf("the answer is %s", resp.Status)
		}
		c.Close()
	}
}

// endEach ends each stream as soon as edge lists it.
func endEach(w *world, clients []*rawConn) {
	told := map[string]bool{}
	w.eventually("every stream in the list", func() bool {
		for _, s := range w.handler.Streams() {
			if !told[s.ID] && w.handler.EndStream(s.ID, bridge.CauseShutdown, "ended by the test") {
				told[s.ID] = true
			}
		}
		return len(told) == len(clients)
	})
	for _, c := range clients {
		c.Close()
	}
}

// drainAtFirst drains edge as soon as the first stream has begun.
func drainAtFirst(w *world, clients []*rawConn) {
	w.eventually("a stream", func() bool { return w.handler.Running() > 0 })
	w.handler.Drain(w.Context())
	for _, c := range clients {
		c.Close()
	}
}

func cutBeforeAccepted(t *testing.T, streaming bridge.Streaming, ask func(*rawConn, string), end func(*world, []*rawConn)) {
	const (
		clients = 10
		ticks   = 20
		// accept is how long this test gives the API server, which does not report over WebSocket
		// when it has opened the container runtime's streams.
		accept = 15 * time.Second
	)
	var mu sync.Mutex
	wrote := 0
	speak := make(chan struct{})
	api := (&apiServer{run: func(p *process) error {
		<-speak
		for i := range ticks {
			fmt.Fprintln(p.out, i) // the container must continue although no client reads its output
		}
		mu.Lock()
		wrote++
		mu.Unlock()
		return nil
	}}).start(t)
	w := newWorld(t, api, speaking(streaming))
	if streaming == bridge.StreamingWebSocket {
		w.handler.SetTimes(time.Minute, accept, time.Minute)
		w.handler.SetAcceptTime(accept)
	}
	path := podURL(w.edge, "attach", "stdout=1").RequestURI()
	var all []*rawConn
	for range clients {
		c := dialRaw(t, w.edge)
		defer c.Close()
		all = append(all, c)
	}
	for _, c := range all {
		ask(c, path)
	}
	end(w, all)
	w.eventually("the end of every session", func() bool { return w.handler.Running() == 0 })
	began := strings.Count(w.log.String(), `msg="session began"`)
	close(speak)
	defer func() { t.Logf("%d attaches began, %d processes wrote all output", began, wrote) }()
	w.eventually("the complete output of every process", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return wrote == began
	})
}

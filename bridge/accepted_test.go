package bridge_test

import (
	"fmt"
	"sync"
	"testing"

	"edge/bridge"
)

// TestCutBeforeAccepted checks that an attach does not block the container's later output if its
// client disconnects right after the 101. The container runtime must keep nothing of such a session
// that would delay the container's process.
func TestCutBeforeAccepted(t *testing.T) {
	for _, dial := range []struct {
		name string
		cut  func(*testing.T, *world, string)
	}{
		{"WebSocket", func(t *testing.T, w *world, path string) { w.rawWebSocket(t, path, "channel.k8s.io").Close() }},
		{"SPDY", func(t *testing.T, w *world, path string) { w.rawSPDY(t, path, "v4.channel.k8s.io").Close() }},
	} {
		for _, streaming := range upstreams {
			t.Run(dial.name+" to "+string(streaming), func(t *testing.T) {
				t.Parallel()
				cutBeforeAccepted(t, streaming, dial.cut)
			})
		}
	}
}

func cutBeforeAccepted(t *testing.T, streaming bridge.Streaming, cut func(*testing.T, *world, string)) {
	const (
		clients = 40
		ticks   = 20
	)
	var mu sync.Mutex
	begun, wrote := 0, 0
	speak := make(chan struct{})
	api := (&apiServer{run: func(p *process) error {
		mu.Lock()
		begun++
		mu.Unlock()
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
	path := podURL(w.edge, "attach", "stdout=1").RequestURI()
	for range clients {
		cut(t, w, path)
	}
	w.ended(clients)
	close(speak)
	defer func() { t.Logf("%d of %d attaches began, %d processes wrote all output", begun, clients, wrote) }()
	w.eventually("the complete output of every process", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return wrote == clients
	})
}

package bridge_test

import (
	"fmt"
	"sync"
	"testing"

	"edge/bridge"
)

// TestCutBeforeAccepted: attaches whose clients go away as soon as they have their
// 101 leave nothing behind in the container runtime that holds up what the
// container says afterwards.
func TestCutBeforeAccepted(t *testing.T) {
	const (
		clients = 40
		ticks   = 20
	)
	for _, dial := range []struct {
		name string
		cut  func(*testing.T, *world, string)
	}{
		{"WebSocket", func(t *testing.T, w *world, path string) { w.rawWebSocket(t, path, "channel.k8s.io").Close() }},
		{"SPDY", func(t *testing.T, w *world, path string) { w.rawSPDY(t, path, "v4.channel.k8s.io").Close() }},
	} {
		t.Run(dial.name, func(t *testing.T) {
			var mu sync.Mutex
			wrote := 0
			speak := make(chan struct{})
			api := (&apiServer{run: func(p *process) error {
				<-speak
				for i := range ticks {
					fmt.Fprintln(p.out, i) // the container goes on when nobody reads it
				}
				mu.Lock()
				wrote++
				mu.Unlock()
				return nil
			}}).start(t)
			w := newWorld(t, api, speaking(bridge.StreamingSPDY))
			path := podURL(w.edge, "attach", "stdout=1").RequestURI()
			for range clients {
				dial.cut(t, w, path)
			}
			w.ended(clients)
			close(speak)
			w.eventually("every process to have said all", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return wrote == clients
			})
		})
	}
}

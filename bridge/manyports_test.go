package bridge_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http/httptest"
	"sync"
	"testing"

	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge"
)

// TestManyPorts opens 200 connections over one port-forward session. Some are refused, some reset,
// and one never sends or receives anything. The others must complete, on every pair of dialects and
// without edge.
//
// The test has no connection that receives data which it does not read. In that case
// moby/spdystream, in client-go and in the container runtime, stops answering a fifth of the
// streams, with edge and without. SPDY in Kubernetes has no flow control for a stream, so a proxy
// cannot know which stream blocks.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	api := (&apiServer{patience: patience, forward: func(port int32, c io.ReadWriter) error {
		if port == 86 {
			<-hold
			return nil
		}
		return ports(port, c)
	}}).start(t)
	w, tunnelled := newWorld(t, api, speaking(bridge.StreamingSPDY)), newWorld(t, api, speaking(bridge.StreamingWebSocket))
	for name, s := range map[string]*httptest.Server{"SPDY": w.edge, "tunnel": tunnelled.edge, "direct": w.api} {
		for dialect, dialer := range forwardDialers(t, s) {
			t.Run(dialect+" to "+name, func(t *testing.T) {
				conn, _, err := dialer.Dial("portforward.k8s.io")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				stalled, err := forward(conn, 86, 0)
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for i := 1; i < 200; i += 4 {
					all.Go(func() { checkEcho(t, conn, i) })
					all.Go(func() { checkRefused(t, conn, i+1) })
					all.Go(func() { checkReset(t, conn, i+2) })
					all.Go(func() { checkInput(t, conn, i+3) })
				}
				all.Wait()
				stalled.data.Reset()
			})
		}
	}
}

// checkReset opens a connection, checks an echo, and resets the connection.
func checkReset(t *testing.T, conn httpstream.Connection, id int) {
	f, err := forward(conn, 80, id)
	if err != nil {
		t.Error(err)
		return
	}
	say := noise(1000)
	io.WriteString(f.data, say)
	got := make([]byte, len(say))
	if _, err := io.ReadFull(f.data, got); err != nil || sha256.Sum256(got) != sha256.Sum256([]byte(say)) {
		t.Error(fmt.Errorf("wrong echo before the reset: %w", err))
	}
	f.data.Reset()
}

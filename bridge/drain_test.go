package bridge_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"edge/bridge"
	"edge/impersonate"
)

// refusing makes edge refuse every request as unauthenticated.
func refusing(c *bridge.Config) {
	c.Identify = func(*http.Request) (impersonate.Identity, error) {
		return impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized")
	}
}

// running returns an API server whose commands run until their connection ends. began receives a
// value for each command that starts.
func running(t *testing.T) (api *apiServer, began <-chan struct{}) {
	started := make(chan struct{}, 16)
	api = &apiServer{run: func(p *process) error {
		started <- struct{}{}
		var b [1]byte
		for {
			if _, err := p.in.Read(b[:]); err != nil {
				return err
			}
		}
	}}
	return api.start(t), started
}

// TestDrain checks that Drain ends all streams with a failure that names the reason, and returns
// when all have ended. edge must refuse new streams with 503.
func TestDrain(t *testing.T) {
	t.Parallel()
	api, began := running(t)
	w := newWorld(t, api)
	type end struct {
		client string
		outcome
	}
	ends := make(chan end, len(execClients))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, c := range execClients {
		go func() {
			stdin, _ := newStdin(t)
			ends <- end{c.name, c.doUntil(ctx, w.edge, command{stdin: stdin})}
		}()
		<-began
	}
	w.handler.Drain(ctx)
	if ctx.Err() != nil {
		t.Fatal("Drain waited to the end of its time")
	}
	for range execClients {
		e := <-ends
		if e.err == nil || !strings.Contains(e.err.Error(), "shutting down") {
			t.Errorf("%s: %v", e.client, e.err)
		}
	}
	for _, c := range execClients {
		if o := c.do(t, w.edge, command{}); o.err == nil || !strings.Contains(o.err.Error(), "shutting down") {
			t.Errorf("%s after the drain: %v", c.name, o.err)
		}
	}
}

// TestDrainCuts checks that Drain returns at its deadline even if a client does not read its final
// Status.
func TestDrainCuts(t *testing.T) {
	t.Parallel()
	api, began := running(t)
	w := newWorld(t, api)
	conn, _ := dialUpgrade(t, w)
	defer conn.Close()
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	w.handler.Drain(ctx)
	if line := w.ended(1); !strings.Contains(line, "shutting down") {
		t.Errorf("log: %s", line)
	}
}

// TestTooManyStreams checks that edge answers 429 with Retry-After to a stream above the limit
// (MaxSessions), and accepts a stream again after another one has ended.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	api, began := running(t)
	w := newWorld(t, api, func(c *bridge.Config) { c.MaxSessions = 1 })
	conn, _ := dialUpgrade(t, w)
	<-began
	refused, resp := dialUpgrade(t, w)
	if refused != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("the second stream: %s %v", resp.Status, resp.Header)
	}
	conn.Close()
	w.ended(1)
	w.eventually("room for another", func() bool {
		conn, _ := dialUpgrade(t, w)
		if conn == nil {
			return false
		}
		conn.Close()
		return true
	})
}

// newStdin returns a stdin that stays open until the end of the test.
func newStdin(t *testing.T) (io.Reader, io.Writer) {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return r, w
}

// dialUpgrade requests a WebSocket v5 exec with stdin from edge. conn is nil if edge refuses it.
func dialUpgrade(t *testing.T, w *world) (*websocket.Conn, *http.Response) {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: tlsFor(w.edge), Subprotocols: []string{"v5.channel.k8s.io"}, HandshakeTimeout: patience}
	u := podURL(w.edge, "exec", "command=x&stdin=true&stdout=true")
	u.Scheme = "wss"
	conn, resp, err := d.Dial(u.String(), nil)
	if err != nil && resp == nil {
		t.Fatal(err)
	}
	return conn, resp
}

package bridge_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"edge/internal/testkit"
)

// TestConnectionClose checks that a client which sends both "Connection: close" and an upgrade
// request gets the upgrade.
func TestConnectionClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(*process) error { return nil }, rest: echo}).start(t))
	for dialect, ask := range upgrades {
		if strings.Contains(dialect, "forward") || dialect == "tunnel" {
			continue
		}
		c := dialRaw(t, w.edge)
		c.ask("", append([]string{ask[0], "Connection: close"}, ask[1:]...)...)
		resp := c.answer()
		if resp.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(resp.Header.Get("Connection"), "Upgrade") {
			t.Errorf("%s: the answer is %s %v", dialect, resp.Status, resp.Header)
		}
		c.Close()
	}
}

// TestUnaskedSwitch checks an API server that answers a plain request with 101. edge must answer
// 502, and must not relay later bytes of the client to that connection.
func TestUnaskedSwitch(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"of nothing":   "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"of WebSocket": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			behind := make(chan string, 1)
			api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, early := take(t, w)
				defer conn.Close()
				io.WriteString(conn, answer)
				conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				b, _ := io.ReadAll(early)
				behind <- string(b)
			}))
			api.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
			testkit.StartTLS(api)
			t.Cleanup(api.Close)
			w := &world{T: t, log: new(syncBuffer)}
			w.front(configFor(api))
			c := dialRaw(t, w.edge)
			c.ask("", "GET /api HTTP/1.1", "Host: e")
			if resp := c.answer(); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("the answer is %s", resp.Status)
			}
			io.WriteString(c.Conn, "GET /api/v1/secrets HTTP/1.1\r\nHost: e\r\n")
			if b := <-behind; b != "" {
				t.Errorf("%q reached upstream", b)
			}
			c.Close()
		})
	}
}

// TestBehindAPrefix checks an API server whose URL has a path. edge must evaluate the path that the
// client requested, without that prefix.
func TestBehindAPrefix(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: func(*process) error { return exitError(7) }}).start(t)
	w := &world{T: t, log: new(syncBuffer)}
	w.api = serveTLS(t, http.StripPrefix("/k8s/clusters/c-1", api))
	cfg := configFor(w.api)
	cfg.Host += "/k8s/clusters/c-1/"
	w.front(cfg)
	if tr := transcribe(t, w.webSocket(t, execPath, "v5.channel.k8s.io")); !strings.Contains(tr.channel[3], "NonZeroExitCode") {
		t.Errorf("Status %q, %v", tr.channel[3], tr.err)
	}
	c := dialRaw(t, w.edge)
	c.ask("", "POST "+execPath+" HTTP/1.1", "Host: e", "Connection: Upgrade", "Content-Length: 0")
	resp := c.answer()
	body, _ := io.ReadAll(bufio.NewReader(resp.Body))
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "arrived without its Upgrade header") {
		t.Errorf("the answer is %s %s", resp.Status, body)
	}
}
